"""Prediction gains: how much an expansion lowered a held-out loss (Graves et al. 2017, section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion, Expansions
from kgrl.rewards.base import Reward, RewardError, rewards

__all__ = ["MeanPredictionGain", "SelfPredictionGain", "TargetPredictionGain"]


class _ProbeGain(Reward):
    """The drop of one probe's loss, in nats per token."""

    probe: str

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss before minus the mean loss after, in nats per token.

        Raises:
            RewardError: If the probe was not measured.
        """
        if self.probe not in expansion.probes:
            measured = ", ".join(sorted(expansion.probes)) or "nothing"
            reads = f"reward {self.name!r} reads the probe {self.probe!r}"
            raise RewardError(f"{reads}, but expansion {expansion.index} measured {measured}")
        return expansion.probes[self.probe].gain

    def scores(self, expansions: Expansions) -> NDArray[np.float64]:
        """Return the same for many curricula."""
        return expansions.gains[self.probe]


@rewards.register("mean-prediction-gain")
class MeanPredictionGain(_ProbeGain):
    """Mean prediction gain (MPG): l(theta) - l(theta') on probe passages drawn uniformly from all topics.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017.
    """

    name, probe = "mean-prediction-gain", "mean"
    needs = frozenset({"mean"})


@rewards.register("target-prediction-gain")
class TargetPredictionGain(_ProbeGain):
    """Target prediction gain (TPG): l(theta) - l(theta') on the goal's probe passages; needs a goal.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017.
    """

    name, probe = "target-prediction-gain", "target"
    needs = frozenset({"target"})


@rewards.register("self-prediction-gain")
class SelfPredictionGain(_ProbeGain):
    """Self prediction gain (SPG): l(theta) - l(theta') on held-out passages of the neighbourhood just learned.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017.
    """

    name, probe = "self-prediction-gain", "self"
    needs = frozenset({"self"})
