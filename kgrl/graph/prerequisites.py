"""Prerequisites: topics that have to be solid before another one can be on the frontier.

A link of this kind leads from what is needed first to what needs it. Prerequisites have no circles; a graph with some
is refused (`TopicGraph.with_prerequisites`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.graph.rows import Rows, compressed
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["Prerequisites", "Readiness"]


class Prerequisites:
    """The prerequisites that a frontier asks for.

    Args:
        n: Number of topics.
        sources: Topics that are needed first, shape `[prerequisites]`.
        targets: The topics that need them, shape `[prerequisites]`.

    Attributes:
        before: The prerequisites of each topic, as rows.
        after: The topics that need each one, as rows.

    Example:
        >>> asked = Prerequisites(3, [0, 1], [2, 2])
        >>> asked.of(2).tolist(), asked.needing(0).tolist()
        ([0, 1], [2])
    """

    def __init__(self, n: int, sources: ArrayLike, targets: ArrayLike) -> None:
        self.after: Rows = compressed(n, sources, targets)
        self.before: Rows = compressed(n, targets, sources)

    @classmethod
    def asked(cls, graph: TopicGraph, exempt: IntArray, available: NDArray[np.bool_]) -> Prerequisites | None:
        """Return the prerequisites of a graph that a curriculum asks for; None if the graph has none at all.

        Args:
            graph: The topic graph.
            exempt: Topics whose prerequisites are not asked for: the nucleus.
            available: Whether each topic can become solid, bool `[topics]`. Others are not asked for, since they would
                keep out forever what needs them.
        """
        if graph.prerequisite is None:
            return None
        sources, targets = graph.prerequisites()
        kept = available[sources] & ~np.isin(targets, exempt)
        return cls(len(graph), sources[kept], targets[kept])

    @staticmethod
    def unavailable(graph: TopicGraph, available: NDArray[np.bool_]) -> IntArray:
        """Return the prerequisites that cannot become solid, ascending, int32.

        Args:
            graph: The topic graph.
            available: Whether each topic can, bool `[topics]`.
        """
        sources = np.unique(graph.prerequisites()[0])
        return sources[~available[sources]]

    def of(self, topic: int) -> IntArray:
        """Return the prerequisites of a topic, ascending, as a view."""
        starts, topics = self.before
        return topics[starts[topic] : starts[topic + 1]]

    def needing(self, topic: int) -> IntArray:
        """Return the topics that need a topic, ascending, as a view."""
        starts, topics = self.after
        return topics[starts[topic] : starts[topic + 1]]


class Readiness:
    """State of prerequisites while topics become solid or are forgotten: what each topic lacks, and what is reached.

    A topic is reached if it is linked with a solid one, or is a root, or is a prerequisite of a topic that is reached.
    Without the last a curriculum would end where two topics that are linked with nothing else are needed for a third.

    Args:
        asked: The prerequisites that are asked for.
        n: Number of topics.

    Attributes:
        missing: Number of prerequisites of each topic that are not solid, int32 `[topics]`.

    Example:
        >>> readiness = Readiness(Prerequisites(3, [0, 1], [2, 2]), 3)
        >>> sorted(readiness.reach([2])), readiness.is_open(np.arange(3)).tolist()
        ([0, 1, 2], [True, True, False])
        >>> _ = readiness.meet(0), readiness.meet(1)
        >>> readiness.is_open(np.arange(3)).tolist()
        [True, True, True]
    """

    def __init__(self, asked: Prerequisites, n: int) -> None:
        self.asked = asked
        self.missing: IntArray = np.diff(asked.before[0]).astype(np.int32)
        # Reasons for which each topic is reached. There are no circles, so one at 0 is reached no more.
        self._reasons = np.zeros(n, dtype=np.int32)

    def reach(self, topics: Iterable[int]) -> list[int]:
        """Give topics one more reason to be reached; return those that are reached now and were not before."""
        waiting, reached = list(topics), list[int]()
        while waiting:
            topic = waiting.pop()
            self._reasons[topic] += 1
            if self._reasons[topic] == 1:
                reached.append(topic)
                waiting += self.asked.of(topic).tolist()
        return reached

    def leave(self, topics: Iterable[int]) -> None:
        """Take a reason to be reached from topics."""
        waiting = list(topics)
        while waiting:
            topic = waiting.pop()
            self._reasons[topic] -= 1
            if self._reasons[topic] == 0:
                waiting += self.asked.of(topic).tolist()

    def meet(self, topic: int) -> IntArray:
        """Note that a topic is solid; return the topics that need it."""
        needing = self.asked.needing(topic)
        self.missing[needing] -= 1
        return needing

    def lose(self, topic: int) -> None:
        """Note that a topic is not solid any more."""
        self.missing[self.asked.needing(topic)] += 1

    def is_open(self, topics: IntArray) -> NDArray[np.bool_]:
        """Return whether each of some topics is reached and has all its prerequisites, bool `[n]`."""
        is_open: NDArray[np.bool_] = (self._reasons[topics] > 0) & (self.missing[topics] == 0)
        return is_open
