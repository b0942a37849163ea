"""The learner protocol: a model that is taught passages and measured on passages.

A learner knows text and weights; it does not know topics' links, rewards or agents.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Passages

__all__ = ["Differentiable", "Knowing", "Learned", "Learner", "Sized", "Snapshot"]

Snapshot = Any
"""Result of a learner's `snapshot`; only the same learner can read it."""


@dataclass(frozen=True)
class Learned:
    """Result of one call of `learn`.

    Args:
        tokens: Tokens trained on.
        loss: Mean loss of those tokens in nats per token, each batch before its update.
        losses: Mean loss of each passage that was trained on, from the first, over its tokens that were trained on,
            each batch before its update; in nats per token.
        chunked: Number of passages that were longer than the learner's context and read in pieces.
        changed: Share of the trained weights that changed, between 0 and 1; None if a learner does not tell.
        module: Name of the module that was trained, if a learner keeps several.

    Example:
        >>> Learned(tokens=30, loss=4.5, losses=(4.0, 5.0)).passages
        2
    """

    tokens: int
    loss: float
    losses: tuple[float, ...]
    chunked: int = 0
    changed: float | None = None
    module: str | None = None

    @property
    def passages(self) -> int:
        """Number of passages of which at least one token was trained on, from the first."""
        return len(self.losses)


@runtime_checkable
class Learner(Protocol):
    """A model that can be taught.

    Implementers inherit `kgrl.testing.LearnerContract` in their tests.
    """

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        """Train on passages in order until they or the budget are used up.

        Args:
            passages: Passages to train on, at least one.
            token_budget: Most tokens to train on; the last passage is cut to fit.

        Raises:
            ValueError: If `passages` is empty or the budget is below 2 tokens.
            DivergedError: If a loss is NaN or infinite; the weights are then as before the bad update.
        """
        ...

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the mean loss of each passage in nats per token, shape `[passages]`; changes nothing.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the passage.
        """
        ...

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        """Return the number of tokens of each passage for this learner, shape `[passages]`."""
        ...

    def snapshot(self) -> Snapshot:
        """Return the state of everything that training changes, optimizer and random state included."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; losses are then bit for bit what they were."""
        ...

    def save(self, folder: Path) -> None:
        """Write the state that `snapshot` covers to a folder, as safetensors and JSON."""
        ...

    def load(self, folder: Path) -> None:
        """Read a state that `save` wrote.

        Raises:
            KgrlError: If the folder was written by another kind of learner or for another base model.
        """
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A learner that has gradients, which some rewards need. All learners with a transformer inside have them."""

    def loss_gradient(self, passages: Passages) -> NDArray[np.float32]:
        """Return the gradient of the mean loss per token of some passages, shape `[trained weights]`; changes nothing.

        Args:
            passages: At least one passage.
        """
        ...

    def trained_weights(self) -> NDArray[np.float32]:
        """Return a copy of the weights that training changes, in the gradient's order, shape `[trained weights]`."""
        ...


@runtime_checkable
class Knowing(Protocol):
    """A learner that tells what it knows, without a test. Only simulated ones can.

    Attributes:
        known: The share of each topic's facts that is known, from 0 to 1, `[topics]`.
    """

    @property
    def known(self) -> NDArray[np.float64]:
        """Return the shares."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A learner that knows its model's size.

    Attributes:
        n_parameters: Number of the model's parameters, those that are not trained included.
    """

    n_parameters: int
