"""Differentiable functions whose backward passes are derived by hand: fewer passes over memory than autograd needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["rms_norm", "rotate"]


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return y = w x / sqrt(mean(x^2) + epsilon) (Zhang and Sennrich 2019), `[..., width]` as x; w is `[width]`."""
    y: Tensor = _RMSNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return states turned by rotary positions (Su et al. 2021).

    Coordinates i and i + width / 2 turn as a pair, by an angle for each token.

    Args:
        x: States, `[batch, heads, tokens, width]`.
        cos: Cosines of the angles, `[1, 1, tokens, width]`; the second half repeats the first.
        sin: Their sines, of the same shape.
    """
    turned: Tensor = _Rotation.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return turned


class _RMSNorm(torch.autograd.Function):
    """Sums are taken in float32, as transformers does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        exact = x.float()
        scale: Tensor = torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_()
        scale.div_(x.shape[-1]).add_(epsilon).rsqrt_()  # s = 1 / sqrt(mean(x^2) + epsilon), [..., 1]
        ctx.save_for_backward(x, weight, scale)
        return (exact * scale).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        exact, dx = x.float(), (gradients[0] * weight).float()
        of_weight = None
        if ctx.needs_input_grad[1]:  # dw = sum of dy x s over all rows
            rows = gradients[0].float().reshape(-1, x.shape[-1])
            of_weight = torch.linalg.vecdot(rows, (exact * scale).view_as(rows), dim=0).to(weight.dtype)
        # ds / dx = -s^3 x / width, so dx = s g + x (g . x) (-s^3 / width) with g = w dy.
        of_scale = torch.linalg.vecdot(dx, exact)[..., None].mul_(scale**3).div_(-x.shape[-1])
        return dx.mul_(scale).addcmul_(exact, of_scale).to(x.dtype), of_weight, None


class _Rotation(torch.autograd.Function):
    """A rotation's transpose is the rotation by the opposite angle: the backward pass turns the gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _rotated(gradients[0], cos, sin, -1), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    """Pairs (x1, x2) turned to (x1 cos - x2 sin, x2 cos + x1 sin); the other way round for the direction -1."""
    # The tables repeat themselves in their second half, so one half of the sines is enough.
    (first, second), half_sin = x.chunk(2, dim=-1), sin.chunk(2, dim=-1)[0]
    turned = x * cos
    turned_first, turned_second = turned.chunk(2, dim=-1)  # views: `turned` is changed in place
    turned_first.addcmul_(second, half_sin, value=-direction)
    turned_second.addcmul_(first, half_sin, value=direction)
    return turned
