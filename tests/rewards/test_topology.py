"""Holes, cycles and freedom of the learned subgraph, against GUDHI and by hand."""

from __future__ import annotations

from typing import TypeVar

import gudhi
import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.rewards import ConformationalFreedom, CycleRank, InformationGap, Reward, RewardContext, RewardError

R = TypeVar("R", bound=Reward)

# A hexagon 0 to 5, whose hole the hub 6 fills; 7 hangs on 0, 8 hangs on nothing.
WHEEL = TopicGraph.from_links(
    [f"t{i}" for i in range(9)],
    [0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 7],
    [1, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4, 5, 0],
)


def _step(*topics: int) -> Expansion:
    return Expansion(1, topics[0], "", topics, (), 50, 50, 100, 3.2)


def _bound(reward: R, graph: TopicGraph) -> R:
    reward.bind(RewardContext(graph, np.zeros((len(graph), 1), dtype=np.float32)))
    return reward


def _betti(graph: TopicGraph, topics: list[int]) -> int:
    """GUDHI's first Betti number over GF(2) of the clique complex."""
    tree = gudhi.SimplexTree()
    for topic in topics:
        tree.insert([topic])
        for other in set(graph.neighbours(topic).tolist()) & set(topics):
            tree.insert([topic, other])
    tree.expansion(2)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    return int((*tree.betti_numbers(), 0)[1])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[TopicGraph, list[int]]:
    """A random graph and an order of its topics."""
    n = draw(st.integers(2, 24))
    drawn: nx.Graph[int] = nx.gnp_random_graph(n, draw(st.floats(0.05, 0.8)), seed=draw(st.integers(0, 10_000)))
    return TopicGraph.from_networkx(drawn), draw(st.permutations(range(n)))


def test_a_hexagon_has_a_hole_until_its_hub_is_learned() -> None:
    gap, rank = _bound(InformationGap(), WHEEL), _bound(CycleRank(), WHEEL)
    steps = [_step(0, 1, 2), _step(3, 4), _step(5), _step(7, 8), _step(6)]
    assert [gap(step) for step in steps] == [0, 0, 1, 0, -1]
    # 12 links, 9 topics and 2 components at the end: 13 - 9 + 2 with the link of 7.
    assert [rank(step) for step in steps] == [0, 0, 1, 0, 5]


def test_freedom_is_two_for_a_topic_and_one_less_for_each_link() -> None:
    freedom = _bound(ConformationalFreedom(), WHEEL)
    assert [freedom(step) for step in (_step(0, 1, 2), _step(8), _step(6))] == [2 * 3 - 2, 2, 2 - 3]
    assert freedom.value() == 2 * 5 - 5 - 3
    assert _bound(ConformationalFreedom(3), WHEEL)(_step(0, 1)) == 3 * 2 - 1
    with pytest.raises(ValueError, match="at least 1 dimension"):
        ConformationalFreedom(0)


def test_a_square_of_suspended_squares_has_no_hole_that_triangles_fill() -> None:
    octahedron = TopicGraph.from_networkx(nx.octahedral_graph())
    gap = _bound(InformationGap(), octahedron)
    gap.learn(range(6))
    assert gap.value() == 0  # a sphere


@given(graphs())
def test_betti_numbers_are_those_of_gudhi_after_every_topic(drawn: tuple[TopicGraph, list[int]]) -> None:
    graph, order = drawn
    gap = _bound(InformationGap(), graph)
    for at, topic in enumerate(order):
        gap(_step(topic))
        assert gap.value() == _betti(graph, order[: at + 1])


def test_more_holes_than_a_word_has_bits_are_counted() -> None:
    grid: nx.Graph[tuple[int, int]] = nx.grid_2d_graph(16, 16)
    graph = TopicGraph.from_networkx(nx.convert_node_labels_to_integers(grid))
    gap = _bound(InformationGap(), graph)
    gap.learn(np.random.default_rng(0).permutation(256).tolist())
    assert gap.value() == 15 * 15


@pytest.mark.parametrize("reward", [InformationGap(), CycleRank(), ConformationalFreedom()], ids=lambda r: r.name)
@given(drawn=graphs(), size=st.integers(1, 4))
def test_rewards_add_up_to_what_any_order_gives(reward: Reward, drawn: tuple[TopicGraph, list[int]], size: int) -> None:
    graph, order = drawn
    other = _bound(type(reward)(), graph)
    _bound(reward, graph).begin(_step(order[0]))
    other.begin(_step(order[0]))
    one_by_one = sum(reward(_step(topic)) for topic in sorted(order[1:]))
    assert one_by_one == sum(other(_step(*order[at : at + size])) for at in range(1, len(order), size))


@given(graphs())
def test_cycle_rank_is_that_of_networkx(drawn: tuple[TopicGraph, list[int]]) -> None:
    graph, order = drawn
    rank = _bound(CycleRank(), graph)
    rank.learn(order)
    links = nx.Graph(zip(*(ends.tolist() for ends in graph.links()), strict=True))
    assert rank.value() == len(nx.cycle_basis(links))


def test_learning_a_topic_twice_changes_nothing() -> None:
    for reward in (InformationGap(), CycleRank(), ConformationalFreedom()):
        _bound(reward, WHEEL).begin(_step(*range(6)))
        assert reward(_step(2, 3)) == 0


def test_an_unbound_reward_says_what_to_do() -> None:
    message = r"'information-gap' reads graph: call bind"
    with pytest.raises(RewardError, match=message):
        InformationGap()(_step(0))
    with pytest.raises(RewardError, match=message):
        InformationGap().begin(_step(0))
    InformationGap().reset()  # there is nothing to forget
