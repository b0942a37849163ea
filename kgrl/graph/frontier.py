"""The frontier: the solid topics of a curriculum, and those one link away that are not solid.

A topic becomes solid in time in proportion to its links, whatever the size of the graph; forgetting one, which is rare,
takes time in proportion to the frontier.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.prerequisites import Prerequisites, Readiness
from kgrl.graph.rows import discover
from kgrl.system.display import count_text

if TYPE_CHECKING:
    from kgrl.graph.topic_graph import TopicGraph

__all__ = ["Frontier"]

IntArray = NDArray[np.int32]
AnyScalar = TypeVar("AnyScalar", bound=np.generic)

_LEAST_ROOM = 64
"""Initial length of growing arrays."""


class Frontier:
    """The solid topics and the topics one link away from them, updated as topics become solid or are forgotten.

    Links count in either direction. What makes a topic solid is for the curriculum to say: that it was read, or that
    it is known (`kgrl.curriculum.mastery.Mastery`).

    Where prerequisites are asked for, the frontier holds topics whose prerequisites are all solid. In place of a topic
    one link away that lacks some, it holds these prerequisites, or what they lack themselves, and so on.

    Args:
        graph: The topic graph.
        solid: Topics that are solid from the start, in order.
        roots: Topics that are on the frontier without a link as long as they are not solid.
        prerequisites: Prerequisites that are asked for; None for none.

    Attributes:
        forgettings: How often a solid topic was forgotten; while it stays the same, `solid` only grows.
        prerequisites: Prerequisites that are asked for; None for none.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 2], [1, 2, 3])
        >>> frontier = Frontier(graph, [0])
        >>> frontier.topics.tolist()
        [1]
        >>> frontier.solidify(1)
        >>> frontier.topics.tolist(), frontier.solid.tolist()
        ([2], [0, 1])
        >>> frontier
        Frontier(2 topics solid, 1 on the frontier)
        >>> Frontier(graph, [0], prerequisites=Prerequisites(4, [3], [1])).topics.tolist()  # 1 is linked, and needs 3
        [3]
    """

    def __init__(
        self,
        graph: TopicGraph,
        solid: Iterable[int] = (),
        roots: Iterable[int] = (),
        prerequisites: Prerequisites | None = None,
    ) -> None:
        self.graph = graph
        self.forgettings = 0
        self.prerequisites = prerequisites
        self._readiness = None if prerequisites is None else Readiness(prerequisites, len(graph))
        self._is_root = np.zeros(len(graph), dtype=bool)
        self._links = np.zeros(len(graph), dtype=np.int32)  # solid neighbours of each topic
        self._is_solid = np.zeros(len(graph), dtype=bool)
        # In order of discovery, which bfs and dfs need. Topics solid since stay in it until half of it is stale. That
        # depends on nothing but what became solid: so `sample` draws the same, whoever looked at `topics` before.
        self._found, self._n_found = np.empty(_LEAST_ROOM, dtype=np.int32), 0
        self._stale = 0
        self._topics: IntArray | None = None  # without the stale ones, kept until the next change
        self._solid, self._n_solid = np.empty(_LEAST_ROOM, dtype=np.int32), 0
        begun = np.array([*roots], dtype=np.int32)
        self._is_root[begun] = True
        self._rooted = len(begun) > 0
        self._find(begun if self._readiness is None else self._open(self._readiness.reach(begun.tolist())))
        for topic in solid:
            self.solidify(topic)

    def __repr__(self) -> str:
        return f"Frontier({count_text(self._n_solid, 'topic')} solid, {len(self):,} on the frontier)"

    def solidify(self, topic: int) -> None:
        """Move a topic to the solid ones and discover its neighbours; a topic that is solid already stays so."""
        if self._is_solid[topic]:
            return
        self._stale += topic in self
        self._is_solid[topic] = True
        self._solid = _with_room(self._solid, self._n_solid, 1)
        self._solid[self._n_solid] = topic
        self._n_solid += 1
        if self._readiness is None:
            self._discover(topic)
        else:
            self._find(self._opened(topic, self._readiness))
        self._topics = None
        if 2 * self._stale > self._n_found:
            self._tidy()

    def _discover(self, topic: int) -> None:
        """Count the links of a topic that is solid now, and find its neighbours."""
        starts, ends = self.graph.undirected
        indptr, indices = _read_only(starts), _read_only(ends)
        self._found = _with_room(self._found, self._n_found, int(indptr[topic + 1] - indptr[topic]))
        before, solid = self._n_found, self._is_solid
        self._n_found = discover(indptr, indices, topic, self._links, solid, self._found, before)
        if self._rooted:  # roots had been found without a link
            new = self._found[before : self._n_found]
            new = new[~self._is_root[new]]
            self._n_found = before + len(new)
            self._found[before : self._n_found] = new

    def _opened(self, topic: int, readiness: Readiness) -> IntArray:
        """Count the links of a topic that is solid now, and return the topics that come to the frontier by it."""
        near = self.graph.neighbours(topic)
        self._links[near] += 1
        reached = readiness.reach(near[self._links[near] == 1].tolist())
        return self._open([*reached, *readiness.meet(topic).tolist()])

    def _open(self, topics: list[int]) -> IntArray:
        """Return those of some topics that are on the frontier, each once, ascending."""
        found = np.unique(np.array(topics, dtype=np.int32))
        return found[self._is_linked(found) & ~self._is_solid[found]]

    def _is_linked(self, topics: IntArray) -> NDArray[np.bool_]:
        """Return whether each of some topics is on the frontier unless it is solid, bool `[n]`."""
        if self._readiness is not None:
            return self._readiness.is_open(topics)
        return (self._links[topics] > 0) | self._is_root[topics]

    def forget(self, topic: int) -> None:
        """Take a topic out of the solid ones. Neighbours that no other solid topic is linked with are lost.

        So is what needs the topic. The topic itself is then the last on the frontier, if a solid topic is linked with
        it or it is a root.
        """
        if not self._is_solid[topic]:
            return
        self.forgettings += 1
        self._tidy()
        self._is_solid[topic] = False
        solid = self.solid
        self._solid, self._n_solid = solid[solid != topic], self._n_solid - 1
        near = self.graph.neighbours(topic)
        self._links[near] -= 1
        if self._readiness is not None:
            self._readiness.leave(near[self._links[near] == 0].tolist())
            self._readiness.lose(topic)
        found = self._found[: self._n_found]
        self._found = found[self._is_linked(found)]
        self._n_found, self._topics = len(self._found), None
        if topic in self:
            self._find(np.array([topic], dtype=np.int32))

    def _find(self, topics: IntArray) -> None:
        """Append topics to those found."""
        self._found = _with_room(self._found, self._n_found, len(topics))
        self._found[self._n_found : self._n_found + len(topics)] = topics
        self._n_found += len(topics)

    @property
    def topics(self) -> IntArray:
        """The frontier in order of discovery, int32, as a read-only view.

        The first access after a change takes time in proportion to the frontier; see `sample`.
        """
        if self._topics is None:
            found = self._found[: self._n_found]
            self._topics = _read_only(found[~self._is_solid[found]] if self._stale else found)
        return self._topics

    def any(self, allowed: NDArray[np.bool_]) -> bool:
        """Return whether any frontier topic is allowed, in time that does not grow with the frontier if many are.

        Args:
            allowed: Whether each topic is, bool `[topics]`.
        """
        first, size = 0, _LEAST_ROOM
        while first < self._n_found:
            found = self._found[first : min(first + size, self._n_found)]
            if (allowed[found] & ~self._is_solid[found]).any():
                return True
            first, size = first + size, 2 * size
        return False

    def sample(self, most: int, rng: np.random.Generator, allowed: NDArray[np.bool_] | None = None) -> IntArray:
        """Return the frontier, or a sample of a larger one, in time that does not grow with the frontier.

        A larger frontier is sampled systematically: topics at equal distances in order of discovery from a random
        start, so that each has the same chance. Topics that are not allowed are then left out.

        Args:
            most: Most topics to return, at least 1. A frontier of at most this many is returned whole, without a draw.
            rng: Draws the start.
            allowed: Whether each topic may be returned, bool `[topics]`; all if None.

        Returns:
            Topics in order of discovery, int32; empty only if none is allowed.

        Example:
            >>> from kgrl.graph import TopicGraph
            >>> star = TopicGraph.from_links([str(i) for i in range(100)], [0] * 99, range(1, 100))
            >>> Frontier(star, [0]).sample(3, np.random.default_rng(0)).tolist()
            [22, 55, 88]
        """
        if len(self) > most:
            distance = self._n_found / most
            at = ((rng.random() + np.arange(most)) * distance).astype(np.int64)
            drawn = self._found[at]
            fit = ~self._is_solid[drawn]
            drawn = drawn[fit if allowed is None else fit & allowed[drawn]]
            if len(drawn):
                return drawn
        # The frontier is small, or no topic drawn was allowed: look at all of it.
        topics = self.topics if allowed is None else self.topics[allowed[self.topics]]
        return topics[:: -(-len(topics) // most)] if len(topics) > most else topics

    def _tidy(self) -> None:
        """Drop the topics that became solid since they were found."""
        found = self._found[: self._n_found]
        self._found = found[~self._is_solid[found]]
        self._n_found, self._stale = len(self._found), 0

    @property
    def solid(self) -> IntArray:
        """The solid topics in the order they became so, int32, as a read-only view."""
        return _read_only(self._solid[: self._n_solid])

    @property
    def is_solid(self) -> NDArray[np.bool_]:
        """True for solid topics, bool `[topics]`, as a read-only view."""
        return _read_only(self._is_solid)

    @property
    def links_to_solid(self) -> IntArray:
        """Number of solid neighbours of each topic, int32 `[topics]`, as a read-only view."""
        return _read_only(self._links)

    @property
    def has_prerequisites(self) -> NDArray[np.bool_]:
        """True for topics whose prerequisites are all solid, or that need none, bool `[topics]`."""
        if self._readiness is None:
            return np.ones(len(self._links), dtype=bool)
        met: NDArray[np.bool_] = self._readiness.missing == 0
        return met

    def __contains__(self, topic: object) -> bool:
        number = operator.index(topic)  # type: ignore[arg-type]
        if not 0 <= number < len(self._links) or self._is_solid[number]:
            return False
        if self._readiness is not None:
            return bool(self._readiness.is_open(np.array([number]))[0])
        return bool(self._links[number] > 0 or self._is_root[number])

    def __len__(self) -> int:
        return self._n_found - self._stale


def _with_room(array: IntArray, used: int, more: int) -> IntArray:
    """Return the array, or a longer copy if it is too short; the copy leaves views of it that were handed out valid."""
    if used + more <= len(array):
        return array
    longer = np.empty(max(2 * len(array), used + more), dtype=array.dtype)
    longer[:used] = array[:used]
    return longer


def _read_only(array: NDArray[AnyScalar]) -> NDArray[AnyScalar]:
    view = array.view()
    view.flags.writeable = False
    return view
