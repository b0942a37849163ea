"""Communities of a topic graph: parts that are densely linked within.

A partition of the topics is an int32 array `[topics]` of community numbers from 0, -1 for topics of no community.
"""

from __future__ import annotations

import numpy as np

from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["find_communities"]

_RESOLUTION = 1.25
"""Resolution of Louvain's method. At 1 Wikispeedia falls into seven large communities and one of three isolated pages,
at 1.25 into eleven large ones. More communities than asked for can be merged; too few cannot be split."""


def find_communities(graph: TopicGraph, n: int = 8, seed: int = 0) -> IntArray:
    """Partition topics into communities that are densely linked within (Louvain's method, Blondel et al. 2008).

    Links' directions are ignored. The n largest communities that the method finds are kept. Each of the others joins
    the kept one with which it shares most links. Those that share none join the smallest, and so does every topic
    without links.

    Args:
        graph: The topic graph.
        n: Number of communities.
        seed: Seeds the order in which the method visits topics.

    Returns:
        The community of each topic, int32 of shape `[topics]`, numbered from 0 by size, the largest first.

    Raises:
        SettingError: If n is below 1, or the method finds fewer communities.

    Example:
        >>> import networkx as nx
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
    """Return the Louvain community of each topic, numbered by size from the largest; -1 for topics without links."""
    import networkx as nx

    linked: nx.Graph[int] = nx.Graph()
    sources, targets = graph.links()
    linked.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    groups = np.full(len(graph), -1, dtype=np.int32)
    found = nx.community.louvain_communities(linked, seed=seed, resolution=_RESOLUTION) if graph.n_links else []
    for number, members in enumerate(found):
        groups[list(members)] = number
    return _by_size(groups)


def _by_size(labels: IntArray) -> IntArray:
    """Return groups numbered by size from the largest, ties by their first topic; -1 stays."""
    members = labels[labels >= 0]
    names, first, sizes = np.unique(members, return_index=True, return_counts=True)
    numbers = np.full(int(labels.max(initial=-1)) + 2, -1, dtype=np.int32)  # the last is that of -1
    numbers[names[np.lexsort((first, -sizes))]] = np.arange(len(names))
    renumbered: IntArray = numbers[labels]
    return renumbered


def _merged(graph: TopicGraph, groups: IntArray, n: int) -> IntArray:
    """Return the kept group, 0 to n - 1, that each group is or joins; -1 for groups without a path to a kept one."""
    from scipy import sparse  # here, since all agents are imported with the bandits, which few use

    found = int(groups.max()) + 1
    sources, targets = graph.links()
    ends = (groups[sources], groups[targets])
    shared = sparse.coo_array((np.ones(len(sources)), ends), shape=(found, found)).tocsr()
    shared = shared + shared.T  # links between groups in either direction, [groups, groups]
    joined = np.where(np.arange(found) < n, np.arange(found), -1).astype(np.int32)
    while True:
        member = sparse.csr_array((joined[:, None] == np.arange(n)).astype(np.float64))
        links = (shared @ member).toarray()  # [groups, kept groups]
        joining = (joined < 0) & (links.max(axis=1) > 0)
        if not joining.any():
            return joined
        # Groups that are linked only with groups that join in this round get their turn in the next.
        joined[joining] = links[joining].argmax(axis=1)
