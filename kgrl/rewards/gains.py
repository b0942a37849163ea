"""Prediction gains: how much an expansion lowered a held-out loss (Graves et al. 2017, section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import Reward, measure_of, probe_of
from kgrl.rewards.registry import rewards

__all__ = ["MeanPredictionGain", "PredictionGain", "SelfPredictionGain", "TargetPredictionGain"]


class _ProbeGain(Reward):
    """The drop of one probe's loss, in nats per token."""

    probe: str

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss before minus the mean loss after, in nats per token.

        Raises:
            RewardError: If the probe was not measured.
        """
        return probe_of(expansion, self.probe, self.name).gain

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64]:
        """Return the same for many curricula."""
        return expansions.gains[self.probe]


@rewards.register("mean-prediction-gain")
class MeanPredictionGain(_ProbeGain):
    """Mean prediction gain (MPG): l(theta) - l(theta') on probe passages drawn uniformly from all topics.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017. Needs: `"mean"`.
    """

    name, probe = "mean-prediction-gain", "mean"
    needs = frozenset({"mean"})


@rewards.register("target-prediction-gain")
class TargetPredictionGain(_ProbeGain):
    """Target prediction gain (TPG): l(theta) - l(theta') on the goal's probe passages.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017.
    Needs: `"target"`, and so a goal.
    """

    name, probe = "target-prediction-gain", "target"
    needs = frozenset({"target"})


@rewards.register("self-prediction-gain")
class SelfPredictionGain(_ProbeGain):
    """Self prediction gain (SPG): l(theta) - l(theta') on held-out passages of the neighbourhood just learned.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017. Needs: `"self"`.
    """

    name, probe = "self-prediction-gain", "self"
    needs = frozenset({"self"})


@rewards.register("prediction-gain")
class PredictionGain(Reward):
    """Prediction gain (PG): l_x(theta) - l_x(theta') on the passages just trained on.

    It pays for memorising: text that teaches nothing beyond itself gains most. Unit: nats per token. Range: unbounded,
    positive when learning helped. Source: Bellemare et al. 2016; Graves et al. 2017. Needs: `"trained"`.
    """

    name = "prediction-gain"
    needs = frozenset({"trained"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss of the lesson's passages before it less the one after."""
        before = measure_of(expansion, "trained_before", self.name)
        return before - measure_of(expansion, "trained_after", self.name)
