"""What plugs into a learner: objects that change its lessons, updates or measurements.

A lesson is one call of `learn`: an expansion of a curriculum, or a whole task of a sequence. Every plug-in overrides
the hooks it needs; several work side by side and are called in the order in which the learner was given them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.graph.topic_graph import IntArray

if TYPE_CHECKING:
    from kgrl.learners.decoder.learner import DecoderLearner

__all__ = ["Measure", "Plugin"]

Measure = Callable[[Passages], NDArray[np.float32]]
"""Losses of passages in nats per token, shape `[passages]`."""


class Plugin:
    """Hooks around a learner's lessons, updates and measurements; by itself it changes nothing.

    The learner's trained weights are one vector, `learner.weights`, with the gradient in `learner.weights.grad` and the
    optimizer's state in `learner.moments`; `learner.slices` and `learner.shapes` say where each parameter lies in it.

    Attributes:
        name: What saved states and records call it.
        rebased: Whether the weights under the trained ones were changed, so that an adapter does not fit its base.
        by_topic: Whether it knows the topics of the corpus that it was attached with, and no others.
        module: Name of the module that the latest lesson trained, for plug-ins that keep several; None for others.

    Example:
        >>> class Halved(Plugin):
        ...     name = "halved"
        ...     def rate(self) -> float:
        ...         return 0.5
        >>> Halved().rate()
        0.5
    """

    name = "plugin"
    learner: DecoderLearner
    module: str | None = None
    rebased = False
    by_topic = False

    def attach(self, learner: DecoderLearner) -> None:
        """Take hold of the learner, once, when it is made.

        Raises:
            SettingError: If the plug-in cannot work with this learner.
        """
        self.learner = learner

    def begin(self, passages: Passages) -> None:
        """Prepare for a lesson on these passages."""

    def rehearse(self, new_tokens: int, token_budget: int) -> tuple[IntArray, int]:
        """Name passages to be read in a lesson beside its own, spread evenly.

        Args:
            new_tokens: Tokens of the lesson's own passages.
            token_budget: Most tokens of the lesson altogether.

        Returns:
            Passage ids in order, and most tokens of them to be read; they are taken from the budget.
        """
        return np.empty(0, dtype=np.int32), 0

    def rate(self) -> float:
        """Return what the learning rate of the next update is multiplied by."""
        return 1.0

    def regularise(self) -> None:
        """Add a penalty's gradient to the loss's, before it is clipped."""

    def restrict(self) -> None:
        """Change the gradient after it is clipped, right before the optimizer's step."""

    def updated(self) -> None:
        """Follow up on an update."""

    def end(self, passages: Passages) -> None:
        """Conclude a lesson.

        Args:
            passages: The lesson's own passages of which at least one token was trained on.
        """

    def losses(self, passages: Passages, measure: Measure) -> NDArray[np.float32]:
        """Measure passages by calling `measure`, once or for parts of them; weights are then as before."""
        return measure(passages)

    def modules(self) -> Mapping[str, Tensor]:
        """Return the weights of each module by name, shape `[trained weights]`; none where all train the same."""
        return {}

    def state(self) -> Mapping[str, Tensor]:
        """Return what lessons change, by name. Nothing changes these tensors later: copy what changes in place."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state` returned, here or in a process before."""
