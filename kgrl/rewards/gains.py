"""Gains: the drop of a loss over an expansion, and its forms in gradients and weights (Graves et al. 2017, section 3).

Notation: theta are the learner's weights before the expansion, theta' after it, l a mean loss in nats per token.
Rewards of gradients and weights are for learners that are `kgrl.learners.base.Differentiable`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import Reward
from kgrl.rewards.measured import measure_of, probe_of
from kgrl.rewards.registry import rewards

__all__ = [
    "GradientAlignment",
    "GradientComplexityGain",
    "GradientPredictionGain",
    "L2ComplexityGain",
    "MeanPredictionGain",
    "PredictionGain",
    "SelfPredictionGain",
    "TargetPredictionGain",
]


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
        """Return the drops of many curricula, `[n]`."""
        return expansions.gains[self.probe]


@rewards.register("mean-prediction-gain")
class MeanPredictionGain(_ProbeGain):
    """Mean prediction gain (MPG): l(theta) - l(theta') on probe passages drawn uniformly from all topics.

    Unit: nats per token. Range: unbounded, positive when learning helped. Source: Graves et al. 2017. Needs: `"mean"`.

    Example:
        >>> from kgrl.expansion import Measurement
        >>> probes = {"mean": Measurement((3, 5), (4.0, 3.0), (3.5, 3.0))}
        >>> MeanPredictionGain()(Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, probes))
        0.25
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

    It rewards memorising: text that teaches nothing beyond itself gains most. Unit: nats per token. Range: unbounded,
    positive when learning helped. Source: Bellemare et al. 2016; Graves et al. 2017. Needs: `"trained"`.
    """

    name = "prediction-gain"
    needs = frozenset({"trained"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss of the lesson's passages before it minus the mean loss after it."""
        before = measure_of(expansion, "trained_before", self.name)
        return before - measure_of(expansion, "trained_after", self.name)


@rewards.register("gradient-prediction-gain")
class GradientPredictionGain(Reward):
    """Gradient prediction gain (GPG): |grad L(x, theta)|^2 of the lesson's mean loss before it is learned.

    To first order this is the gain of one step of gradient descent, of learning rate 1, on the text it is taken on.
    Unit: squared nats per token. Range: 0 and above. Source: Graves et al. 2017, section 3.1. Needs: `"gradient"`.

    Example:
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, measures={"gradient_squared": 0.5})
        >>> GradientPredictionGain()(step)
        0.5
    """

    name = "gradient-prediction-gain"
    needs = frozenset({"gradient"})

    def score(self, expansion: Expansion) -> float:
        """Return the squared norm of the gradient."""
        return measure_of(expansion, "gradient_squared", self.name)


@rewards.register("l2-complexity-gain")
class L2ComplexityGain(Reward):
    """Complexity gain, L2: |theta'|^2 - |theta|^2 over the trained weights: an adapter's, or all.

    Unit: squared weights. Range: unbounded, positive where weights grew. Source: Graves et al. 2017, section 3.2, L2G.
    Needs: `"weights"`.
    """

    name = "l2-complexity-gain"
    needs = frozenset({"weights"})

    def score(self, expansion: Expansion) -> float:
        """Return the growth of the squared norm."""
        after = measure_of(expansion, "weights_squared_after", self.name)
        return after - measure_of(expansion, "weights_squared_before", self.name)


@rewards.register("gradient-complexity-gain")
class GradientComplexityGain(Reward):
    """Complexity gain, gradient form: -theta . grad L of the lesson's mean loss before it is learned.

    To first order this is half the growth of |theta|^2 in one step of gradient descent of learning rate 1. Unit: nats
    per token. Range: unbounded. Source: Graves et al. 2017, section 3.2, GL2G. Needs: `"gradient"`.
    """

    name = "gradient-complexity-gain"
    needs = frozenset({"gradient"})

    def score(self, expansion: Expansion) -> float:
        """Return the gradient along the weights, with the opposite sign."""
        return -measure_of(expansion, "gradient_weights", self.name)


@rewards.register("gradient-alignment")
class GradientAlignment(Reward):
    """Gradient alignment: mean cosine of the lesson's passages' gradients with the gradient on the probe.

    The probe is the goal's if there is a goal, else that of all topics. All gradients are taken before the lesson.
    Unit: none (a cosine). Range: -1 to 1, positive for transfer, negative for interference. Source: Lopez-Paz and
    Ranzato 2017.
    Needs: `"alignment"`.
    """

    name = "gradient-alignment"
    needs = frozenset({"alignment"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean cosine."""
        return measure_of(expansion, "alignment", self.name)
