"""The topic graph and its frontier, against direct definitions."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.errors import UnknownNameError
from kgrl.graph import Frontier, TopicGraph

N = 12
ends = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=40)


def graph_of(links: list[tuple[int, int]]) -> TopicGraph:
    titles = [f"t{i}" for i in range(N)]
    return TopicGraph.from_links(titles, [a for a, _ in links], [b for _, b in links], ["even", "odd"] * (N // 2))


@given(ends)
def test_rows_hold_each_link_once_and_no_self_links(links: list[tuple[int, int]]) -> None:
    graph = graph_of(links)
    wanted = {(a, b) for a, b in links if a != b}
    assert {(a, int(b)) for a in range(N) for b in graph.out(a)} == wanted
    assert graph.n_links == len(wanted)
    for topic in range(N):
        near = {b for a, b in wanted if a == topic} | {a for a, b in wanted if b == topic}
        assert graph.neighbours(topic).tolist() == sorted(near)
        assert graph.degree[topic] == len(near)


@given(ends)
def test_networkx_round_trip_keeps_everything(links: list[tuple[int, int]]) -> None:
    graph = graph_of(links)
    again = TopicGraph.from_networkx(graph.to_networkx())
    assert again.fingerprint == graph.fingerprint


@given(ends, st.permutations(range(N)))
def test_frontier_is_what_the_definition_says(links: list[tuple[int, int]], order: list[int]) -> None:
    graph = graph_of(links)
    frontier = Frontier(graph)
    for count, topic in enumerate(order, 1):
        frontier.learn(topic)
        learned = set(order[:count])
        expected = {v for v in range(N) if v not in learned and learned & set(graph.neighbours(v).tolist())}
        assert set(frontier.topics.tolist()) == expected
        assert len(frontier) == len(expected)
        for v in range(N):
            assert frontier.links_to_learned[v] == len(learned & set(graph.neighbours(v).tolist()))
    assert frontier.learned.tolist() == list(order)


def test_frontier_is_in_order_of_discovery() -> None:
    graph = TopicGraph.from_links(list("abcde"), [0, 0, 1], [3, 1, 2])
    frontier = Frontier(graph, [0])
    assert frontier.topics.tolist() == [1, 3]
    frontier.learn(1)
    assert frontier.topics.tolist() == [3, 2]


def test_frontier_views_cannot_be_written() -> None:
    frontier = Frontier(graph_of([(0, 1)]), [0])
    with pytest.raises(ValueError, match="read-only"):
        frontier.is_learned[1] = True
    with pytest.raises(ValueError, match="read-only"):
        frontier.links_to_learned[1] = 0


def test_components_ignore_direction() -> None:
    graph = graph_of([(0, 1), (2, 1), (3, 4)])
    undirected = nx.Graph([(0, 1), (2, 1), (3, 4)])
    undirected.add_nodes_from(range(N))
    assert len(set(graph.components.tolist())) == nx.number_connected_components(undirected)
    assert graph.components[0] == graph.components[2] != graph.components[3]


def test_fingerprint_tells_graphs_apart() -> None:
    assert graph_of([(0, 1)]).fingerprint == graph_of([(0, 1)]).fingerprint
    assert graph_of([(0, 1)]).fingerprint != graph_of([(1, 0)]).fingerprint


def test_unknown_title_and_category_suggest_the_nearest() -> None:
    graph = graph_of([])
    with pytest.raises(UnknownNameError, match="did you mean 't1'"):
        graph.index("T1")
    with pytest.raises(UnknownNameError, match="Known: even, odd"):
        graph.in_category("evn")
    assert graph.in_category("odd").tolist() == list(range(1, N, 2))


@pytest.mark.parametrize(
    ("titles", "sources", "targets", "message"),
    [(["a", "a"], [], [], "two topics"), (["a"], [0], [1], "outside the 1 topics"), (["a"], [-1], [0], "outside")],
)
def test_bad_graphs_are_refused(titles: list[str], sources: list[int], targets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopicGraph.from_links(titles, sources, targets)


def test_learning_costs_the_topic_s_links_not_the_graph() -> None:
    """The frontier after one step holds exactly the neighbours, though the graph is large."""
    n = 200_000
    graph = TopicGraph.from_links([str(i) for i in range(n)], np.arange(n - 1), np.arange(1, n))
    frontier = Frontier(graph, [n // 2])
    assert sorted(frontier.topics.tolist()) == [n // 2 - 1, n // 2 + 1]
