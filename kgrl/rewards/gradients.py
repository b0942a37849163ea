"""Rewards that look at gradients and weights; for learners that are `Differentiable`."""

from __future__ import annotations

from kgrl.expansion import Expansion
from kgrl.rewards.base import Reward, measure_of
from kgrl.rewards.registry import rewards

__all__ = ["GradientAlignment", "GradientComplexityGain", "GradientPredictionGain", "L2ComplexityGain"]


@rewards.register("gradient-prediction-gain")
class GradientPredictionGain(Reward):
    """Gradient prediction gain (GPG): |grad L(x, theta)|^2 of the lesson's mean loss before it is learned.

    To first order what a step of gradient descent gains on the text it is taken on, for a learning rate of 1.
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
    """Complexity gain, L2: |theta'|^2 - |theta|^2 over the trained weights, an adapter's or all.

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

    To first order half the growth of |theta|^2 in a step of gradient descent, for a learning rate of 1. Unit: nats per
    token. Range: unbounded. Source: Graves et al. 2017, section 3.2, GL2G. Needs: `"gradient"`.
    """

    name = "gradient-complexity-gain"
    needs = frozenset({"gradient"})

    def score(self, expansion: Expansion) -> float:
        """Return the gradient along the weights, with the opposite sign."""
        return -measure_of(expansion, "gradient_weights", self.name)


@rewards.register("gradient-alignment")
class GradientAlignment(Reward):
    """Gradient alignment: mean cosine of the lesson's passages' gradients with the gradient on the probe.

    The probe is the goal's where there is a goal, else all topics'. All gradients are taken before the lesson.
    Unit: none. Range: -1 to 1. Source: Lopez-Paz and Ranzato 2017, where the sign tells transfer from interference.
    Needs: `"alignment"`.
    """

    name = "gradient-alignment"
    needs = frozenset({"alignment"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean cosine."""
        return measure_of(expansion, "alignment", self.name)
