"""Llama's norms and rotary positions in as few passes over memory as it takes.

transformers writes them as a dozen operations, which autograd differentiates one by one. Doing it by hand makes a layer
of SmolLM2 with rank 8 train in 13% and measure in 6% less processor time.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, eager_attention_forward

__all__ = ["fuse_llama"]


def fuse_llama(model: nn.Module) -> None:
    """Give a model's Llama attention layers and frozen norms faster forwards; what they compute stays the same."""
    for layer in model.modules():
        if type(layer) is LlamaRMSNorm and not layer.weight.requires_grad:
            layer.forward = MethodType(_norm, layer)  # type: ignore[method-assign]
        elif type(layer) is LlamaAttention:
            layer.forward = MethodType(_attention, layer)  # type: ignore[method-assign]


def _norm(layer: Any, x: Tensor) -> Tensor:
    output: Tensor = _RMSNorm.apply(x, layer.weight, layer.variance_epsilon)  # type: ignore[no-untyped-call]
    return output


def _attention(
    layer: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None = None,
    past_key_values: Any = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """`LlamaAttention.forward` with our rotation, and without dropout, which learners never use."""
    shape = hidden_states.shape[:-1]
    projections = (layer.q_proj, layer.k_proj, layer.v_proj)
    query, key, value = (
        project(hidden_states).view(*shape, -1, layer.head_dim).transpose(1, 2) for project in projections
    )
    cos, sin = (table[:, None] for table in position_embeddings)  # [1, 1, tokens, width]
    query, key = _Rotation.apply(query, cos, sin), _Rotation.apply(key, cos, sin)  # type: ignore[no-untyped-call]
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, layer.layer_idx)
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(layer.config._attn_implementation, eager_attention_forward)
    output, weights = attend(layer, query, key, value, attention_mask, dropout=0.0, scaling=layer.scaling, **options)
    return layer.o_proj(output.reshape(*shape, -1).contiguous()), weights


class _RMSNorm(torch.autograd.Function):
    """y = w x / sqrt(mean(x^2) + epsilon), with w frozen (Zhang and Sennrich 2019)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        exact = x.float()
        scale: Tensor = torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_()
        scale.div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (exact * scale).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        exact, dx = x.float(), (gradients[0] * weight).float()
        of_scale = torch.linalg.vecdot(dx, exact)[..., None].mul_(scale**3).div_(-x.shape[-1])
        return dx.mul_(scale).addcmul_(exact, of_scale).to(x.dtype), None, None


class _Rotation(torch.autograd.Function):
    """Rotary positions (Su et al. 2021): coordinate i and i + width / 2 turn as a pair."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _rotated(gradients[0], cos, sin, -1), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    (first, second), half_sin = x.chunk(2, dim=-1), sin.chunk(2, dim=-1)[0]
    turned = x * cos
    turned_first, turned_second = turned.chunk(2, dim=-1)
    turned_first.addcmul_(second, half_sin, value=-direction)
    turned_second.addcmul_(first, half_sin, value=direction)
    return turned
