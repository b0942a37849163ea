"""The oracle: an agent that looks what each choice leads to before it chooses, at many times a choice's cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import agents
from kgrl.agents.baselines.frontier import SampledAgent
from kgrl.curriculum.view import View
from kgrl.graph.topic_graph import IntArray

__all__ = ["Oracle"]


@agents.register("oracle")
class Oracle(SampledAgent):
    """The candidate after whose neighbourhood the mean probe loss would be lowest, found by trying it on a fork.

    A near-ceiling for other agents, not an optimum: it looks one expansion ahead, where a worse topic now may open
    better ones; it tries a sample of the candidates; and it measures on probe passages, never on the exam, so that some
    of the drop it picks by is luck with the few passages of the probe. Reports score it by the exam, as they do
    everybody. Without a goal all topics count, with one the goal's.

    Each candidate tried costs as much learning as an expansion. That is booked as probing and is not taken from the
    token budget, which makes the oracle something to compare with, not an agent to deploy.

    Args:
        sample: Most candidates tried at a step, drawn uniformly.

    Raises:
        ValueError: If `sample` is below 1.
    """

    def __init__(self, sample: int = 8) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the drops of the mean probe loss in nats per token."""
        return view.try_topics(topics)
