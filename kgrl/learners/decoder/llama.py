"""A Llama-style decoder (Touvron et al. 2023) in a hundred lines, for models that are trained from random weights.

It has the layers, parameter names and initial weights of transformers' `LlamaForCausalLM`, and saves what that loads.
transformers itself takes three seconds and 300 MB to import, more than a short run of a small model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from kgrl.errors import SettingError
from kgrl.learners.decoder.functions import rms_norm, rotate
from kgrl.learners.decoder.loss import PLAIN_LOGITS
from kgrl.learners.decoder.packing import Block
from kgrl.learners.decoder.past import Past, with_pasts
from kgrl.system.devices import to_device

__all__ = ["Llama", "Shape"]

_CONTEXT = 512
"""Most tokens of a passage that learners read in one piece."""
_EPSILON = 1e-6
_THETA = 10_000.0
"""Base of the rotary positions' wave lengths."""
_STANDARD_DEVIATION = 0.02
"""Of initial weights."""


@dataclass(frozen=True)
class Shape:
    """A decoder's shape.

    Args:
        width: Width of the decoder's states.
        layers: Number of layers.
        heads: Number of attention heads.
        vocabulary: Entries of the tokenizer.

    Raises:
        SettingError: If one is below 1, or the width no multiple of twice the heads.
    """

    width: int
    layers: int
    heads: int
    vocabulary: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise SettingError(f"{name} must be at least 1, not {value}")
        if self.width % (2 * self.heads):  # a head turns pairs of its numbers by the position
            fitting = 2 * self.heads * max(1, round(self.width / (2 * self.heads)))
            raise SettingError(f"width must be a multiple of twice the heads, such as {fitting}, not {self.width}")

    @property
    def inner(self) -> int:
        """Width inside of a feed-forward network: three matrices have the weights of the usual two."""
        return 8 * self.width // 3

    def config(self, first: int) -> dict[str, Any]:
        """Return the contents of a `config.json`, by which transformers makes the same model.

        Args:
            first: Token id that leads every text.
        """
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "max_position_embeddings": _CONTEXT,
            "rope_parameters": {"rope_theta": _THETA, "rope_type": "default"},
            "rms_norm_eps": _EPSILON,
            "tie_word_embeddings": True,
            "bos_token_id": first,
            "eos_token_id": None,
            "dtype": "float32",
        }


class Llama(nn.Module):
    """A decoder whose output embedding is its input embedding; attention is causal.

    Its weights are drawn from torch's global generator, in the order in which transformers draws them.

    Args:
        shape: Its shape.

    Attributes:
        shape: Its shape.
        context: Most tokens of a text.

    Example:
        >>> model = Llama(Shape(width=16, layers=1, heads=2, vocabulary=300))
        >>> model(torch.tensor([[5, 6, 7]])).shape
        torch.Size([1, 3, 300])
    """

    context = _CONTEXT
    branches = True
    logits = PLAIN_LOGITS

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = _Body(shape)

    @property
    def head(self) -> Tensor:
        """The output embedding, `[vocabulary, width]`."""
        return self.model.embed_tokens.weight

    def states(self, block: Block) -> Tensor:
        """Return the last states of packed pieces, none of which sees another, `[tokens, width]`."""
        inputs, positions = (to_device(ids, self.head.device) for ids in (block.inputs, block.positions))
        masks = None if block.masks is None else [to_device(mask, self.head.device) for mask in block.masks]
        states: Tensor = self.model(inputs, positions, _Pieces(block.lengths, masks, block.pasts))
        return states

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of texts of one length, `[texts, tokens, vocabulary]`; ids are `[texts, tokens]`."""
        texts, tokens = ids.shape
        positions = torch.arange(tokens, device=ids.device).repeat(texts)
        states: Tensor = self.model(ids.reshape(-1), positions, _Pieces([tokens] * texts))
        return (states @ self.head.T).view(texts, tokens, -1)


@dataclass(frozen=True)
class _Pieces:
    """Pieces that a block holds.

    Args:
        lengths: Tokens of each.
        masks: What each token sees, for each piece; all before it if None. See `Block.masks`.
        pasts: The past of each piece. See `Block.pasts`.
    """

    lengths: list[int]
    masks: list[Tensor] | None = None
    pasts: Sequence[Past] | None = None


class _Body(nn.Module):
    """The decoder without its output embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = _Norm(shape.width)
        size = shape.width // shape.heads
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=_STANDARD_DEVIATION)
        self._waves = 1.0 / _THETA ** (torch.arange(0, size, 2, dtype=torch.float32) / size)  # [head width / 2]

    def forward(self, ids: Tensor, positions: Tensor, pieces: _Pieces) -> Tensor:
        """Return last states, `[tokens, width]`, of pieces laid end to end."""
        angles = positions[:, None] * self._waves.to(ids.device)
        angles = torch.cat([angles, angles], dim=-1)[None, None]  # [1, 1, tokens, head width]
        turn = angles.cos(), angles.sin()
        states = self.embed_tokens(ids)
        for layer in self.layers:
            states = layer(states, turn, pieces)
        normal: Tensor = self.norm(states)
        return normal


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = _Attention(shape)
        self.mlp = _FeedForward(shape)
        self.input_layernorm = _Norm(shape.width)
        self.post_attention_layernorm = _Norm(shape.width)

    def forward(self, states: Tensor, turn: tuple[Tensor, Tensor], pieces: _Pieces) -> Tensor:
        states = states + self.self_attn(self.input_layernorm(states), turn, pieces)
        output: Tensor = states + self.mlp(self.post_attention_layernorm(states))
        return output


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._heads = shape.heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )

    def forward(self, states: Tensor, turn: tuple[Tensor, Tensor], pieces: _Pieces) -> Tensor:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        # Each [1, heads, tokens, head width].
        query, key, value = (p(states).view(len(states), self._heads, -1).transpose(0, 1)[None] for p in projections)
        queries = torch.split(rotate(query, *turn), pieces.lengths, dim=2)
        keys, values = with_pasts(self, rotate(key, *turn), value, pieces.lengths, pieces.pasts)
        # A text at a time: with a mask for all, attention between texts would be computed and thrown away.
        shown: Sequence[Tensor | None] = pieces.masks or [None] * len(queries)
        seen = [
            scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
            for q, k, v, mask in zip(queries, keys, values, shown, strict=True)
        ]
        output: Tensor = self.o_proj(torch.cat(seen, dim=2)[0].transpose(0, 1).reshape(len(states), -1))
        return output


class _FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        output: Tensor = self.down_proj(silu(self.gate_proj(states)) * self.up_proj(states))
        return output


class _Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        return rms_norm(states, self.weight, _EPSILON)
