"""Coherence of a topic's text with its links, and what lacking it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.traps.planted import plant
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.graph.relations import coherence
from kgrl.rewards import IncoherencePenalty, RewardContext, RewardError
from kgrl.testing.samples import sample_corpus

# Two pairs of twins that are linked with each other, and a stranger that is linked with one of each.
PAIRS = TopicGraph.from_links(["Cat", "Dog", "Sum", "Product", "Spam"], [0, 2, 4, 4], [1, 3, 0, 2])
VECTORS = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)


def _step(*topics: int) -> Expansion:
    return Expansion(1, topics[0], "", topics, (), 50, 50, 100, 3.2)


def _bound(reward: IncoherencePenalty) -> IncoherencePenalty:
    reward.bind(RewardContext(PAIRS, VECTORS))
    return reward


def test_coherence_by_hand() -> None:
    # Ends of the 4 links: Cat 2, Dog 1, Sum 2, Product 1, Spam 2; the mean end has 3/8 of each kind, and 1/4 of spam.
    np.testing.assert_allclose(coherence(PAIRS, VECTORS), [1 / 2 - 3 / 8, 5 / 8, 1 / 2 - 3 / 8, 5 / 8, -1 / 4])


def test_only_the_stranger_costs_something() -> None:
    penalty = _bound(IncoherencePenalty(0.1))
    assert [penalty(_step(topic)) for topic in range(5)] == pytest.approx([0, 0, 0, 0, -0.35])
    assert penalty(_step(0, 4)) == pytest.approx(-0.175)
    assert _bound(IncoherencePenalty(0.5))(_step(0)) == pytest.approx(-0.375)


@given(st.integers(3, 30), st.integers(0, 1_000))
def test_links_drawn_at_random_have_no_coherence_on_average(topics: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(topics, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    everyone = np.array([(a, b) for a in range(topics) for b in range(a)])
    full = TopicGraph.from_links([f"t{i}" for i in range(topics)], everyone[:, 0], everyone[:, 1])
    # Linked with all others: what is left is that nobody is linked with oneself, whose cosine is 1.
    expected = (vectors @ vectors.sum(0) - 1) / (topics - 1) - vectors @ vectors.mean(0)
    np.testing.assert_allclose(coherence(full, vectors.astype(np.float32)), expected, atol=1e-5)


def test_topics_without_links_or_text_have_none() -> None:
    alone = TopicGraph.from_links(["a", "b", "c"], [0], [1])
    found = coherence(alone, np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32))
    assert found[1] == 0 and found[2] == 0


def test_planted_topics_cost_more_than_real_ones() -> None:
    """The sample corpus has too few words to tell by; embeddings say what category a topic's twin has."""
    planted = plant(sample_corpus(), ["La logique est une science."], share=0.4, seed=1)
    graph = planted.corpus.graph
    vectors = np.array([[name == "Mathematics", name == "Nature"] for name in graph.categories], dtype=np.float32)
    vectors[planted.is_planted] = [-0.6, 0.8]
    penalty = IncoherencePenalty()
    penalty.bind(RewardContext(graph, vectors))
    costs = np.array([penalty(_step(topic)) for topic in range(len(graph))])
    assert costs[planted.is_planted].mean() < costs[~planted.is_planted].mean()


def test_what_is_refused() -> None:
    with pytest.raises(SettingError, match="least is a difference of cosines"):
        IncoherencePenalty(0)
    with pytest.raises(RewardError, match="call bind"):
        IncoherencePenalty()(_step(0))
