"""Nucleate: choose the connected core of topics that a curriculum starts from."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from kgrl.errors import SettingError, UnknownNameError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["NUCLEUS_METHODS", "choose_nucleus", "connect", "grow_nucleus", "pagerank"]

NUCLEUS_METHODS = ("pagerank", "k-core")
_DAMPING = 0.85


def choose_nucleus(
    graph: TopicGraph,
    method: str | Sequence[str] = "pagerank",
    size: int = 8,
    goal: IntArray | None = None,
    eligible: NDArray[np.bool_] | None = None,
) -> IntArray:
    """Choose a connected nucleus.

    Args:
        graph: The topic graph.
        method: `"pagerank"` (personalised to the goal, plain without one), `"k-core"` (the innermost shells of the
            undirected graph), or titles; titles that are not connected are joined by shortest paths.
        size: Number of topics for the two scores; a list of titles has its own length.
        goal: Topics of the goal; the nucleus is then chosen inside it as far as it is connected, in the connected part
            of the graph that holds most of them.
        eligible: Whether each topic may be chosen by score (has text), shape `[topics]`.

    Returns:
        Topics, int32, best first.

    Raises:
        UnknownNameError: If the method or a title is not known.
        SettingError: If no topic is eligible or the titles lie in different components.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d", "e"], [0, 0, 0, 3], [1, 2, 3, 4])
        >>> choose_nucleus(graph, size=2).tolist()
        [0, 3]
        >>> choose_nucleus(graph, ["b", "c"]).tolist()
        [1, 2, 0]
    """
    if not isinstance(method, str):
        return connect(graph, [graph.index(title) for title in method])
    if method == "pagerank":
        scores = pagerank(graph, goal)
    elif method == "k-core":
        cores = nx.core_number(nx.Graph(graph.to_networkx().to_undirected()))
        # Shells have many members; degree, below one, orders topics within a shell.
        scores = np.array([cores[t] for t in graph.titles]) + graph.degree / (1.0 + graph.degree.max(initial=0))
    else:
        raise UnknownNameError("nucleus method", method, NUCLEUS_METHODS)
    return _grow_from(graph, scores, size, goal, _in_largest_part(graph, goal, eligible))


def _in_largest_part(graph: TopicGraph, goal: IntArray | None, eligible: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The eligible topics of the connected part that holds most of the goal's, or most of all.

    A few topics that are linked with one another alone keep all of a personalised PageRank to themselves, and a
    curriculum that started there would have no frontier.
    """
    allowed = np.ones(len(graph), dtype=bool) if eligible is None else eligible
    part = connected_components(graph.adjacency, directed=False)[1]
    among = np.flatnonzero(allowed) if goal is None else goal[allowed[goal]]
    return allowed & (part == np.bincount(part[among]).argmax()) if len(among) else allowed


def grow_nucleus(
    graph: TopicGraph,
    start: int,
    size: int = 8,
    goal: IntArray | None = None,
    eligible: NDArray[np.bool_] | None = None,
) -> IntArray:
    """Grow a connected nucleus from a topic, always adding the linked topic with the most links.

    Args:
        graph: The topic graph.
        start: The topic; one of the goal's that is eligible.
        size: Number of topics.
        goal: Topics of the goal; the nucleus stays inside it as far as it is connected.
        eligible: Whether each topic may be chosen, shape `[topics]`.

    Returns:
        Topics, int32, the start first.

    Raises:
        SettingError: If no topic is eligible.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d", "e"], [0, 0, 0, 3], [1, 2, 3, 4])
        >>> grow_nucleus(graph, 4, size=3).tolist()
        [4, 3, 0]
    """
    scores = graph.degree.astype(np.float64)
    scores[start] = np.inf
    return _grow_from(graph, scores, size, goal, eligible)


def _grow_from(
    graph: TopicGraph,
    scores: NDArray[np.float64],
    size: int,
    goal: IntArray | None,
    eligible: NDArray[np.bool_] | None,
) -> IntArray:
    """Grow a nucleus from the eligible topic with the highest score, inside the goal as far as it is connected."""
    allowed = np.ones(len(graph), dtype=bool) if eligible is None else eligible
    preferred = allowed if goal is None else allowed & np.isin(np.arange(len(graph)), goal)
    if not preferred.any():
        raise SettingError(
            "no topic to start from: none has train passages" + (" in the goal" if goal is not None else "")
        )
    return _grow(graph, scores, preferred, allowed, size)


def pagerank(graph: TopicGraph, restart: IntArray | None = None, tolerance: float = 1e-8) -> NDArray[np.float64]:
    """Return the PageRank of every topic over undirected links, by power iteration.

    Args:
        graph: The topic graph.
        restart: Topics the walk restarts from, uniformly; all topics if None.
        tolerance: Largest total change at which the iteration stops.

    Returns:
        Probabilities, shape `[topics]`, summing to 1.

    Example:
        >>> star = TopicGraph.from_links(["hub", "a", "b"], [0, 0], [1, 2])
        >>> pagerank(star).argmax()
        np.int64(0)
    """
    n = len(graph)
    home = np.zeros(n)
    home[np.arange(n) if restart is None else restart] = 1.0
    home /= home.sum()
    share = np.divide(1.0, graph.degree, out=np.zeros(n), where=graph.degree > 0)
    rank = home.copy()
    for _ in range(200):
        flow = graph.adjacency @ (rank * share)
        # What sits on topics without links restarts, so that the ranks keep summing to one.
        following = _DAMPING * flow + (1.0 - _DAMPING * flow.sum()) * home
        change, rank = np.abs(following - rank).sum(), following
        if change < tolerance:
            break
    return rank


def connect(graph: TopicGraph, topics: Sequence[int]) -> IntArray:
    """Return the topics and whatever lies on shortest paths that join them into one piece.

    Raises:
        SettingError: If two of them lie in different components; the message names them.
    """
    joined = dict.fromkeys(int(t) for t in topics)
    first = next(iter(joined))
    for topic in topics[1:]:
        if graph.components[topic] != graph.components[first]:
            raise SettingError(
                f"no path joins {graph.titles[first]!r} and {graph.titles[topic]!r}; choose another nucleus"
            )
    reached = {first}
    for topic in list(joined)[1:]:
        path = _shortest_path(graph, topic, reached)
        joined.update(dict.fromkeys(path))
        reached.update(path)
    return np.array(list(joined), dtype=np.int32)


def _shortest_path(graph: TopicGraph, start: int, ends: set[int]) -> list[int]:
    """The topics on a shortest undirected path from `start` to any of `ends`."""
    parent = {start: start}
    layer = [start]
    while True:
        hit = next((t for t in layer if t in ends), None)
        if hit is not None:
            break
        following: list[int] = []
        for topic in layer:
            for near in graph.neighbours(topic).tolist():
                if near not in parent:
                    parent[near] = topic
                    following.append(near)
        layer = following
    path = [hit]
    while path[-1] != start:
        path.append(parent[path[-1]])
    return path


def _grow(
    graph: TopicGraph, scores: NDArray[np.float64], preferred: NDArray[np.bool_], allowed: NDArray[np.bool_], size: int
) -> IntArray:
    """Grow a connected set from the best preferred topic, always adding the best topic linked with it.

    Topics outside the preferred ones are taken only where no preferred one is linked; the set stays smaller than `size`
    when its component ends.
    """
    chosen = [int(np.argmax(np.where(preferred, scores, -np.inf)))]
    linked: set[int] = set()
    while len(chosen) < size:
        linked.update(t for t in graph.neighbours(chosen[-1]).tolist() if allowed[t])
        linked.difference_update(chosen)
        if not linked:
            break
        chosen.append(max(linked, key=lambda t: (bool(preferred[t]), scores[t], -t)))
    return np.array(chosen, dtype=np.int32)
