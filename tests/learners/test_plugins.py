"""Plug-ins: each keeps the learner's contract, does what its method says, and survives snapshots and saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.packing import Reading, arrange
from kgrl.learners.plugins import (
    ElasticWeights,
    FreezeLayers,
    GradientProjection,
    Isolation,
    OrthogonalSlots,
    Plugin,
    Replay,
    TopK,
    make_plugin,
    plugins,
)
from kgrl.testing import LearnerContract

Make = Callable[..., LoraLearner]

KINDS: dict[str, Callable[[NDArray[np.float32]], Plugin]] = {
    "orthogonal": lambda embeddings: OrthogonalSlots(slots=8),
    "elastic": lambda embeddings: ElasticWeights(),
    "isolation": lambda embeddings: Isolation(embeddings, np.arange(len(embeddings), dtype=np.int32) % 2),
    "top-k": lambda embeddings: TopK(0.1),
    "top-k by tensor": lambda embeddings: TopK(0.1, over="tensor"),
    "freeze-layers": lambda embeddings: FreezeLayers(keep=1),
    "gradient-projection": lambda embeddings: GradientProjection(rank=2, refresh=3),
}


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture
def make(corpus: Corpus, base_folder: Path) -> Make:
    """Makes learners of a tiny model: `make(plugin, …)`."""

    def make_learner(*plugins: Plugin, rank: int = 8) -> LoraLearner:
        options = {"model": str(base_folder), "rank": rank, "alpha": 2 * rank, "learning_rate": 1e-2}
        return LoraLearner(corpus, **options, plugins=plugins)

    return make_learner


@pytest.mark.parametrize("kind", KINDS)
class TestPlugged(LearnerContract):
    @pytest.fixture
    def learner(self, make: Make, kind: str, fake_embeddings: NDArray[np.float32]) -> LoraLearner:
        return make(KINDS[kind](fake_embeddings), rank=64 if kind == "orthogonal" else 8)


class TestReplayed(LearnerContract):
    @pytest.fixture
    def learner(self, make: Make) -> LoraLearner:
        return make(Replay(0.2))

    def test_the_budget_is_kept_to_the_token(self, learner: LoraLearner, corpus: Corpus) -> None:
        """The first lesson is its own alone; the second has a fifth of replay, inside the budget if that ends first."""
        first, second = corpus.of(0, Split.TRAIN), corpus.of(1, Split.TRAIN)
        own = int(learner.count_tokens(second).sum())
        assert learner.learn(first, 10_000).tokens == learner.count_tokens(first).sum()
        assert learner.learn(second, 10_000).tokens == pytest.approx(own / 0.8, abs=2)
        learned = learner.learn(second, own)
        assert learned.tokens == own and learned.passages <= len(second)


def lesson(corpus: Corpus, topic: int) -> Passages:
    return corpus.of(topic, Split.TRAIN)


def test_a_plugin_without_hooks_changes_nothing(make: Make, corpus: Corpus) -> None:
    plain, plugged = make(), make(Plugin())
    assert plain.learn(lesson(corpus, 0), 500) == plugged.learn(lesson(corpus, 0), 500)
    assert torch.equal(plain.weights, plugged.weights)


def test_several_plugins_work_side_by_side(make: Make, corpus: Corpus) -> None:
    learner = make(Replay(0.5), TopK(0.1), ElasticWeights())
    learner.learn(lesson(corpus, 0), 300)
    learned = learner.learn(lesson(corpus, 1), 300)
    assert learned.changed is not None and learned.changed <= 0.1 + 1e-3
    assert learned.passages < make().learn(lesson(corpus, 1), 300).passages


def test_plugins_are_made_by_name() -> None:
    made = make_plugin("replay:share=0.2,sampling=by-lesson")
    assert isinstance(made, Replay) and (made.share, made.sampling) == (0.2, "by-lesson")
    assert {plugins[name]().name for name in plugins} == set(plugins)  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=r"does not make a plug-in"):
        make_plugin("top-k:share=much")


def test_a_state_with_other_plugins_is_refused(make: Make, tmp_path: Path) -> None:
    make(TopK()).save(tmp_path)
    with pytest.raises(KgrlError, match=r"plugins is \['replay'\]"):
        make(Replay()).load(tmp_path)


# Replay


@pytest.mark.parametrize("sampling", ["uniform", "by-lesson"])
def test_replay_draws_from_earlier_lessons_only(make: Make, corpus: Corpus, sampling: str) -> None:
    replay = Replay(0.3, sampling=sampling)  # type: ignore[arg-type]
    learner = make(replay)
    for topic in (0, 1, 2):
        learner.learn(lesson(corpus, topic), 300)
    ids, tokens = replay.rehearse(700, 10_000)
    assert tokens == 300
    assert len(set(ids.tolist())) == len(ids)
    assert set(corpus.topics[ids].tolist()) <= {0, 1, 2}
    assert (corpus.splits[ids] == Split.TRAIN).all()


def test_lessons_of_any_length_are_replayed_alike_if_asked_to(corpus: Corpus) -> None:
    long, short = np.arange(90, dtype=np.int32), np.arange(90, 100, dtype=np.int32)
    from_short = {}
    for sampling in ("uniform", "by-lesson"):
        drawn = []
        for seed in range(300):
            replay = Replay(0.5, sampling=sampling, seed=seed)  # type: ignore[arg-type]
            replay.end(corpus.select(long))
            replay.end(corpus.select(short))
            drawn.append(replay.rehearse(8, 10_000)[0][0])
        from_short[sampling] = np.mean(np.array(drawn) >= 90)
    assert from_short["uniform"] == pytest.approx(0.1, abs=0.06)
    assert from_short["by-lesson"] == pytest.approx(0.5, abs=0.1)


def test_replay_refuses_what_makes_no_sense() -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        Replay(1.0)
    with pytest.raises(UnknownNameError, match="unknown sampling 'newest'"):
        Replay(sampling="newest")  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.lists(st.integers(1, 9), max_size=12), st.data())
def test_a_lesson_keeps_to_its_budget_and_to_the_order_of_each_reading(
    own: list[int], old: list[int], data: st.DataObject
) -> None:
    budget = data.draw(st.integers(2, 120))
    share = data.draw(st.integers(0, budget - 1))
    readings = [
        Reading(np.arange(start, start + len(sizes), dtype=np.int32), [np.zeros(size + 1, dtype=int) for size in sizes])
        for start, sizes in ((0, own), (100, old))
    ]
    made = arrange(readings[0], [(readings[1], share)], budget)
    assert made.tokens == min(sum(own), budget - min(sum(old), share)) + min(sum(old), share)
    for low, high in ((0, 100), (100, 200)):
        ids = made.ids[(made.ids >= low) & (made.ids < high)]
        assert ids.tolist() == list(range(low, low + len(ids)))
    assert made.own.tolist() == np.flatnonzero(made.ids < 100).tolist() != []


# Orthogonal adapters


def slot_rows(learner: LoraLearner, slot: int, rows: int) -> list[torch.Tensor]:
    own = slice(slot * rows, (slot + 1) * rows)
    views = {name: learner.view(learner.weights, name) for name in learner.shapes}
    return [v[own].clone() if ".lora_A." in name else v[:, own].clone() for name, v in views.items()]


def test_a_lesson_leaves_the_slots_of_others_alone(make: Make, corpus: Corpus) -> None:
    learner = make(OrthogonalSlots(slots=4), rank=8)
    for topic in range(3):
        before = [slot_rows(learner, slot, 2) for slot in range(4)]
        learner.learn(lesson(corpus, topic), 400)
        after = [slot_rows(learner, slot, 2) for slot in range(4)]
        for slot in range(4):
            same = all(torch.equal(b, a) for b, a in zip(before[slot], after[slot], strict=True))
            assert same == (slot != topic)


def test_the_penalty_turns_lessons_away_from_each_other(make: Make, corpus: Corpus) -> None:
    def overlap(strength: float) -> float:
        learner = make(OrthogonalSlots(slots=2, strength=strength), rank=8)
        for topic in (0, 1):
            learner.learn(lesson(corpus, topic), 2_000)
        matrices = [learner.view(learner.weights, name) for name in learner.shapes if ".lora_A." in name]
        return sum(float((a[:4] @ a[4:].T).square().sum()) for a in matrices)

    assert overlap(1.0) < 0.5 * overlap(0.0)


def test_slots_that_do_not_fit_are_refused(make: Make, corpus: Corpus) -> None:
    with pytest.raises(SettingError, match="rank of 8 does not divide into 3 slots"):
        make(OrthogonalSlots(slots=3))
    learner = make(OrthogonalSlots(slots=2))
    for topic in (0, 1):
        learner.learn(lesson(corpus, topic), 100)
    with pytest.raises(SettingError, match="2 slots hold 2 lessons"):
        learner.learn(lesson(corpus, 2), 100)
    with pytest.raises(SettingError, match="needs a learner with an adapter"):
        ScratchLearner(corpus, width=16, heads=2, vocabulary=400, plugins=[OrthogonalSlots()])


# Elastic weight consolidation


def drift(learner: LoraLearner, corpus: Corpus) -> float:
    learner.learn(lesson(corpus, 0), 1_000)
    anchor = learner.copy().weights
    learner.learn(lesson(corpus, 1), 1_000)
    return float((learner.weights.detach() - anchor).norm())


def test_a_stronger_penalty_moves_weights_less(make: Make, corpus: Corpus) -> None:
    drifts = [drift(make(ElasticWeights(strength)), corpus) for strength in (0.0, 10.0, 1e4)]
    assert drifts[0] > drifts[1] > drifts[2]
    assert drifts[0] == pytest.approx(drift(make(), corpus), rel=1e-4)


def test_the_penalty_is_the_gradient_of_the_formula(make: Make, corpus: Corpus) -> None:
    plugin = ElasticWeights(strength=3.0)
    learner = make(plugin)
    learner.learn(lesson(corpus, 0), 500)
    fisher, anchor = plugin.state()["fisher"], plugin.state()["anchor"]
    assert (fisher >= 0).all() and fisher.any()
    weights = (anchor + torch.randn(anchor.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    (1.5 * (fisher * (weights - anchor) ** 2).sum()).backward()
    with torch.no_grad():
        learner.weights.copy_(weights)
    learner.gradient.zero_()
    plugin.begin(lesson(corpus, 1))
    plugin.regularise()
    torch.testing.assert_close(learner.gradient, weights.grad)


# Isolation


def test_an_isolated_neighbourhood_is_not_forgotten(
    make: Make, corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    first, second = (int(corpus.graph.in_category(name)[0]) for name in ("Mathematics", "Craft"))
    probe = corpus.of(first, Split.PROBE)
    learner = make(Isolation(fake_embeddings))
    learner.learn(lesson(corpus, first), 1_000)
    kept = learner.losses(probe)
    learner.learn(lesson(corpus, second), 2_000)
    assert np.array_equal(kept, learner.losses(probe))
    plain = make()
    plain.learn(lesson(corpus, first), 1_000)
    plain.learn(lesson(corpus, second), 2_000)
    assert not np.array_equal(kept, plain.losses(probe))


def test_passages_are_routed_to_the_nearest_neighbourhood(
    make: Make, corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    """A category is a neighbourhood; lessons of one category go on with its module."""
    categories = np.array([corpus.graph.category_names.index(c) for c in corpus.graph.categories], dtype=np.int32)
    isolation = Isolation(fake_embeddings, categories)
    learner = make(isolation)
    assert np.isfinite(learner.losses(lesson(corpus, 0))).all()  # before there is any module
    for category in (2, 0, 1, 2):
        learner.learn(lesson(corpus, int(np.flatnonzero(categories == category)[0])), 300)
    routes = isolation.route(corpus.select(np.flatnonzero(corpus.splits == Split.PROBE)))
    truth = categories[corpus.topics[corpus.splits == Split.PROBE]]
    assert np.mean(routes == truth) > 0.9
    assert len({name.partition(".")[0] for name in isolation.state()}) == 3


def test_a_module_is_what_a_learner_of_its_own_would_be(
    make: Make, corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    """To the bit: initial weights, optimizer and warm-up are those of a fresh learner."""
    isolated, alone = make(Isolation(fake_embeddings)), make()
    isolated.learn(lesson(corpus, 0), 1_000)
    isolated.learn(lesson(corpus, 20), 1_000)
    alone.learn(lesson(corpus, 20), 1_000)
    assert torch.equal(isolated.weights, alone.weights)


def test_measuring_leaves_the_weights_in_place(
    make: Make, corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    learner = make(Isolation(fake_embeddings))
    for topic in (0, 20):
        learner.learn(lesson(corpus, topic), 300)
    before = learner.copy().weights
    learner.losses(corpus.select([0, 50, 100, 200]))
    assert torch.equal(before, learner.weights.detach())


# Restricted updates


@pytest.mark.parametrize("over", ["all", "tensor"])
def test_top_k_changes_that_share_of_the_weights(make: Make, corpus: Corpus, over: str) -> None:
    learner = make(TopK(0.05, over=over))  # type: ignore[arg-type]
    for topic in range(3):
        changed = learner.learn(lesson(corpus, topic), 500).changed
        assert changed == pytest.approx(0.05, abs=0.02) and changed <= 0.055


def test_top_k_takes_the_largest(make: Make) -> None:
    plugin = TopK(0.25)
    learner = make(plugin)
    learner.gradient.copy_(torch.randn(learner.gradient.shape, generator=torch.Generator().manual_seed(0)))
    sizes, before = learner.gradient.abs().clone(), learner.copy().weights
    plugin.restrict()
    learner.step(rate=0.1)
    plugin.updated()
    moved = learner.weights.detach() != before
    assert moved.float().mean() == pytest.approx(0.25, abs=1e-3)
    assert sizes[moved].min() >= sizes[~moved].max()


def test_frozen_layers_stay_as_they_are(make: Make, corpus: Corpus) -> None:
    learner = make(FreezeLayers(keep=1))
    before = learner.copy().weights
    learner.learn(lesson(corpus, 0), 500)
    moved = {
        name.split("layers.")[1].split(".")[0]
        for name in learner.shapes
        if not torch.equal(learner.view(before, name), learner.view(learner.weights, name))
    }
    assert len(moved) == 1


def test_projected_updates_have_the_rank_of_the_projection(corpus: Corpus) -> None:
    learner = ScratchLearner(
        corpus, width=32, heads=2, vocabulary=400, plugins=[GradientProjection(rank=3, refresh=1000)]
    )
    before, passages = learner.copy().weights, lesson(corpus, 0)
    losses = learner.losses(passages)
    for _ in range(3):
        learner.learn(passages, 1_000)
    assert learner.losses(passages).mean() < losses.mean()
    for name, shape in learner.shapes.items():
        update = learner.view(learner.weights, name) - learner.view(before, name)
        assert update.any()
        if len(shape) == 2:
            assert torch.linalg.matrix_rank(update, rtol=1e-4) <= 3


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (lambda: TopK(0.0), "above 0"),
        (lambda: FreezeLayers(0), "at least one layer"),
        (lambda: GradientProjection(rank=0), "rank and refresh"),
        (lambda: OrthogonalSlots(slots=0), "at least 1"),
    ],
)
def test_restrictions_refuse_what_makes_no_sense(refused: Callable[[], Plugin], why: str) -> None:
    with pytest.raises(SettingError, match=why):
        refused()
