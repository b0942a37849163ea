"""What rewards of the learned set have in common: they read the graph or embeddings, and remember what is learned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.base import Reward, RewardContext, RewardError

__all__ = ["Bound", "Change"]


class Bound(Reward):
    """A reward that remembers what is learned, and reads the context that it must be bound to before it scores.

    Subclasses define `_clear`, `learn` and `score`.
    """

    _context: RewardContext | None = None

    @property
    def context(self) -> RewardContext:
        """What the reward was bound to.

        Raises:
            RewardError: If it was not.
        """
        if self._context is None:
            raise RewardError(f"reward {self.name!r} reads {', '.join(sorted(self.needs))}: call bind(context) first")
        return self._context

    def bind(self, context: RewardContext) -> None:
        """Keep the context at hand and begin with nothing learned."""
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
        """Forget what was learned."""
        if self._context is not None:
            self._clear()

    @abstractmethod
    def learn(self, topics: Iterable[int]) -> None:
        """Take topics into what is learned."""

    @abstractmethod
    def _clear(self) -> None:
        """Make the state that of an empty set."""


class Change(Bound):
    """A reward that is the value of the learned set after an expansion minus its value before.

    So the rewards of a curriculum add up to the last value minus that of the nucleus, whatever the order. All topics
    of the expansion's neighbourhood are learned; learning a topic twice changes nothing. Subclasses define `_clear`,
    `_add` and `value`.
    """

    needs = frozenset({"graph"})

    def reset(self) -> None:
        """Forget what was learned."""
        if self._context is not None:
            self.is_learned = np.zeros(len(self._context.graph), dtype=bool)
        super().reset()

    def score(self, expansion: Expansion) -> float:
        """Return the change of the value as the expansion's topics are learned."""
        _ = self.context  # raises where there is none
        before = self.value()
        self.learn(expansion.neighbourhood)
        return float(self.value() - before)

    def learn(self, topics: Iterable[int]) -> None:
        """Take topics into the learned set, those that are in it left out."""
        for topic in topics:
            if not self.is_learned[topic]:
                self._add(topic)
                self.is_learned[topic] = True

    def near(self, topic: int) -> IntArray:
        """The learned topics linked with a topic in either direction."""
        neighbours = self.context.graph.neighbours(topic)
        return neighbours[self.is_learned[neighbours]]

    @abstractmethod
    def value(self) -> float:
        """The number that the learned set has."""

    @abstractmethod
    def _add(self, topic: int) -> None:
        """Take one topic into the state; `is_learned` is set after that."""
