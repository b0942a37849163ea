"""The frontier: which topics a curriculum has learned and which are one link away.

The state changes by as many topics as the one learned has links; nothing takes time in proportion to the graph.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgrl.graph_rows import discover

if TYPE_CHECKING:
    from kgrl.graph import TopicGraph

__all__ = ["Frontier"]

IntArray = NDArray[np.int32]
AnyScalar = TypeVar("AnyScalar", bound=np.generic)

_LEAST_ROOM = 64
"""Topics that a growing array has room for at first."""
_TRIES = 32
"""Rounds of drawing a sample before the frontier is looked through instead."""


class Frontier:
    """The learned topics and the topics one link away from them, kept up to date as topics are learned.

    Learning a topic costs time proportional to its links, whatever the size of the graph.

    Args:
        graph: The topic graph.
        learned: Topics learned from the start, in order.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 2], [1, 2, 3])
        >>> frontier = Frontier(graph, [0])
        >>> frontier.topics.tolist()
        [1]
        >>> frontier.learn(1)
        >>> frontier.topics.tolist(), frontier.learned.tolist()
        ([2], [0, 1])
    """

    def __init__(self, graph: TopicGraph, learned: Iterable[int] = ()) -> None:
        self.graph = graph
        self._links = np.zeros(len(graph), dtype=np.int32)
        self._is_learned = np.zeros(len(graph), dtype=bool)
        # In order of discovery, which bfs and dfs need; topics learned since stay in it until it is next looked at.
        self._found, self._n_found = np.empty(_LEAST_ROOM, dtype=np.int32), 0
        self._stale = 0
        self._learned, self._n_learned = np.empty(_LEAST_ROOM, dtype=np.int32), 0
        for topic in learned:
            self.learn(topic)

    def learn(self, topic: int) -> None:
        """Move a topic to the learned set and discover its neighbours. Learning a topic twice changes nothing."""
        if self._is_learned[topic]:
            return
        self._stale += self._links[topic] > 0
        self._is_learned[topic] = True
        self._learned = _with_room(self._learned, self._n_learned, 1)
        self._learned[self._n_learned] = topic
        self._n_learned += 1
        indptr, indices = self.graph.undirected
        self._found = _with_room(self._found, self._n_found, int(indptr[topic + 1] - indptr[topic]))
        self._n_found = discover(indptr, indices, topic, self._links, self._is_learned, self._found, self._n_found)

    @property
    def topics(self) -> IntArray:
        """The frontier in order of discovery, int32, as a read-only view.

        After a change, the first look costs time proportional to the frontier; see `sample`.
        """
        if self._stale:
            found = self._found[: self._n_found]
            self._found = found[~self._is_learned[found]]
            self._n_found, self._stale = len(self._found), 0
        return _read_only(self._found[: self._n_found])

    def sample(self, most: int, rng: np.random.Generator, allowed: NDArray[np.bool_] | None = None) -> IntArray:
        """Return the frontier's topics, or so many of them drawn uniformly, which costs no more for a larger frontier.

        Args:
            most: Most topics to return, at least 1. A frontier of no more is returned whole, and nothing is drawn.
            rng: Draws the topics.
            allowed: Which topics may be returned, shape `[topics]`; all if None.

        Returns:
            Topics in order of discovery, int32.

        Example:
            >>> from kgrl.graph import TopicGraph
            >>> star = TopicGraph.from_links([str(i) for i in range(100)], [0] * 99, range(1, 100))
            >>> Frontier(star, [0]).sample(3, np.random.default_rng(0)).tolist()
            [51, 64, 85]
        """
        if len(self) > most and (drawn := self._draw(most, rng, allowed)) is not None:
            return drawn
        topics = self.topics if allowed is None else self.topics[allowed[self.topics]]
        return topics if len(topics) <= most else topics[np.sort(rng.choice(len(topics), most, replace=False))]

    def _draw(self, count: int, rng: np.random.Generator, allowed: NDArray[np.bool_] | None) -> IntArray | None:
        """A sample by rejection, or None where too few are allowed, or left since it was last looked at."""
        kept = np.empty(0, dtype=np.int64)
        for _ in range(_TRIES):
            places = rng.integers(self._n_found, size=count)
            topics = self._found[places]
            fit = ~self._is_learned[topics] if allowed is None else ~self._is_learned[topics] & allowed[topics]
            joined = np.concatenate([kept, places[fit]])
            # The first of each, in the order drawn: the set so far is uniform among sets of its size.
            kept = joined[np.sort(np.unique(joined, return_index=True)[1])]
            if len(kept) >= count:
                return self._found[np.sort(kept[:count])]
        return None

    @property
    def learned(self) -> IntArray:
        """The learned topics in the order they were learned, int32, as a read-only view."""
        return _read_only(self._learned[: self._n_learned])

    @property
    def is_learned(self) -> NDArray[np.bool_]:
        """Whether each topic is learned, shape `[topics]`, as a read-only view."""
        return _read_only(self._is_learned)

    @property
    def links_to_learned(self) -> IntArray:
        """Number of learned neighbours of each topic, int32 of shape `[topics]`, as a read-only view."""
        return _read_only(self._links)

    def __contains__(self, topic: object) -> bool:
        number = operator.index(topic)  # type: ignore[arg-type]
        return 0 <= number < len(self._links) and bool(self._links[number] > 0 and not self._is_learned[number])

    def __len__(self) -> int:
        return self._n_found - self._stale


def _with_room(array: IntArray, used: int, more: int) -> IntArray:
    """The array, or a longer copy where it is too short; views that were handed out are never written to."""
    if used + more <= len(array):
        return array
    longer = np.empty(max(2 * len(array), used + more), dtype=array.dtype)
    longer[:used] = array[:used]
    return longer


def _read_only(array: NDArray[AnyScalar]) -> NDArray[AnyScalar]:
    view = array.view()
    view.flags.writeable = False
    return view
