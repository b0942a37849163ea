"""An agent that takes what its reward likes best: what a reward leads to, when nothing softens it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.baselines.frontier import SampledAgent
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.view import View
from kgrl.graph.topic_graph import IntArray

__all__ = ["GreedyReward"]


class GreedyReward(SampledAgent):
    """The candidate whose expansion would be rewarded most, of a sample, each tried on a fork of the learner.

    It looks one expansion ahead, as the oracle does, but with the curriculum's own reward. Tries are booked as probing.

    Args:
        curriculum: The curriculum it plays, with its reward.
        sample: Most candidates tried at a step, drawn uniformly.

    Raises:
        ValueError: If `sample` is below 1.
    """

    def __init__(self, curriculum: Curriculum, sample: int = 8) -> None:
        super().__init__(sample)
        self.curriculum = curriculum

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the rewards that the topics' expansions would have."""
        return np.array([self.curriculum.trials.attempt(int(topic)).reward for topic in topics], dtype=np.float64)
