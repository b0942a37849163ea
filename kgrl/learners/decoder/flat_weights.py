"""Trained parameters as one vector, with AdamW's state beside it.

One vector is updated, clipped, copied and compared in one operation, where an adapter has hundreds of small tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from kgrl.system.devices import kept_copies

__all__ = ["EPSILON", "FIRST_DECAY", "SECOND_DECAY", "FlatWeights", "Trained"]

FIRST_DECAY, SECOND_DECAY = 0.9, 0.99
"""AdamW's decay rates: averages over some 10 gradients and 100 squared ones, where the usual 0.999 takes 1,000."""
EPSILON = 1e-8


@dataclass(frozen=True)
class Trained:
    """Trained weights and AdamW's state (Loshchilov and Hutter 2019); tensors are float32 `[trained weights]`.

    Args:
        weights: The weights.
        first_moment: Average of gradients.
        second_moment: Average of squared gradients.
        steps: Updates so far.
    """

    weights: Tensor
    first_moment: Tensor
    second_moment: Tensor
    steps: int


class FlatWeights:
    """Parameters as one vector of values and one of gradients, trained by AdamW without weight decay.

    Args:
        parameters: The parameters by name; they become views of the vectors, so that the model reads and
            differentiates these.

    Attributes:
        weights: All parameters as one vector, with its gradient, float32 of shape `[trained weights]`.
        moments: AdamW's two averages, of the same shape.
        steps: Updates since the optimizer was last reset.
        current_rate: The learning rate of the latest update.
        slices: Each parameter's part of the vectors, by name.
        shapes: The shape of each parameter, by name.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> flat = FlatWeights(dict(layer.named_parameters()))
        >>> flat.weights.shape, flat.view(flat.weights, "bias").shape
        (torch.Size([9]), torch.Size([3]))
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self._parameters = dict(parameters)
        self.weights, self.slices = _flatten(parameters)
        self.moments = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.steps, self.current_rate = 0, 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that learns on independently, bit for bit as this one would; frozen weights are shared."""
        twin = memo[id(self)] = type(self).__new__(type(self))
        for module in (value for value in vars(self).values() if isinstance(value, nn.Module)):
            for weight in module.parameters():
                if type(weight) is nn.Parameter and not weight.requires_grad:
                    # A parameter of its own on the same memory: ReLoRA gives it other memory and never writes to this.
                    memo.setdefault(id(weight), nn.Parameter(weight.data, requires_grad=False))
        apart = ("weights", "moments")
        twin.__dict__.update({name: copy.deepcopy(v, memo) for name, v in vars(self).items() if name not in apart})
        # Copied parameters are no views of one vector any more, and have no gradients.
        twin.weights, twin.slices = _flatten(twin._parameters)
        twin.gradient.copy_(self.gradient)
        twin.moments = self.moments[0].clone(), self.moments[1].clone()
        return twin

    @property
    def gradient(self) -> Tensor:
        """The gradient of the trained weights, `[trained weights]`, changed in place by updates."""
        assert self.weights.grad is not None
        return self.weights.grad

    def view(self, vector: Tensor, name: str) -> Tensor:
        """Return a parameter's part of a vector of the weights' length, in the parameter's shape, as a view."""
        return vector.detach()[self.slices[name]].view(self.shapes[name])

    def views(self) -> dict[str, Tensor]:
        """Return the parameters by name, each a view of its part of `weights`."""
        return {name: self.view(self.weights, name) for name in self.slices}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take one step of AdamW along the gradient with this learning rate."""
        first, second = self.moments
        # The function and not the class, which imports torch's compiler: a second or two. Fused, it passes over memory
        # once, and not a dozen times.
        adamw(
            [self.weights],
            [self.gradient],
            [first],
            [second],
            [],
            [torch.full((), float(self.steps), device=self.weights.device)],  # made there: nothing to wait for
            fused=True,
            amsgrad=False,
            beta1=FIRST_DECAY,
            beta2=SECOND_DECAY,
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        self.steps, self.current_rate = self.steps + 1, rate

    def copy(self) -> Trained:
        """Return a copy of the weights and the optimizer's state, on their device if there is room for it."""
        weights, first, second = kept_copies([self.weights, *self.moments])
        return Trained(weights, first, second, self.steps)

    @torch.no_grad()
    def set_trained(self, trained: Trained) -> None:
        """Copy weights and an optimizer's state into the vectors."""
        self.weights.copy_(trained.weights)
        for moment, other in zip(self.moments, (trained.first_moment, trained.second_moment), strict=True):
            moment.copy_(other)
        self.steps = trained.steps

    def reset_optimizer(self) -> None:
        """Set the optimizer's averages and its count of updates to zero; the weights stay."""
        for moment in self.moments:
            moment.zero_()
        self.steps = 0

    @contextmanager
    def holding(self, weights: Tensor) -> Iterator[None]:
        """Hold other trained weights within a `with` block, shape `[trained weights]`; own ones return bit for bit."""
        own = self.weights.detach().clone()
        try:
            with torch.no_grad():
                self.weights.copy_(weights)
            yield
        finally:
            with torch.no_grad():
                self.weights.copy_(own)


def _flatten(parameters: Mapping[str, nn.Parameter]) -> tuple[nn.Parameter, dict[str, slice]]:
    """Move parameters and their gradients into one vector each and make them views of it.

    Returns:
        The vector, float32 `[trained weights]`, and each parameter's part of it by name.
    """
    flat = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters.values()]).float())
    flat.grad = torch.zeros_like(flat)
    slices, start = {}, 0
    for name, p in parameters.items():
        slices[name] = own = slice(start, start + p.numel())
        p.data = flat.data[own].view_as(p)
        # A gradient that is there already is added to in place: backward() fills the vector.
        p.grad = flat.grad[own].view_as(p)
        start = own.stop
    return flat, slices
