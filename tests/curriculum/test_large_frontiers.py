"""A frontier too large to be looked at as a whole is sampled; smaller ones are seen whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kgrl.agents import View
from kgrl.curriculum.state import LossProfile
from kgrl.envs.features.curriculum_features import FeatureState, observe
from kgrl.envs.features.names import FEATURES, GLOBAL
from kgrl.graph import Frontier, TopicGraph

WHOLE, SAMPLED = 32_768, 2_048


def star(n: int) -> View:
    """A curriculum that knows the centre of a star, whose rays are its frontier."""
    graph = TopicGraph.from_links([str(i) for i in range(n + 1)], np.zeros(n, dtype=int), np.arange(1, n + 1))
    return View(
        graph=graph,
        frontier=Frontier(graph, [0]),
        nucleus=np.zeros(1, dtype=np.int32),
        goal=None,
        profile=LossProfile(n + 1),
        embeddings=np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (n + 1, 1)),
        trainable=np.ones(n + 1, dtype=bool),
        tokens=0,
        budget=100,
        index=1,
        rng=np.random.default_rng(0),
        measure=lambda topics: np.asarray(topics, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def large() -> View:
    return star(WHOLE + 1)


def test_a_frontier_at_the_limit_is_seen_whole() -> None:
    view = star(WHOLE)
    assert not view.sampled and view.candidates.tolist() == list(range(1, WHOLE + 1))


def test_of_a_larger_one_a_sample_is_seen(large: View) -> None:
    candidates = large.candidates
    assert large.sampled and len(candidates) == SAMPLED and (np.diff(candidates) > 0).all()
    assert np.bincount(candidates // SAMPLED).min() >= 1  # from everywhere
    banned = replace(large, trainable=np.arange(len(large.graph)) % 2 == 0)
    assert len(banned.candidates) and not (banned.candidates % 2).any()


def test_looking_again_shows_the_same_and_draws_nothing(large: View) -> None:
    before = large.rng.bit_generator.state
    first = large.candidates
    assert np.array_equal(first, large.candidates) and np.array_equal(first, replace(large).candidates)
    assert large.rng.bit_generator.state == before


def test_other_expansions_and_other_seeds_see_others(large: View) -> None:
    later, other = replace(large, index=2), replace(large, rng=np.random.default_rng(1))
    assert not np.array_equal(large.candidates, later.candidates)
    assert not np.array_equal(large.candidates, other.candidates)


def test_an_observation_tells_the_size_of_the_whole_frontier(large: View) -> None:
    shown = observe(large, 16)
    assert (shown.topics > 0).all() and len(set(shown.topics.tolist())) == 16
    assert shown.observation["global"][GLOBAL.log_frontier] == pytest.approx(np.log1p(WHOLE + 1) / 10)


def test_a_frontier_tells_whether_any_topic_is_allowed() -> None:
    view = star(300)
    allowed = np.zeros(301, dtype=bool)
    assert not view.frontier.any(allowed)
    allowed[300] = True
    assert view.frontier.any(allowed)
    view.frontier.solidify(300)
    assert not view.frontier.any(allowed)


def test_candidates_of_large_graphs_are_compared_with_all_by_their_sum_and_one_by_one_with_the_last() -> None:
    view, rng = star(12_000), np.random.default_rng(0)
    vectors = rng.normal(size=(12_001, 8)).astype(np.float32)
    view = replace(view, embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    state = FeatureState(view)
    for topic in range(1, 301):
        view.frontier.solidify(topic)
    shown = observe(view, 16, state)
    learned, candidates = view.embeddings[:301], view.embeddings[shown.topics]
    total = learned.sum(axis=0)
    seen = shown.observation["candidates"]
    expected = candidates @ (total / np.linalg.norm(total)), (candidates @ learned[-32:].T).max(axis=1)
    for name, values in zip(("learned_similarity", "nearest_learned_similarity"), expected, strict=True):
        assert np.allclose(seen[:, FEATURES.index(name)], values, atol=1e-5)
