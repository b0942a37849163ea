"""Communities: a topic graph partitioned into parts that are densely linked within.

A partition of the topics is an int32 array `[topics]` of community numbers from 0, -1 for topics that belong to none.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from scipy import sparse

from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["find_communities"]

_RESOLUTION = 1.25
"""Of Louvain's method. At 1 Wikispeedia falls into seven large communities and one of three stray pages, at 1.25 into
eleven large ones; what is more than asked for is merged, what is less cannot be made up."""


def find_communities(graph: TopicGraph, n: int = 8, seed: int = 0) -> IntArray:
    """Partition topics into communities that are densely linked within (Louvain's method, Blondel et al. 2008).

    Links' directions are ignored. The n largest communities that the method finds are kept. Each of the others joins
    the one it shares most links with; one that shares none, and every topic without links, joins the smallest.

    Args:
        graph: The topic graph.
        n: Number of communities.
        seed: Seeds the order in which the method visits topics.

    Returns:
        The community of each topic, int32 of shape `[topics]`, numbered from 0 by size, the largest first.

    Raises:
        SettingError: If n is below 1, or the method finds fewer communities.

    Example:
        >>> ring_of_cliques = TopicGraph.from_networkx(nx.ring_of_cliques(3, 4))
        >>> find_communities(ring_of_cliques, n=3).tolist()
        [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    if n < 1:
        raise SettingError(f"a partition has at least 1 community, not {n}")
    groups = _louvain(graph, seed)
    found = int(groups.max(initial=-1)) + 1
    if found < n:
        raise SettingError(f"the topic graph falls into {found} communities, fewer than the {n} asked for")
    labels = _merged(graph, groups, n)[groups]
    labels[groups < 0] = -1
    smallest = np.bincount(labels[labels >= 0], minlength=n).argmin()
    return _by_size(np.where(labels < 0, smallest, labels))


def _louvain(graph: TopicGraph, seed: int) -> IntArray:
    """The Louvain community of each topic by size, the largest first; -1 for topics without links."""
    linked: nx.Graph[int] = nx.Graph()
    sources, targets = graph.links()
    linked.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    groups = np.full(len(graph), -1, dtype=np.int32)
    found = nx.community.louvain_communities(linked, seed=seed, resolution=_RESOLUTION) if graph.n_links else []
    for number, members in enumerate(found):
        groups[list(members)] = number
    return _by_size(groups)


def _by_size(labels: IntArray) -> IntArray:
    """Number groups anew by size, the largest first; of equal ones the one with the first topic. -1 stays."""
    members = labels[labels >= 0]
    names, first, sizes = np.unique(members, return_index=True, return_counts=True)
    numbers = np.full(int(labels.max(initial=-1)) + 2, -1, dtype=np.int32)  # the last is that of -1
    numbers[names[np.lexsort((first, -sizes))]] = np.arange(len(names))
    renumbered: IntArray = numbers[labels]
    return renumbered


def _merged(graph: TopicGraph, groups: IntArray, n: int) -> IntArray:
    """The kept group, 0 to n - 1, that each group belongs to or joins; -1 where links lead to none of them."""
    found = int(groups.max()) + 1
    sources, targets = graph.links()
    ends = (groups[sources], groups[targets])
    shared = sparse.coo_array((np.ones(len(sources)), ends), shape=(found, found)).tocsr()
    shared = shared + shared.T
    joined = np.where(np.arange(found) < n, np.arange(found), -1).astype(np.int32)
    while True:
        member = sparse.csr_array((joined[:, None] == np.arange(n)).astype(np.float64))
        links = (shared @ member).toarray()  # [groups, kept groups]
        joining = (joined < 0) & (links.max(axis=1) > 0)
        if not joining.any():
            return joined
        # Those whose links lead only to groups that join now get their turn in the next round.
        joined[joining] = links[joining].argmax(axis=1)
