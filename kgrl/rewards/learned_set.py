"""Rewards of the learned set: base classes that remember the learned topics, and rewards of reach.

Reach is the share of the graph, or of the embedding space, that lies near the learned topics. Rewards of the learned
subgraph's shape are in `kgrl.rewards.topology` and `kgrl.rewards.compression`, rewards of novelty in
`kgrl.rewards.novelty`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.base import Reward, RewardContext, RewardError
from kgrl.rewards.registry import rewards

__all__ = ["Bound", "Change", "Coverage", "FacilityLocation"]


class Bound(Reward):
    """A reward that remembers the learned topics and reads its context; it must be bound before it scores.

    Subclasses define `_clear`, `learn` and `score`.
    """

    _context: RewardContext | None = None

    @property
    def context(self) -> RewardContext:
        """The context that the reward was bound to.

        Raises:
            RewardError: If it was not bound.
        """
        if self._context is None:
            raise RewardError(f"reward {self.name!r} reads {', '.join(sorted(self.needs))}: call bind(context) first")
        return self._context

    def bind(self, context: RewardContext) -> None:
        """Keep the context and begin with nothing learned."""
        self._context = context
        self.reset()

    def begin(self, nucleus: Expansion) -> None:
        """Begin with the nucleus learned.

        Raises:
            RewardError: If the reward is not bound.
        """
        _ = self.context  # raises where there is none
        self.reset()
        self.learn(nucleus.neighbourhood)

    def reset(self) -> None:
        """Forget all learned topics."""
        if self._context is not None:
            self._clear()

    @abstractmethod
    def learn(self, topics: Iterable[int]) -> None:
        """Add topics to the learned set."""

    @abstractmethod
    def _clear(self) -> None:
        """Set the state to that of an empty learned set."""


class Change(Bound):
    """The value of the learned set after an expansion minus its value before; subclasses say what the value is.

    The rewards of a curriculum add up to the final value minus that of the nucleus, in any order of expansions. All
    topics of the expansion's neighbourhood are learned; learning a topic twice changes nothing. Subclasses define
    `_clear`, `_add` and `value`.
    """

    needs = frozenset({"graph"})

    def reset(self) -> None:
        """Forget all learned topics."""
        if self._context is not None:
            self.is_learned = np.zeros(len(self._context.graph), dtype=bool)
        super().reset()

    def score(self, expansion: Expansion) -> float:
        """Return the change of the value by learning the expansion's topics."""
        _ = self.context  # raises where there is none
        before = self.value()
        self.learn(expansion.neighbourhood)
        return float(self.value() - before)

    def learn(self, topics: Iterable[int]) -> None:
        """Add topics to the learned set; those that are in it are skipped."""
        for topic in topics:
            if not self.is_learned[topic]:
                self._add(topic)
                self.is_learned[topic] = True

    def near(self, topic: int) -> IntArray:
        """Return the learned topics linked with a topic in either direction, int32."""
        neighbours = self.context.graph.neighbours(topic)
        return neighbours[self.is_learned[neighbours]]

    @abstractmethod
    def value(self) -> float:
        """Return the value of the learned set."""

    @abstractmethod
    def _add(self, topic: int) -> None:
        """Add one topic to the state; `is_learned` is set afterwards."""


@rewards.register("coverage")
class Coverage(Change):
    """Coverage: the change of |N[S]| / |V|, the share of topics that are learned or linked with a learned one.

    N[S] is the learned set with its neighbours, links counted in either direction. Unit: share of topics. Range: 0 to
    1, over a whole curriculum too. Source: maximum coverage (Nemhauser et al. 1978). Needs: the graph.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> reward = Coverage()
        >>> reward.bind(RewardContext(TopicGraph.from_links("abcd", [0, 1, 2], [1, 2, 3]), np.eye(4, dtype=np.float32)))
        >>> [reward(Expansion(i, i, "", (i,), (), 50, 50, 100, 3.2)) for i in range(3)]
        [0.5, 0.25, 0.25]
    """

    name = "coverage"

    def value(self) -> float:
        """Return the share of topics that are learned or linked with a learned one."""
        return self._reached / len(self._covered)

    def _clear(self) -> None:
        self._covered, self._reached = np.zeros(len(self.context.graph), dtype=bool), 0

    def _add(self, topic: int) -> None:
        neighbours = self.context.graph.neighbours(topic)
        self._reached += len(neighbours) - int(self._covered[neighbours].sum()) + int(not self._covered[topic])
        self._covered[neighbours] = True
        self._covered[topic] = True


@rewards.register("facility-location")
class FacilityLocation(Change):
    """Facility location: the change of the mean over topics of the largest cosine to a learned topic.

    The cosine to an empty set is 0, and negative cosines count as 0, so the value is submodular and never falls. The
    mean is over at most `sample` topics, the same for every curriculum, so a large graph costs no more.
    Unit: cosine. Range: 0 to 1, over a whole curriculum too. Source: Krause and Golovin 2014. Needs: the graph and
    embeddings.

    Args:
        sample: Most topics that the mean is over; all if the graph has no more.

    Raises:
        ValueError: If the sample is empty.
    """

    name = "facility-location"
    needs = frozenset({"graph", "embeddings"})

    def __init__(self, sample: int = 2_048) -> None:
        if sample < 1:
            raise ValueError(f"a mean is over at least 1 topic, not {sample}")
        self.sample = sample

    def bind(self, context: RewardContext) -> None:
        """Draw the topics that the mean is over, by a fixed seed."""
        topics = len(context.graph)
        self._demand = np.random.default_rng(0).permutation(topics)[: self.sample]
        super().bind(context)

    def value(self) -> float:
        """Return the mean of the largest cosines."""
        return float(self._largest.mean(dtype=np.float64))

    def learn(self, topics: Iterable[int]) -> None:
        """Add topics to the learned set, in one product of embeddings."""
        # Without repeats, in order: the product has a column for each topic.
        new = [topic for topic in dict.fromkeys(topics) if not self.is_learned[topic]]
        embeddings = self.context.embeddings
        if new:
            demand = embeddings if len(self._demand) == len(embeddings) else embeddings[self._demand]
            cosines = demand @ embeddings[new].T  # [sampled topics, new topics]
            np.maximum(self._largest, cosines.max(axis=1), out=self._largest)
            self.is_learned[new] = True

    def _clear(self) -> None:
        self._largest = np.zeros(len(self._demand), dtype=np.float32)

    def _add(self, topic: int) -> None:
        raise AssertionError("topics are added by learn")
