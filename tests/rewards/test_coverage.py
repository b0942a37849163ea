"""Coverage of the graph and of the space of topics: by hand, against their definitions, monotone and submodular."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.rewards import Coverage, FacilityLocation, RewardContext, RewardError
from kgrl.rewards.learned_set import Change

KINDS = [Coverage, FacilityLocation]


def _step(*topics: int) -> Expansion:
    return Expansion(1, topics[0], "", topics, (), 50, 50, 100, 3.2)


@st.composite
def contexts(draw: st.DrawFn) -> RewardContext:
    """A random graph of 3 to 16 topics with random directions, some of them without text."""
    n = draw(st.integers(3, 16))
    seed = draw(st.integers(0, 10_000))
    graph: nx.DiGraph[int] = nx.gnp_random_graph(n, draw(st.floats(0, 0.5)), seed=seed, directed=True)
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) * (rng.random((n, 1)) < 0.8)
    return RewardContext(TopicGraph.from_networkx(graph), rows.astype(np.float32))


def coverage(context: RewardContext, learned: set[int]) -> float:
    """|N[S]| / |V|, from the list of links."""
    sources, targets = (ends.tolist() for ends in context.graph.links())
    reached = set(learned)
    for source, target in zip(sources, targets, strict=True):
        if source in learned or target in learned:
            reached |= {source, target}
    return len(reached) / len(context.graph)


def facility_location(context: RewardContext, learned: set[int]) -> float:
    """mean_v max(0, max_{s in S} cos(v, s))."""
    cosines = context.embeddings @ context.embeddings.T
    return float(np.mean([max([0.0, *(float(row[s]) for s in learned)]) for row in cosines]))


DEFINITIONS = {Coverage: coverage, FacilityLocation: facility_location}


def _values(kind: type[Change], context: RewardContext, *sets: set[int]) -> list[float]:
    """The value of each set, by a reward of its own."""
    found = []
    for learned in sets:
        reward = kind()
        reward.bind(context)
        reward.learn(learned)
        found.append(float(reward.value()))
    return found


def test_coverage_by_hand() -> None:
    """Links a>b, c>b, c>d, and e alone: learning b reaches a, b and c."""
    reward = Coverage()
    graph = TopicGraph.from_links(list("abcde"), [0, 2, 2], [1, 1, 3])
    reward.bind(RewardContext(graph, np.zeros((5, 1), dtype=np.float32)))
    reward.begin(_step(1))
    assert reward.value() == 3 / 5
    assert [reward(_step(0)), reward(_step(2)), reward(_step(3)), reward(_step(4))] == pytest.approx([0, 0.2, 0, 0.2])
    assert reward.value() == 1


def test_facility_location_by_hand() -> None:
    """East, north, between them, west: a west topic is as far from east as from nothing."""
    embeddings = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    graph = TopicGraph.from_links(list("abcd"), [0], [1])
    reward = FacilityLocation()
    reward.bind(RewardContext(graph, embeddings))
    assert reward(_step(0)) == pytest.approx((1 + 0 + 0.6 + 0) / 4)
    assert reward(_step(2)) == pytest.approx((0.8 + 0.4) / 4)  # north is 0.8 near now, the topic itself 1
    assert reward(_step(3, 1)) == pytest.approx((1 + 0.2) / 4)
    assert reward.value() == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
@given(context=contexts(), data=st.data())
def test_values_are_those_of_the_definition_and_rewards_add_up_to_them(
    kind: type[Change], context: RewardContext, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(context.graph))))
    size = data.draw(st.integers(1, 4))
    reward, total, learned = kind(), 0.0, set(order[:1])
    reward.bind(context)
    reward.begin(_step(order[0]))
    start = DEFINITIONS[kind](context, learned)
    assert reward.value() == pytest.approx(start, abs=1e-6)
    for at in range(1, len(order), size):
        total += reward(_step(*order[at : at + size]))
        learned |= set(order[at : at + size])
        assert start + total == pytest.approx(DEFINITIONS[kind](context, learned), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(context=contexts(), data=st.data())
def test_a_topic_adds_no_less_to_fewer_and_never_takes_away(
    kind: type[Change], context: RewardContext, data: st.DataObject
) -> None:
    """Monotone and submodular, from 0 for nothing to at most 1: what makes greedy choice good."""
    topics = st.integers(0, len(context.graph) - 1)
    few = data.draw(st.sets(topics))
    many = few | data.draw(st.sets(topics))
    topic = {data.draw(topics)}
    none, small, small_more, large, large_more = _values(kind, context, set(), few, few | topic, many, many | topic)
    assert none == 0
    assert small <= large + 1e-6 and large <= large_more + 1e-6 and large_more <= 1 + 1e-6
    assert small_more - small >= large_more - large - 1e-6


@pytest.mark.parametrize("kind", KINDS)
@given(context=contexts(), data=st.data())
def test_learning_a_topic_twice_changes_nothing(
    kind: type[Change], context: RewardContext, data: st.DataObject
) -> None:
    topics = data.draw(st.lists(st.integers(0, len(context.graph) - 1), min_size=1, max_size=5))
    reward = kind()
    reward.bind(context)
    first = reward(_step(*topics, *topics))
    assert reward(_step(*topics)) == 0
    assert first == pytest.approx(DEFINITIONS[kind](context, set(topics)), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(context=contexts())
def test_a_reset_forgets(kind: type[Change], context: RewardContext) -> None:
    reward = kind()
    reward.bind(context)
    first = [reward(_step(0, 1)), reward(_step(2))]
    reward.reset()
    assert reward.value() == 0
    assert first == [reward(_step(0, 1)), reward(_step(2))]


def _many(topics: int) -> RewardContext:
    rng = np.random.default_rng(0)
    rows: NDArray[np.float64] = rng.normal(size=(topics, 6))
    graph = TopicGraph.from_links([f"t{i}" for i in range(topics)], range(topics - 1), range(1, topics))
    return RewardContext(graph, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_the_mean_over_a_sample_is_near_that_over_all() -> None:
    context, learned = _many(3_000), set(range(0, 3_000, 100))
    reward = FacilityLocation(sample=1_000)
    reward.bind(context)
    reward.learn(learned)
    assert reward.value() == pytest.approx(facility_location(context, learned), abs=0.02)
    again = FacilityLocation(sample=1_000)
    again.bind(context)
    again.learn(learned)
    assert again.value() == reward.value()


def test_a_sample_has_a_topic() -> None:
    with pytest.raises(ValueError, match="at least 1 topic, not 0"):
        FacilityLocation(sample=0)


@pytest.mark.parametrize(("kind", "reads"), [(Coverage, "graph"), (FacilityLocation, "embeddings, graph")])
def test_an_unbound_reward_says_what_to_do(kind: type[Change], reads: str) -> None:
    with pytest.raises(RewardError, match=f"reads {reads}: call bind"):
        kind()(_step(0))
