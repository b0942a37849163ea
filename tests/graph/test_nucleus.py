"""Nucleation: scores as networkx computes them, and connected results."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from kgrl.corpus import Corpus
from kgrl.errors import UnknownNameError
from kgrl.graph import TopicGraph
from kgrl.graph.nucleus import choose_nucleus, connect, pagerank


def is_connected(graph: TopicGraph, topics: np.ndarray) -> bool:
    inside = graph.to_networkx().to_undirected().subgraph([graph.titles[t] for t in topics])
    return nx.is_connected(inside)


@pytest.mark.parametrize("restart", [None, [3, 5]])
def test_pagerank_agrees_with_networkx(tiny_corpus: Corpus, restart: list[int] | None) -> None:
    graph = tiny_corpus.graph
    ours = pagerank(graph, None if restart is None else np.array(restart, dtype=np.int32))
    home = None if restart is None else {graph.titles[t]: 1.0 for t in restart}
    theirs = nx.pagerank(nx.Graph(graph.to_networkx()), personalization=home, tol=1e-10)
    assert ours == pytest.approx([theirs[t] for t in graph.titles], abs=1e-6)


@pytest.mark.parametrize("method", ["pagerank", "k-core"])
def test_nucleus_by_score_is_connected_and_has_the_size(tiny_corpus: Corpus, method: str) -> None:
    nucleus = choose_nucleus(tiny_corpus.graph, method, size=6)
    assert len(set(nucleus.tolist())) == 6
    assert is_connected(tiny_corpus.graph, nucleus)


def test_nucleus_starts_inside_the_goal(tiny_corpus: Corpus) -> None:
    goal = tiny_corpus.graph.in_category("Craft")
    nucleus = choose_nucleus(tiny_corpus.graph, size=5, goal=goal)
    assert nucleus[0] in goal
    assert is_connected(tiny_corpus.graph, nucleus)


def test_ineligible_topics_are_not_chosen(tiny_corpus: Corpus) -> None:
    graph = tiny_corpus.graph
    best = choose_nucleus(graph, size=4)
    eligible = ~np.isin(np.arange(len(graph)), best)
    assert not set(choose_nucleus(graph, size=4, eligible=eligible).tolist()) & set(best.tolist())
    with pytest.raises(ValueError, match="no topic to start from"):
        choose_nucleus(graph, eligible=np.zeros(len(graph), dtype=bool))


def test_titles_are_joined_by_shortest_paths() -> None:
    path = TopicGraph.from_links(list("abcdef"), [0, 1, 2, 3], [1, 2, 3, 4])
    assert choose_nucleus(path, ["a", "d"]).tolist()[:2] == [0, 3]
    assert sorted(choose_nucleus(path, ["a", "d"]).tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no path joins 'a' and 'f'"):
        choose_nucleus(path, ["a", "f"])


def test_connect_leaves_connected_topics_alone(tiny_corpus: Corpus) -> None:
    assert connect(tiny_corpus.graph, [0, 1, 2]).tolist() == [0, 1, 2]


def test_unknown_method_is_named(tiny_corpus: Corpus) -> None:
    with pytest.raises(UnknownNameError, match="pagerank, k-core"):
        choose_nucleus(tiny_corpus.graph, "pagrank")


def test_nucleus_stops_at_the_end_of_its_component() -> None:
    graph = TopicGraph.from_links(list("abcd"), [0, 2], [1, 3])
    assert len(choose_nucleus(graph, size=4)) == 2


def test_a_few_topics_that_nothing_links_to_are_no_nucleus() -> None:
    """Two topics linked with one another alone outrank all others, and lead nowhere."""
    outside = [f"outside {i}" for i in range(12)]
    sources, targets = [0, 0, 1, 3, *[i % 3 for i in range(12)]], [1, 2, 2, 4, *range(5, 17)]
    graph = TopicGraph.from_links(["hub", "a", "b", "pair", "twin", *outside], sources, targets)
    goal = np.arange(5, dtype=np.int32)
    assert pagerank(graph, goal).argmax() in (3, 4)
    assert set(choose_nucleus(graph, size=3, goal=goal).tolist()) == {0, 1, 2}
    # Where only they belong to the goal, they are all there is.
    assert set(choose_nucleus(graph, size=2, goal=goal[3:]).tolist()) == {3, 4}
