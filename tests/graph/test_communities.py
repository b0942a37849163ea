"""Communities of a topic graph: what a partition always is, and who belongs together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.wikispeedia.corpus import read_graph
from kgrl.errors import SettingError
from kgrl.graph import TopicGraph
from kgrl.graph.communities import find_communities


def cliques(*sizes: int, links: tuple[tuple[int, int], ...] = (), alone: int = 0) -> TopicGraph:
    """Groups of topics that all link to one another, links between topics, and topics without links."""
    starts = np.cumsum([0, *sizes]).tolist()
    ends = [(a, b) for start, size in zip(starts, sizes, strict=False) for a in range(start, start + size)
            for b in range(start, a)]  # fmt: skip
    sources, targets = zip(*ends, *links, strict=True)
    return TopicGraph.from_links([f"t{topic}" for topic in range(starts[-1] + alone)], sources, targets)


@st.composite
def graphs(draw: st.DrawFn) -> TopicGraph:
    n = draw(st.integers(1, 30))
    topics = st.integers(0, n - 1)
    links = draw(st.lists(st.tuples(topics, topics), max_size=60))
    return TopicGraph.from_links([f"t{topic}" for topic in range(n)], [a for a, _ in links], [b for _, b in links])


@given(graphs(), st.integers(1, 4), st.integers(0, 3))
def test_every_topic_belongs_to_a_community_numbered_by_size(graph: TopicGraph, n: int, seed: int) -> None:
    try:
        partition = find_communities(graph, n, seed)
    except SettingError as error:
        assert "fewer" in str(error)
        return
    sizes = np.bincount(partition)
    assert partition.shape == (len(graph),) and partition.dtype == np.int32
    assert len(sizes) == n and partition.min() >= 0 and sizes.min() >= 1
    assert np.all(np.diff(sizes) <= 0)
    assert np.array_equal(partition, find_communities(graph, n, seed))


def test_cliques_are_communities() -> None:
    graph = cliques(6, 5, 4, links=((0, 6), (7, 11)))
    assert find_communities(graph, 3).tolist() == [0] * 6 + [1] * 5 + [2] * 4


def test_a_small_community_joins_the_one_it_shares_most_links_with() -> None:
    graph = cliques(8, 7, 4, links=((0, 15), (8, 16), (9, 17)))
    assert find_communities(graph, 2).tolist() == [1] * 8 + [0] * 11


def test_a_community_joins_by_way_of_others_that_join() -> None:
    graph = cliques(9, 8, 5, 4, links=((9, 17), (18, 22)))
    assert find_communities(graph, 2).tolist() == [1] * 9 + [0] * 17


def test_what_shares_no_link_joins_the_smallest() -> None:
    graph = cliques(8, 6, 3, alone=2)
    assert find_communities(graph, 2).tolist() == [1] * 8 + [0] * 6 + [0] * 5


@pytest.mark.parametrize(("n", "found"), [(4, 3), (9, 3)])
def test_too_few_communities_are_an_error(n: int, found: int) -> None:
    with pytest.raises(SettingError, match=rf"falls into {found} communities, fewer than the {n}"):
        find_communities(cliques(4, 4, 4, alone=6), n)


def test_a_graph_without_links_has_no_communities() -> None:
    with pytest.raises(SettingError, match="falls into 0 communities"):
        find_communities(TopicGraph.from_links(["a", "b"], [], []), 1)


def test_no_community_is_no_partition() -> None:
    with pytest.raises(SettingError, match="at least 1"):
        find_communities(cliques(4), 0)


@pytest.mark.integration
def test_wikispeedia_has_communities(wikispeedia_root: Path) -> None:
    graph = read_graph(wikispeedia_root)
    partition = find_communities(graph, 5)
    sizes = np.bincount(partition)
    assert sizes.sum() == len(graph) and sizes.min() > 300
    sources, targets = graph.links()
    within = np.mean(partition[sources] == partition[targets])
    shuffled = np.random.default_rng(0).permutation(partition)
    assert within > 2 * np.mean(shuffled[sources] == shuffled[targets])
