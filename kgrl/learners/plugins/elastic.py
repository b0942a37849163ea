"""Elastic weight consolidation: a penalty on changes of the weights that earlier lessons depend on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.learners.plugins.base import Plugin, PluginHost

__all__ = ["ElasticWeights"]


class ElasticWeights(Plugin):
    """EWC (Kirkpatrick et al. 2017) in its online form (Schwarz et al. 2018): one Fisher diagonal, one anchor.

    After a lesson, F <- `decay` F + F_lesson and the anchor w* is set to the present weights; the penalty is
    `strength` / 2 times the sum of F (w - w*)^2. F_lesson is the empirical Fisher information of a token, estimated
    from the lesson's own updates as n g^2 with g the gradient of the mean loss of n tokens: tokens' gradients that are
    independent and nearly cancel have that expectation. It costs no further passes, and early updates count like late
    ones. With lessons of equal length, `strength` 1 is the Laplace approximation of Bayes' rule; a larger
    one holds weights harder.

    Args:
        strength: Weight of the penalty.
        decay: Factor of earlier lessons' information after each lesson; 1 forgets none.

    Example:
        >>> ElasticWeights(strength=10.0)
        ElasticWeights(strength=10.0, decay=1.0)
    """

    name = "elastic"

    def __init__(self, strength: float = 1.0, decay: float = 1.0) -> None:
        self.strength, self.decay = strength, decay

    def attach(self, learner: PluginHost) -> None:
        """Begin with no information: the first lesson is free."""
        super().attach(learner)
        self._fisher = torch.zeros_like(learner.weights, requires_grad=False)
        self._anchor = learner.weights.detach().clone()

    def begin(self, passages: Passages) -> None:
        """Begin a sum of the lesson's information."""
        self._sum, self._updates = torch.zeros_like(self._fisher), 0

    @torch.no_grad()
    def regularise(self) -> None:
        """Add the squared gradient of the loss to the lesson's information, then the penalty's gradient to it."""
        gradient = self.learner.gradient
        # In this order: the information is of the loss alone.
        self._sum.addcmul_(gradient, gradient, value=self.learner.block_tokens)
        self._updates += 1
        gradient.addcmul_(self._fisher, self.learner.weights - self._anchor, value=self.strength)

    def end(self, passages: Passages) -> None:
        """Add the lesson's mean information to the earlier, and move the anchor."""
        # New tensors: snapshots hold the old ones.
        self._fisher = self.decay * self._fisher + self._sum / max(1, self._updates)
        self._anchor = self.learner.weights.detach().clone()

    def state(self) -> Mapping[str, Tensor]:
        """The information and the anchor."""
        return {"fisher": self._fisher, "anchor": self._anchor}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        device = self.learner.weights.device
        self._fisher, self._anchor = state["fisher"].to(device), state["anchor"].to(device)
