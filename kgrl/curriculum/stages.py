"""Stages: categories that a curriculum learns one after another, each for an equal share of the token budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.config import CurriculumConfig
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["Stages"]


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
