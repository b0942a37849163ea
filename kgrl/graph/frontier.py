"""The frontier: which topics a curriculum has learned and which are one link away.

The state changes by as many topics as the one learned has links; nothing takes time in proportion to the graph.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.rows import discover

if TYPE_CHECKING:
    from kgrl.graph.topic_graph import TopicGraph

__all__ = ["Frontier"]

IntArray = NDArray[np.int32]
AnyScalar = TypeVar("AnyScalar", bound=np.generic)

_LEAST_ROOM = 64
"""Topics that a growing array has room for at first."""


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
            self._tidy()
        return _read_only(self._found[: self._n_found])

    def sample(self, most: int, rng: np.random.Generator, allowed: NDArray[np.bool_] | None = None) -> IntArray:
        """Return the frontier, or of a larger one about so many topics, which costs no more however large it is.

        A larger frontier is sampled systematically: topics at equal distances in order of discovery from a random
        start, so that each has the same chance. Those that are not allowed are then left out.

        Args:
            most: Most topics to return, at least 1. A frontier of no more is returned whole, and nothing is drawn.
            rng: Draws the start.
            allowed: Which topics may be returned, shape `[topics]`; all if None.

        Returns:
            Topics in order of discovery, int32; none only where none is allowed.

        Example:
            >>> from kgrl.graph import TopicGraph
            >>> star = TopicGraph.from_links([str(i) for i in range(100)], [0] * 99, range(1, 100))
            >>> Frontier(star, [0]).sample(3, np.random.default_rng(0)).tolist()
            [22, 55, 88]
        """
        if len(self) > most:
            if 2 * self._stale > self._n_found:
                self._tidy()
            distance = self._n_found / most
            at = ((rng.random() + np.arange(most)) * distance).astype(np.int64)
            drawn = self._found[at]
            drawn = drawn[self._fit(drawn, allowed)]
            if len(drawn):
                return drawn
        topics = self.topics if allowed is None else self.topics[allowed[self.topics]]
        return topics[:: -(-len(topics) // most)] if len(topics) > most else topics

    def _fit(self, topics: IntArray, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        waiting: NDArray[np.bool_] = ~self._is_learned[topics]
        return waiting if allowed is None else waiting & allowed[topics]

    def _tidy(self) -> None:
        """Leave out the topics that were learned since they were found."""
        found = self._found[: self._n_found]
        self._found = found[~self._is_learned[found]]
        self._n_found, self._stale = len(self._found), 0

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
