"""Choice of the nucleus, the connected core of topics that a curriculum starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import SettingError, UnknownNameError
from kgrl.graph.titled import titled_topics
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["NUCLEUS_METHODS", "choose_nucleus", "connect", "grow_nucleus", "nucleus_by_score", "pagerank"]

NUCLEUS_METHODS = ("pagerank", "k-core")
_MOST_ITERATIONS = 200
"""Enough for the tolerance of `pagerank`: a change shrinks by the damping factor each time, and 0.85^200 is 1e-14."""
_DAMPING = 0.85
"""Damping factor of PageRank: the probability of following a link instead of restarting."""


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
        size: Number of topics to choose by score; a list of titles has its own length.
        goal: Topics of the goal, int32. The nucleus is chosen inside the goal as far as the goal is connected, in the
            connected component that holds most of the goal.
        eligible: Whether each topic may be chosen by score (has text), bool `[topics]`; all if None.

    Returns:
        Topics, int32, the best first; fewer than `size` if the component is smaller.

    Raises:
        UnknownNameError: If the method or a title is not known.
        SettingError: If no topic is eligible, several titles are not known, or they lie in different components.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d", "e"], [0, 0, 0, 3], [1, 2, 3, 4])
        >>> choose_nucleus(graph, size=2).tolist()
        [0, 3]
        >>> choose_nucleus(graph, ["b", "c"]).tolist()
        [1, 2, 0]
    """
    if not isinstance(method, str):
        return connect(graph, titled_topics(graph, method).tolist())
    if method == "pagerank":
        scores = pagerank(graph, goal)
    elif method == "k-core":
        import networkx as nx

        cores = nx.core_number(nx.Graph(graph.to_networkx().to_undirected()))
        # Shells have many members; the degree, scaled to below 1, orders the topics of a shell.
        scores = np.array([cores[t] for t in graph.titles]) + graph.degree / (1.0 + graph.degree.max(initial=0))
    else:
        raise UnknownNameError("nucleus method", method, NUCLEUS_METHODS)
    return nucleus_by_score(graph, scores, size, goal, eligible)


def nucleus_by_score(
    graph: TopicGraph,
    scores: NDArray[np.float64],
    size: int = 8,
    goal: IntArray | None = None,
    eligible: NDArray[np.bool_] | None = None,
) -> IntArray:
    """Choose a connected nucleus: the topic of the largest score, and again and again the best one linked with it.

    Args:
        graph: The topic graph.
        scores: A score for each topic, float64 `[topics]`.
        size: Number of topics.
        goal: Topics of the goal; see `choose_nucleus`.
        eligible: Whether each topic may be chosen, bool `[topics]`; all if None.

    Returns:
        Topics, int32, the best first; fewer than `size` if the component is smaller.

    Raises:
        SettingError: If no topic is eligible.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d", "e"], [0, 0, 0, 3], [1, 2, 3, 4])
        >>> nucleus_by_score(graph, np.array([0.1, 0.2, 0.9, 0.0, 0.8]), size=3).tolist()
        [2, 0, 1]
    """
    # Only topics of the component that holds most of the goal's eligible topics, or most of all. A few topics that are
    # linked only with one another would keep a personalised PageRank to themselves, and a curriculum that started
    # there would have no frontier.
    allowed = np.ones(len(graph), dtype=bool) if eligible is None else eligible
    among = np.flatnonzero(allowed) if goal is None else goal[allowed[goal]]
    if len(among):
        allowed = allowed & (graph.components == np.bincount(graph.components[among]).argmax())
    return _grow_from(graph, scores, size, goal, allowed)


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
        start: The topic: eligible, and one of the goal's if there is a goal.
        size: Number of topics.
        goal: Topics of the goal; the nucleus stays inside the goal as far as the goal is connected.
        eligible: Whether each topic may be chosen, bool `[topics]`; all if None.

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
    """Grow a nucleus from the eligible topic with the highest score, inside the goal as far as that is connected."""
    allowed = np.ones(len(graph), dtype=bool) if eligible is None else eligible
    preferred = allowed if goal is None else allowed & np.isin(np.arange(len(graph)), goal)
    if not preferred.any():
        raise SettingError(
            "no topic to start from: none has train passages" + (" in the goal" if goal is not None else "")
        )
    return _grow(graph, scores, preferred, allowed, size)


def pagerank(graph: TopicGraph, restart: IntArray | None = None, tolerance: float = 1e-8) -> NDArray[np.float64]:
    """Return the PageRank of every topic over undirected links (Brin and Page 1998), by power iteration.

    Args:
        graph: The topic graph.
        restart: Topics from which the walk restarts, drawn uniformly; all topics if None.
        tolerance: The iteration stops once the sum of absolute changes is below this value.

    Returns:
        Probabilities, float64 `[topics]`, which sum to 1.

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
    starts, targets = graph.undirected
    sources = np.repeat(np.arange(n), np.diff(starts))
    for _ in range(_MOST_ITERATIONS):
        # The product with the adjacency matrix, row by row as SciPy's, whose import takes longer than all of this.
        flow = np.bincount(sources, weights=(rank * share)[targets], minlength=n)
        # The probability on topics without links restarts, so that the ranks keep summing to 1.
        following = _DAMPING * flow + (1.0 - _DAMPING * flow.sum()) * home
        change, rank = np.abs(following - rank).sum(), following
        if change < tolerance:
            break
    return rank


def connect(graph: TopicGraph, topics: Sequence[int]) -> IntArray:
    """Return the topics, and the topics on shortest paths that join them into one connected set, int32.

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
    # Each topic in turn is joined with the part that is connected already.
    reached = {first}
    for topic in list(joined)[1:]:
        path = _shortest_path(graph, topic, reached)
        joined.update(dict.fromkeys(path))
        reached.update(path)
    return np.array(list(joined), dtype=np.int32)


def _shortest_path(graph: TopicGraph, start: int, ends: set[int]) -> list[int]:
    """Return the topics on a shortest undirected path between `start` and any of `ends`, by breadth-first search."""
    parent = {start: start}
    layer = [start]
    # It ends: the caller has checked that all of them lie in one component.
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

    Topics that are not preferred are added only while no preferred one is linked with the set. The set stays smaller
    than `size` if its component is.
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
