"""The loss profile: per-topic held-out loss with its history, as far as it has been measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.curriculum.config import CurriculumConfig
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["LossProfile", "Stages"]


FloatArray = NDArray[np.float32]


class LossProfile:
    """Probe losses of topics over a curriculum, in nats per token.

    Only what was measured is known; the rest is NaN, never a guess. Nothing of exam enters.

    Args:
        n_topics: Number of topics of the graph.

    Attributes:
        first: First measured loss of each topic, NaN where none, shape `[topics]`.
        level: Latest measured loss of each topic, NaN where none, shape `[topics]`.
        best: Lowest measured loss of each topic, NaN where none, shape `[topics]`.
        previous: The measured loss before the latest of each topic, NaN where none, shape `[topics]`.

    Example:
        >>> profile = LossProfile(3)
        >>> profile.update([0, 2], [4.0, 3.0])
        >>> profile.update([0], [3.5])
        >>> profile.progress.tolist()
        [0.5, 0.0, 0.0]
    """

    def __init__(self, n_topics: int) -> None:
        self.first: FloatArray = np.full(n_topics, np.nan, dtype=np.float32)
        self.level = self.first.copy()
        self.best = self.first.copy()
        self.previous = self.first.copy()

    def update(self, topics: ArrayLike, losses: ArrayLike) -> None:
        """Record the latest losses of some topics.

        Args:
            topics: Topic numbers, without repeats, shape `[n]`.
            losses: Their mean probe losses in nats per token, shape `[n]`.
        """
        at = np.asarray(topics, dtype=np.int64)
        new = np.asarray(losses, dtype=np.float32)
        self.previous[at] = self.level[at]
        self.level[at] = new
        self.first[at] = np.where(np.isnan(self.first[at]), new, self.first[at])
        self.best[at] = np.fmin(self.best[at], new)

    @property
    def progress(self) -> FloatArray:
        """Drop of each topic's loss between its last two measurements, 0 where there are not two."""
        return self.progress_of(slice(None))

    def progress_of(self, topics: NDArray[np.integer] | slice) -> FloatArray:
        """Return `progress` for some topics, at a cost that does not grow with the graph."""
        drop: FloatArray = np.nan_to_num(self.previous[topics] - self.level[topics])
        return drop

    @property
    def forgetting(self) -> FloatArray:
        """How far each topic's loss is above its best, 0 where it was not measured."""
        rise: FloatArray = np.nan_to_num(self.level - self.best)
        return rise

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Whether each topic has been measured, shape `[topics]`."""
        return ~np.isnan(self.level)


class Stages:
    """What can be picked when; all that can be trained on at any time where there are no stages.

    Args:
        graph: The topic graph.
        config: Its `stages` are the categories, in order.
        trainable: Whether each topic can be picked as far as text goes, shape `[topics]`.

    Raises:
        UnknownNameError: If a stage is not a category of the graph.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2], ["x", "y", "x"])
        >>> stages = Stages(graph, CurriculumConfig(stages=("x", "y"), budget_tokens=100), np.ones(3, dtype=bool))
        >>> stages.name(0), stages.name(50)
        ('x', 'y')
        >>> stages.allowed(50, Frontier(graph, [0])).tolist()
        [False, True, False]
    """

    def __init__(self, graph: TopicGraph, config: CurriculumConfig, trainable: NDArray[np.bool_]) -> None:
        self.names, self.budget, self.trainable = config.stages, config.budget_tokens, trainable
        self.domains: list[IntArray] = [graph.in_category(name) for name in self.names]
        self._masks = [trainable & np.isin(np.arange(len(graph)), domain) for domain in self.domains]

    def name(self, tokens: int) -> str | None:
        """Return the category that is learned after so many tokens, None where there are no stages."""
        return self.names[self._number(tokens)] if self.names else None

    def _number(self, tokens: int) -> int:
        return min(tokens * len(self.names) // self.budget, len(self.names) - 1)

    def allowed(self, tokens: int, frontier: Frontier) -> NDArray[np.bool_]:
        """Return whether each topic can be picked after so many tokens, shape `[topics]`.

        Those of the stage; all that can be trained on where there are no stages, or no frontier topic is of this one.
        """
        if not self.names:
            return self.trainable
        staged = self._masks[self._number(tokens)]
        return staged if staged[frontier.topics].any() else self.trainable
