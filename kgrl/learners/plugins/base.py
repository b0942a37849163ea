"""Base class of plug-ins: objects that change a learner's lessons, updates or measurements.

A lesson is one call of `learn`: an expansion of a curriculum, or a whole task of a sequence. Every plug-in overrides
the hooks it needs; several work side by side and are called in the order in which the learner was given them.

    begin, rehearse                       once a lesson
        regularise, restrict, rate, updated   in each update: before clipping, after it, at the step, after it
    end                                   once a lesson
    losses                                around each measurement
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kgrl.corpus import Corpus, Passages
from kgrl.graph.topic_graph import IntArray

__all__ = ["Measure", "Plugin", "PluginHost"]

Measure = Callable[[Passages], NDArray[np.float32]]
"""Losses of passages in nats per token, shape `[passages]`."""


class PluginHost(Protocol):
    """Protocol of learners that plug-ins work with: trained weights in one vector, the optimizer's state, a corpus.

    `kgrl.learners.decoder.flat_weights.FlatWeights` describes the vectors.

    Attributes:
        corpus: The corpus that it is taught.
        model: The model, whose trained parameters are views of `weights`.
        block_tokens: Tokens of one update, about.
        weights: All trained parameters, float32 of shape `[trained weights]`.
        moments: AdamW's two averages, of the same shape.
        current_rate: The learning rate of the latest update.
        slices: Each parameter's part of the vectors, by name.
        shapes: The shape of each parameter, by name.
    """

    corpus: Corpus
    model: Any
    block_tokens: int
    weights: nn.Parameter
    moments: tuple[Tensor, Tensor]
    current_rate: float
    slices: dict[str, slice]
    shapes: dict[str, torch.Size]

    @property
    def gradient(self) -> Tensor:
        """The gradient of `weights`, changed in place by updates."""
        ...

    def view(self, vector: Tensor, name: str) -> Tensor:
        """Return a parameter's part of a vector of the weights' length, in the parameter's shape, as a view."""
        ...

    def reset_optimizer(self) -> None:
        """Set the optimizer's averages and its count of updates to zero; the weights stay."""
        ...

    def holding(self, weights: Tensor) -> AbstractContextManager[None]:
        """Hold other trained weights within a `with` block; own ones return bit for bit."""
        ...


class Plugin:
    """Hooks around a learner's lessons, updates and measurements; by itself it changes nothing.

    Attributes:
        learner: The learner it is attached to.
        name: Its name in saved states and records, and in the registry.
        rebased: True once the weights under the trained ones were changed, so that an adapter does not fit its base.
        replaces: True if it puts other weights in the place of those that were trained, so that an average of the
            weights after each update means nothing.
        adapts: True if it works with an adapter's two matrices, and knows nothing that is trained beside them.
        by_topic: True if it knows the topics of the corpus that it was attached with, and no others.
        module: Name of the module that the latest lesson trained, for plug-ins that keep several; None for others.

    Example:
        >>> class Halved(Plugin):
        ...     name = "halved"
        ...     def rate(self) -> float:
        ...         return 0.5
        >>> Halved().rate(), Halved()
        (0.5, Halved())
    """

    name = "plugin"
    learner: PluginHost
    module: str | None = None
    rebased = False
    replaces = False
    adapts = False
    by_topic = False

    def __repr__(self) -> str:
        # The constructor's arguments that are kept under their own names; arrays would fill the screen.
        names = inspect.signature(type(self)).parameters
        kept = ((name, getattr(self, name, None)) for name in names)
        shown = ", ".join(f"{name}={value!r}" for name, value in kept if isinstance(value, int | float | str))
        return f"{type(self).__name__}({shown})"

    def attach(self, learner: PluginHost) -> None:
        """Prepare to work with a learner; called once, when the learner is made.

        Raises:
            SettingError: If the plug-in cannot work with this learner.
        """
        self.learner = learner

    def begin(self, passages: Passages) -> None:
        """Prepare for a lesson on these passages."""

    def rehearse(self, new_tokens: int, token_budget: int) -> tuple[IntArray, int]:
        """Name passages to read again in a lesson, spread evenly among its own.

        Args:
            new_tokens: Tokens of the lesson's own passages.
            token_budget: Most tokens of the lesson altogether.

        Returns:
            Passage ids in order, and the most tokens of them to read; they are taken from the budget.
        """
        return np.empty(0, dtype=np.int32), 0

    def rate(self) -> float:
        """Return the factor of the next update's learning rate."""
        return 1.0

    def regularise(self) -> None:
        """Add a penalty's gradient to the loss's, before it is clipped."""

    def restrict(self) -> None:
        """Change the gradient after it is clipped, right before the optimizer's step."""

    def updated(self) -> None:
        """React to an update of the weights."""

    def end(self, passages: Passages) -> None:
        """Conclude a lesson.

        Args:
            passages: The lesson's own passages of which at least one token was trained on.
        """

    def losses(self, passages: Passages, measure: Measure) -> NDArray[np.float32]:
        """Measure passages by calling `measure`, once or for parts of them; weights are then as before."""
        return measure(passages)

    def modules(self) -> Mapping[str, Tensor]:
        """Return the weights of each module by name, shape `[trained weights]`; empty if all lessons share them."""
        return {}

    def state(self) -> Mapping[str, Tensor]:
        """Return the state that lessons change, by name, with copies of tensors that change in place."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state` returned, here or in an earlier process."""
