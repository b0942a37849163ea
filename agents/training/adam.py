"""Adam as PyTorch computes it, without its class, whose import brings a compiler: four seconds of each training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

__all__ = ["Adam"]


class Adam:
    """Adam (Kingma and Ba 2015), with the methods of PyTorch's optimizers that training calls.

    Parameters without a gradient are left out of a step, and their averages begin when they first have one.

    Args:
        parameters: The parameters, float32.
        lr: The learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the second.

    Attributes:
        param_groups: One entry, with the parameters `params` and the learning rate `lr`, which may be changed.

    Example:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> optimizer = Adam([weight], lr=0.1)
        >>> weight.square().sum().backward()
        >>> optimizer.step()
        >>> [round(value, 3) for value in weight.tolist()]
        [0.9, 0.9]
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]
        self.betas, self.eps = betas, eps
        self._state: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}  # both averages, and steps so far

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients."""
        moved = [parameter for parameter in self.param_groups[0]["params"] if parameter.grad is not None]
        for parameter in moved:
            if parameter not in self._state:
                averages = torch.zeros_like(parameter), torch.zeros_like(parameter)
                self._state[parameter] = *averages, torch.zeros(())
        means, squares, steps = zip(*(self._state[parameter] for parameter in moved), strict=True)
        adam(
            moved,
            [parameter.grad for parameter in moved],
            list(means),
            list(squares),
            [],
            list(steps),
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.param_groups[0]["lr"],
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
