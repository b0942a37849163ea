"""Attention for packed passages: each passage attends to itself, in a call of its own.

With a mask, attention between passages is computed and thrown away; on two cores that took a quarter of SmolLM2's
training time. Registered with transformers under the name `PACKED`, for models that use its attention interface.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["NO_MASK", "PACKED", "packed_attention"]

PACKED = "kgrl_packed"
NO_MASK = torch.empty(1, 1, 0, 0)
"""Given as the attention mask along with lengths: transformers takes a mask of four axes as it is and makes none."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: list[int] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each of the passages that one row holds.

    Args:
        module: The attention layer.
        query: Queries, `[1, heads, tokens, width]`.
        key: Keys, `[1, key heads, tokens, width]`.
        value: Values, of the shape of `key`.
        attention_mask: Not looked at where there are lengths.
        lengths: Tokens of each passage, in order, `tokens` in sum; without them this is transformers' own attention.
        options: Passed on to transformers' own attention.

    Returns:
        What was attended to, `[1, tokens, heads, width]`, and None for weights that are not kept.
    """
    if lengths is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return output, None
    queries, keys, values = (torch.split(states, lengths, dim=2) for states in (query, key, value))
    passages = zip(queries, keys, values, strict=True)
    outputs = [sdpa_attention_forward(module, q, k, v, None, **options)[0] for q, k, v in passages]
    return torch.cat(outputs, dim=1), None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
