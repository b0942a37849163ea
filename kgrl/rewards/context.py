"""What rewards may know beside the expansions they score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["RewardContext"]


@dataclass(frozen=True)
class RewardContext:
    """What stays the same over all curricula that a reward is used in.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings from train passages, float32, shape `[topics, dimensions]`; zero rows for
            topics without text.
        goal: The goal's topics, or None where all topics count.
    """

    graph: TopicGraph
    embeddings: NDArray[np.float32]
    goal: IntArray | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> RewardContext:
        """Nothing in it changes, so the copies of a reward in a vector environment share it."""
        return self
