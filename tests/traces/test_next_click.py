"""Next-click scores: ties by their expectation; and predictors worked out by hand."""

from __future__ import annotations

from itertools import permutations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents.pretraining.baselines import Markov, Popularity, TextSimilarity, Uniform, click_baselines
from kgrl.graph import TopicGraph
from kgrl.traces import BACK, ClickTable, Trace
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import candidates_of, inductive, score_clicks

LINKS = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 1), (3, 2))
READ = ((0, 1, 2), (0, 1, 2), (0, 1, 0), (2, 1, 0))


@pytest.fixture
def graph() -> TopicGraph:
    """In-degrees are 1, 2, 3 and 0."""
    return TopicGraph.from_links("abcd", *zip(*LINKS, strict=True))


def table(graph: TopicGraph, *walks: tuple[int, ...]) -> ClickTable:
    return ClickTable.from_traces([Trace(walk) for walk in walks], graph.titles)


@pytest.fixture
def counts(graph: TopicGraph) -> ClickCounts:
    return ClickCounts.of(graph, table(graph, *READ))


def by_brute_force(scores: list[float], chosen: int) -> tuple[float, float]:
    """Top-1 and reciprocal rank, averaged over every order of the links that scores leave open."""
    ranks = []
    for order in permutations(range(len(scores))):
        ranked = sorted(order, key=lambda link: -scores[link])
        ranks.append(ranked.index(chosen) + 1)
    return float(np.mean([rank == 1 for rank in ranks])), float(np.mean([1 / rank for rank in ranks]))


@given(st.lists(st.tuples(st.lists(st.integers(-3, 0), min_size=1, max_size=5), st.integers(0, 4)), min_size=1))
def test_ties_are_scored_by_their_expectation(clicked: list[tuple[list[int], int]]) -> None:
    """Each click has a page of its own, with a link to as many topics as it has scores."""
    n = len(clicked)
    ends = [(page, n + link) for page, (scores, _) in enumerate(clicked) for link in range(len(scores))]
    graph = TopicGraph.from_links([str(i) for i in range(n + 5)], *zip(*ends, strict=True))
    chosen = [at % len(scores) for scores, at in clicked]
    clicks = table(graph, *((page, n + link) for page, link in enumerate(chosen)))
    found = score_clicks(np.concatenate([np.float32(scores) for scores, _ in clicked]), clicks, graph)
    expected = [by_brute_force(list(scores), link) for (scores, _), link in zip(clicked, chosen, strict=True)]
    assert (found.top1, found.mrr) == pytest.approx(tuple(np.mean(expected, axis=0)))
    assert found.nll == pytest.approx(-np.mean([scores[at] for (scores, _), at in zip(clicked, chosen, strict=True)]))
    assert found.clicks == n


def test_candidates_are_listed_page_after_page(graph: TopicGraph) -> None:
    rows = candidates_of(graph, np.array([1, 3, 1], dtype=np.int32))
    assert graph.indices[rows.links].tolist() == [0, 2, 2, 0, 2]
    assert rows.owner.tolist() == [0, 0, 1, 2, 2] and rows.starts.tolist() == [0, 2, 3, 5]


def test_what_cannot_be_scored_is_an_error(graph: TopicGraph) -> None:
    clicks = table(graph, (0, 1))
    with pytest.raises(ValueError, match="3 values for 2 links of 1 clicks"):
        score_clicks(np.zeros(3, dtype=np.float32), clicks, graph)
    with pytest.raises(ValueError, match="0 clicks"):
        score_clicks(np.zeros(0, dtype=np.float32), clicks.take(np.array([], dtype=np.int64)), graph)
    with pytest.raises(ValueError, match="1 clicks are not links"):
        score_clicks(np.zeros(2, dtype=np.float32), table(graph, (0, 3)), graph)


def test_inductive_clicks_are_those_on_and_to_hidden_topics(graph: TopicGraph) -> None:
    clicks = table(graph, (0, 1, 2), (3, 2, 1, 0))
    assert inductive(clicks, np.array([False, False, True, False])).tolist() == [False, True, True, True, False]


def chances(log_probabilities: NDArray[np.float32]) -> list[float]:
    return np.exp(log_probabilities).tolist()


def test_uniform_popularity_and_similarity_by_hand(graph: TopicGraph) -> None:
    clicks = table(graph, (0, 1, 2), (3, 2))
    assert chances(Uniform(graph).log_probabilities(clicks)) == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 2, 1])
    assert chances(Popularity(graph).log_probabilities(clicks)) == pytest.approx([2 / 5, 3 / 5, 1 / 4, 3 / 4, 1])
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]], dtype=np.float32)
    near = [exp(0.6 / 0.1), exp(0), exp(0.6 / 0.1), exp(0.8 / 0.1)]
    expected = [near[0] / (near[0] + near[1]), near[1] / (near[0] + near[1])]
    expected += [near[2] / (near[2] + near[3]), near[3] / (near[2] + near[3]), 1]
    assert chances(TextSimilarity(graph, vectors).log_probabilities(clicks)) == pytest.approx(expected, rel=1e-4)


def test_a_markov_model_backs_off_to_in_degree(counts: ClickCounts) -> None:
    """Page a has 3 clicks, all on b; page b has 2 on a and 2 on c; page d has none."""
    model = Markov(counts, 1)
    found = chances(model.log_probabilities(table(counts.graph, (0, 1, 2), (3, 2))))
    assert found == pytest.approx([(3 + 4) / 13, 6 / 13, (2 + 2.5) / 14, (2 + 7.5) / 14, 1])


def test_a_second_order_model_backs_off_to_the_first(counts: ClickCounts) -> None:
    """On b after a, one click was on a and two on c; after c, one on a."""
    to_a, to_c = (2 + 2.5) / 14, (2 + 7.5) / 14
    model = Markov(counts, 2)
    after_a = model.log_probabilities(table(counts.graph, (0, 1, 2)).take(np.array([1])))
    assert chances(after_a) == pytest.approx([(1 + 10 * to_a) / 13, (2 + 10 * to_c) / 13])
    after_c = model.log_probabilities(table(counts.graph, (2, 1, 2)).take(np.array([1])))
    assert chances(after_c) == pytest.approx([(1 + 10 * to_a) / 11, 10 * to_c / 11])
    first = model.log_probabilities(table(counts.graph, (1, 2)))
    assert chances(first) == pytest.approx([to_a, to_c])


def test_a_back_click_changes_what_comes_before(counts: ClickCounts) -> None:
    """After b and back, the page is a with nothing before it, as it was at the start."""
    model = Markov(counts, 2)
    found = model.log_probabilities(table(counts.graph, (0, 1, BACK, 2)))
    assert np.array_equal(found[:2], found[2:])


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_every_baseline_gives_distributions_that_do_not_depend_on_other_clicks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = TopicGraph.from_links([str(i) for i in range(8)], *rng.integers(0, 8, (2, 24)))
    vectors = rng.normal(size=(8, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    walks = []
    for start in np.flatnonzero(np.diff(graph.indptr)).tolist():
        steps = [start]
        while len(steps) < 5 and len(out := graph.out(steps[-1])):
            steps.append(int(rng.choice(out)))
        walks.append(tuple(steps))
    clicks = table(graph, *walks)
    rows = candidates_of(graph, clicks.page)
    for name, model in click_baselines(ClickCounts.of(graph, clicks), vectors).items():
        found = model.log_probabilities(clicks)
        assert found.dtype == np.float32 and len(found) == len(rows.links)
        assert np.allclose(np.add.reduceat(np.exp(found), rows.starts[:-1]), 1, atol=1e-5), name
        last = model.log_probabilities(clicks.take(np.array([-1])))
        assert np.allclose(found[rows.starts[-2] :], last, atol=1e-6), name


def test_uniform_scores_are_the_logarithm_of_the_links(graph: TopicGraph) -> None:
    clicks = table(graph, (0, 1, 2))
    scores = score_clicks(Uniform(graph).log_probabilities(clicks), clicks, graph)
    assert scores.to_dict() == pytest.approx({"top1": 0.5, "mrr": 0.75, "nll": log(2), "clicks": 2})
