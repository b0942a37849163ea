"""Adam, written out: importing PyTorch's optimizers takes four seconds, since they import its compiler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Adam"]


class Adam:
    """Adam (Kingma and Ba 2015), with the arithmetic of `torch.optim.Adam` and the methods that training calls.

    Parameters without a gradient are left out of a step, and their averages begin when they first have one.

    Args:
        parameters: The parameters.
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
        self._averages: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        self._steps: dict[nn.Parameter, int] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients."""
        group = self.param_groups[0]
        for parameter in group["params"]:
            if parameter.grad is not None:
                self._move(parameter, parameter.grad, group["lr"])

    def _move(self, parameter: nn.Parameter, gradient: Tensor, rate: float) -> None:
        first, second = self.betas
        if parameter not in self._averages:
            self._averages[parameter] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        mean, square = self._averages[parameter]
        steps = self._steps[parameter] = self._steps.get(parameter, 0) + 1
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = square.sqrt().div_((1 - second**steps) ** 0.5).add_(self.eps)
        parameter.addcdiv_(mean, root, value=-rate / (1 - first**steps))
