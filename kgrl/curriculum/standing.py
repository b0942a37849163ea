"""Standing of topics: which are read, solid and faded, as it follows from the records of a curriculum.

No learner is needed, so pages about finished runs know the same as the curriculum did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.knowledge import Knowledge
from kgrl.curriculum.mastery import Mastery
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.prerequisites import Prerequisites
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["Standing", "StandingChange", "StandingPoint"]


class StandingChange(NamedTuple):
    """Topics whose standing an expansion changed, in the order of its record.

    Args:
        read: Topics of which it read a passage.
        first: Those of them that were read for the first time.
        solid: Topics that became solid.
        faded: Topics that were solid and are not any more.
    """

    read: tuple[int, ...]
    first: tuple[int, ...]
    solid: tuple[int, ...]
    faded: tuple[int, ...]


class StandingPoint(NamedTuple):
    """Numbers of topics after an expansion.

    Args:
        tokens: Tokens trained on until then.
        read: Topics that were trained on at least once.
        solid: Topics that are solid.
        faded: Topics that were solid before and are not solid now.
    """

    tokens: int
    read: int
    solid: int
    faded: int


class Standing:
    """Which topics are read, solid and faded, and what lies on the frontier, after each recorded expansion.

    Args:
        graph: The topic graph.
        passage_topics: The topic of each passage, int32 `[passages]`.
        mastery: The criterion by which a topic is solid.
        nucleus: The topics to begin with. They are on the frontier until they are solid, if they have to be known.
            Their prerequisites are not asked for.
        available: Whether each topic can become solid, bool `[topics]`; others are not asked for as prerequisites. All
            can if None.

    Attributes:
        frontier: The solid topics and the frontier.
        knowledge: What was read of each topic, and how well it is known.
        readings: How often each passage was trained on, int32 `[passages]`.
        was_solid: True for topics that are solid or were, bool `[topics]`.

    Example:
        >>> from kgrl.expansion import Probed
        >>> graph = TopicGraph.from_links(["a", "b"], [0], [1])
        >>> standing = Standing(graph, np.array([0, 1], dtype=np.int32), Mastery.of("gap:1"), [0])
        >>> tested = Probed((0, 1), (4.0, 5.5))
        >>> standing.replay(Expansion(0, 0, "a", (0,), (0,), 9, 9, 99, 5.0, losses=(5.5,), tested=tested))
        StandingChange(read=(0,), first=(0,), solid=(0,), faded=())
        >>> standing.frontier.solid.tolist(), standing.frontier.topics.tolist(), standing.point(tokens=9)
        ([0], [1], StandingPoint(tokens=9, read=1, solid=1, faded=0))
    """

    def __init__(
        self,
        graph: TopicGraph,
        passage_topics: IntArray,
        mastery: Mastery,
        nucleus: Iterable[int],
        available: NDArray[np.bool_] | None = None,
    ) -> None:
        self.mastery, self._passage_topics = mastery, passage_topics
        core = np.array([*nucleus], dtype=np.int32)
        asked = Prerequisites.asked(graph, core, np.ones(len(graph), dtype=bool) if available is None else available)
        # A nucleus that was read is learned; one that has to be known can be picked until it is.
        self.frontier = Frontier(graph, roots=() if mastery.by_reading else core.tolist(), prerequisites=asked)
        self.knowledge = Knowledge(len(graph))
        self.readings = np.zeros(len(passage_topics), dtype=np.int32)
        self.was_solid = np.zeros(len(graph), dtype=bool)
        self._n_was_solid = 0

    def __repr__(self) -> str:
        return f"Standing({self.n_read:,} topics read, {self.frontier})"

    def replay(self, expansion: Expansion, tokens: NDArray[np.int64] | None = None) -> StandingChange:
        """Take the record of an expansion into account, and return what it changed.

        Args:
            expansion: The record.
            tokens: The tokens of each of its passages. If None, each counts as an equal share of the lesson's, so that
                `knowledge.tokens` is about right; nothing else depends on them.
        """
        ids = np.array(expansion.passages, dtype=np.int32)
        if tokens is None:
            tokens = np.full(len(ids), round(expansion.tokens / max(1, len(ids))), dtype=np.int64)
        topics = self._passage_topics[ids]
        read = tuple(dict.fromkeys(topics.tolist()))
        first = tuple(topic for topic in read if not self.knowledge.exposures[topic])
        self.knowledge.update(expansion, topics, tokens, self.readings[ids] == 0)
        self.readings[ids] += 1
        return StandingChange(read, first, *self._solidify(expansion))

    def _solidify(self, expansion: Expansion) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Move topics whose knowledge an expansion changed to where they belong; return new solid and faded ones."""
        solid, faded = list[int](), list[int]()
        for topic in dict.fromkeys((*expansion.neighbourhood, *expansion.tested.topics, *expansion.tested.asked)):
            was = bool(self.frontier.is_solid[topic])
            now = self.mastery.by_reading or self.mastery.is_met(float(self.known[topic]), was)
            if now and not was:
                self.frontier.solidify(topic)
                solid.append(topic)
            elif was and not now:
                self.frontier.forget(topic)
                faded.append(topic)
        self._n_was_solid += int(np.count_nonzero(~self.was_solid[solid]))
        self.was_solid[solid] = True
        return tuple(solid), tuple(faded)

    @property
    def known(self) -> NDArray[np.float32]:
        """The measure of mastery for each topic, NaN where it was not estimated, float32 `[topics]`."""
        return self.knowledge.estimates(self.mastery.measure)[0]

    @property
    def n_read(self) -> int:
        """Number of topics that were trained on at least once."""
        return self.knowledge.n_read

    @property
    def n_faded(self) -> int:
        """Number of topics that were solid before and are not solid now."""
        return self._n_was_solid - len(self.frontier.solid)

    def point(self, tokens: int) -> StandingPoint:
        """Return the present numbers of topics.

        Args:
            tokens: Tokens trained on until now.
        """
        return StandingPoint(tokens, self.n_read, len(self.frontier.solid), self.n_faded)
