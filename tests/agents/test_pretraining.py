"""Pretraining learns what readers do, repeats exactly, and shows no click the statistics of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.agents.pretraining import batches as click_batches
from kgrl.agents.pretraining.batches import PolicyPredictor
from kgrl.agents.pretraining.cloning import FOLDS, ClickData, Pretrainer, PretrainingConfig
from kgrl.graph import TopicGraph
from kgrl.traces import BACK, ClickTable, Outcome, Trace
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import candidates_of

TOPICS, LINKS = 24, 5
SMALL = PretrainingConfig(epochs=8, hidden=16, recurrent=8, heads=2, dropout=0.0, learning_rate=2e-2, pair_clicks=99)
Choose = Callable[[np.random.Generator, int, int], int]


@pytest.fixture(scope="module")
def graph() -> TopicGraph:
    """Every topic links to five others; the places of links are in random order."""
    rng = np.random.default_rng(0)
    targets = [rng.choice(np.delete(np.arange(TOPICS), topic), LINKS, replace=False) for topic in range(TOPICS)]
    made = TopicGraph.from_links(
        [f"topic {i}" for i in range(TOPICS)], np.repeat(np.arange(TOPICS), LINKS), np.concatenate(targets)
    )
    places = [rng.permutation(LINKS) * 40 for _ in range(TOPICS)]
    return made.with_places(np.concatenate(places).astype(np.int32))


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    made = np.random.default_rng(1).normal(size=(TOPICS, 8)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def walk(graph: TopicGraph, choose: Choose, n: int, seed: int = 2) -> ClickTable:
    """Traces of readers who choose by a rule, now and then go back, and sometimes reach their target."""
    rng = np.random.default_rng(seed)
    traces = []
    for _ in range(n):
        target = int(rng.integers(TOPICS))
        stack = [int(rng.integers(TOPICS))]
        steps = list(stack)
        while len(steps) < 7 and stack[-1] != target:
            if len(stack) > 1 and rng.random() < 0.15:
                stack.pop()
                steps.append(BACK)
            else:
                stack.append(choose(rng, stack[-1], target))
                steps.append(stack[-1])
        done = stack[-1] == target and len(steps) > 1 and steps[-1] != BACK
        traces.append(Trace(tuple(steps), target, Outcome.FINISHED if done else Outcome.UNFINISHED))
    return ClickTable.from_traces(traces, graph.titles)


@pytest.fixture(scope="module")
def first_links(graph: TopicGraph) -> ClickTable:
    """Clicks of readers who take the first link of the text in nine of ten cases."""

    def choose(rng: np.random.Generator, page: int, target: int) -> int:
        assert graph.places is not None
        out, places = graph.out(page), graph.places[graph.indptr[page] : graph.indptr[page + 1]]
        return int(rng.choice(out) if rng.random() < 0.1 else out[places.argmin()])

    return walk(graph, choose, 150)


@pytest.fixture(scope="module")
def data(graph: TopicGraph, vectors: NDArray[np.float32], first_links: ClickTable) -> ClickData:
    return ClickData(graph, vectors, first_links)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred clicks make many batches."""
    monkeypatch.setattr(click_batches, "_CELLS", 160)


def features(data: ClickData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    observation, _ = data.batches().observe(rows, np.zeros(len(rows), dtype=bool))
    return np.asarray(observation["candidates"])


def moved(graph: TopicGraph, clicks: ClickTable, row: int) -> ClickTable:
    """The same clicks, one of them on another link of its page."""
    chosen = clicks.chosen.copy()
    chosen[row] = next(topic for topic in graph.out(int(clicks.page[row])) if topic != chosen[row])
    return replace(clicks, chosen=chosen)


def test_a_click_does_not_describe_its_own_fold(
    graph: TopicGraph, vectors: NDArray[np.float32], data: ClickData
) -> None:
    fold = data.clicks.pair % FOLDS
    row = int(data.training[~data.clicks.final[data.training]][0])
    other = ClickData(graph, vectors, moved(graph, data.clicks, row))
    own = data.training[fold[data.training] == fold[row]]
    others = data.training[fold[data.training] != fold[row]]
    assert row in own and len(own) > 5
    assert np.array_equal(features(data, own), features(other, own))
    assert not np.array_equal(features(data, others), features(other, others))
    assert not np.array_equal(features(data, data.validation), features(other, data.validation))


def test_clicks_outside_of_training_and_final_ones_are_not_counted(data: ClickData, graph: TopicGraph) -> None:
    assert (data.clicks.bucket[data.training] < 8).all() and (data.clicks.bucket[data.validation] == 8).all()
    assert data.clicks.final[data.training].any() and not data.clicks.final[data.validation].any()
    usable = data.clicks.take((data.clicks.bucket < 8) & ~data.clicks.final)
    assert data.counts.links.tolist() == ClickCounts.of(graph, usable).links.tolist()
    assert sum(table.links.sum() for table in data.tables.counts) == FOLDS * len(usable)


def test_hidden_topics_never_contribute(
    graph: TopicGraph, vectors: NDArray[np.float32], first_links: ClickTable
) -> None:
    hidden = np.zeros(TOPICS, dtype=bool)
    hidden[[3, 4, 5]] = True
    data = ClickData(graph, vectors, first_links, hidden)
    concerned = hidden[first_links.page] | hidden[first_links.chosen]
    assert not concerned[data.training].any() and concerned.any()
    sources, targets = graph.links()
    without = ClickData(graph, vectors, first_links.take(~concerned), hidden)
    for table, same in zip(data.tables.counts, without.tables.counts, strict=True):
        assert not table.links[hidden[sources] | hidden[targets]].any()
        assert np.array_equal(table.links, same.links) and np.array_equal(table.keys, same.keys)
        assert not hidden[table.keys // graph.n_links].any()


@pytest.mark.parametrize("seed", [None, 0])
def test_batches_cover_every_row_once_and_are_small(data: ClickData, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = data.batches().batches(data.training, rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(data.training)))
    assert len(batches) > 10 and all(len(rows) * LINKS <= 160 for rows in batches)


def test_the_chosen_slot_holds_the_clicked_link(data: ClickData, graph: TopicGraph) -> None:
    rows = data.training[:50]
    _, chosen = data.batches().observe(rows, np.zeros(len(rows), dtype=bool))
    clicks = data.clicks.take(rows)
    assert [
        int(graph.out(page)[slot]) for page, slot in zip(clicks.page, chosen, strict=True)
    ] == clicks.chosen.tolist()


def scorer(members: int = 1) -> CandidateScorer:
    torch.manual_seed(0)
    made = CandidateScorer(PolicyConfig(hidden=8, recurrent=8, heads=2, members=members))
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return made


@pytest.mark.parametrize("members", [1, 2])
def test_predictions_are_distributions_that_do_not_depend_on_other_clicks(data: ClickData, members: int) -> None:
    predictor = PolicyPredictor(scorer(members), data.tables, data.goals)
    some = data.clicks.take(np.arange(80))
    found = predictor.log_probabilities(some)
    rows = candidates_of(data.tables.graph, some.page)
    assert np.allclose(np.add.reduceat(np.exp(found), rows.starts[:-1]), 1, atol=1e-5)
    order = np.random.default_rng(0).permutation(80)[:30]
    again = predictor.log_probabilities(some.take(order))
    expected = np.concatenate([found[rows.starts[row] : rows.starts[row + 1]] for row in order])
    assert np.allclose(again, expected, atol=1e-4)
    assert found.std() > 0.005


def test_predictions_do_not_read_what_was_chosen(data: ClickData) -> None:
    predictor = PolicyPredictor(scorer(), data.tables, data.goals)
    some = data.clicks.take(np.arange(20))
    blank = replace(some, chosen=np.zeros_like(some.chosen), final=~some.final, finished=~some.finished)
    assert np.array_equal(predictor.log_probabilities(some), predictor.log_probabilities(blank))


def test_targets_matter_where_they_are_shown_and_only_there(data: ClickData) -> None:
    some = data.clicks.take(np.arange(40))
    elsewhere = replace(some, target=(some.target + 1) % TOPICS)
    free = PolicyPredictor(scorer(), data.tables)
    assert np.array_equal(free.log_probabilities(some), free.log_probabilities(elsewhere))
    aware = PolicyPredictor(scorer(), data.tables, data.goals)
    assert not np.allclose(aware.log_probabilities(some), aware.log_probabilities(elsewhere), atol=1e-3)
    nowhere = replace(some, target=np.full_like(some.target, -1))
    assert np.allclose(aware.log_probabilities(nowhere), free.log_probabilities(some), atol=1e-6)


def train(data: ClickData, config: PretrainingConfig, epochs: int, seed: int = 0) -> tuple[Pretrainer, float]:
    """A trained policy, and its last validation loss."""
    trainer = Pretrainer(data, config, seed)
    for number in range(1, epochs + 1):
        loss = trainer.epoch(number).validation_loss
    return trainer, loss


def test_a_rule_is_learned(data: ClickData) -> None:
    """Readers who take the first link in nine of ten cases leave .41 nats a click to be wondered at."""
    trainer, loss = train(data, SMALL, SMALL.epochs)
    assert loss < 0.6 * np.log(LINKS)
    scores = trainer.predictor().log_probabilities(data.clicks.take(data.validation))
    first = data.tables.graph.places[candidates_of(data.tables.graph, data.clicks.page[data.validation]).links] == 0
    assert np.exp(scores[first]).mean() > 0.6


def test_a_goal_is_learned_to_be_reached(graph: TopicGraph, vectors: NDArray[np.float32]) -> None:
    """Readers who go straight to their target where they can are predicted better with the target shown."""

    def choose(rng: np.random.Generator, page: int, target: int) -> int:
        out = graph.out(page)
        return target if target in out else int(rng.choice(out))

    data = ClickData(graph, vectors, walk(graph, choose, 150))
    trainer, _ = train(data, replace(SMALL, goal_share=1.0, epochs=5), 5)
    final = data.clicks.take(data.clicks.final & (data.clicks.bucket >= 8))
    chosen = graph.indices[(rows := candidates_of(graph, final.page)).links] == final.chosen[rows.owner]
    aware, free = (trainer.predictor(goals=goals).log_probabilities(final)[chosen].mean() for goals in (True, False))
    assert len(final) > 5 and aware > free + 0.5


def test_same_seed_same_weights(data: ClickData) -> None:
    first, again, other = (train(data, replace(SMALL, dropout=0.2), 1, seed)[0].scorer for seed in (4, 4, 5))
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name])
    assert any(not torch.equal(weights, other.state_dict()[name]) for name, weights in first.state_dict().items())


def test_updates_are_reported_as_they_come(data: ClickData) -> None:
    told: list[tuple[int, int, float]] = []
    epoch = Pretrainer(data, SMALL).epoch(1, lambda *update: told.append(update))
    assert [at for at, *_ in told] == list(range(1, len(told) + 1)) and {of for _, of, _ in told} == {len(told)}
    assert min(loss for *_, loss in told) <= epoch.train_loss <= max(loss for *_, loss in told)
