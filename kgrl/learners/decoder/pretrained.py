"""Causal models of transformers as decoders that read packed passages."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgrl.errors import KgrlError
from kgrl.learners.decoder.layers import NO_MASK, PACKED
from kgrl.learners.decoder.loss import token_losses
from kgrl.learners.decoder.packing import Block, pack

__all__ = ["PretrainedDecoder"]


class PretrainedDecoder:
    """A causal model of transformers, which reads packed passages.

    Args:
        model: The model.

    Attributes:
        head: Its output embedding, `[vocabulary, width]`.
        context: Most tokens of a text: as many as the model has positions, or its sliding window holds.

    Raises:
        KgrlError: If the model's logits are not its output embedding times its decoder's last states, or it cannot
            keep packed passages apart.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model: PreTrainedModel = model.eval()  # type: ignore[no-untyped-call]
        self._body: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
        self.head: Tensor = model.get_output_embeddings().weight  # type: ignore[no-untyped-call]
        self.context = _context(model.config)
        self._set_attention()

    def states(self, block: Block) -> Tensor:
        """Return the last states of packed pieces, none of which sees another, `[tokens, width]`."""
        inputs, positions = self._tensor(block.inputs)[None], self._tensor(block.positions)[None]  # [1, tokens]
        # Without our attention, transformers masks between passages where it sees positions that start over.
        packed = self._model.config._attn_implementation == PACKED
        ours: dict[str, Any] = {"lengths": block.lengths, "attention_mask": NO_MASK} if packed else {}
        if block.masks is not None:
            ours["masks"] = [torch.from_numpy(mask).to(self._model.device) for mask in block.masks]
        output = self._body(input_ids=inputs, position_ids=positions, use_cache=False, **ours)
        states: Tensor = output.last_hidden_state[0]
        return states

    @property
    def branches(self) -> bool:
        """True if it can read blocks with branches, which its own attention cannot."""
        return bool(self._model.config._attn_implementation == PACKED)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        """An array as a tensor on the model's device."""
        return torch.from_numpy(array).to(self._model.device)

    @torch.inference_mode()
    def _set_attention(self) -> None:
        """Let the model attend within passages only, in the first way that keeps the losses it has without packing.

        They are compared on a few tokens, since an unusual architecture would differ silently.

        Raises:
            KgrlError: If no way keeps the losses.
        """
        own = self._model.config._attn_implementation
        sequences = [np.array([1, 2, 3, 4, 5, 6]), np.array([3, 2, 1, 2])]
        (block,) = pack(sequences, block_tokens=16, context=16)
        expected = torch.cat([self._plain_losses(ids) for ids in sequences])
        # Attention that leaks between passages changes losses by tenths of a nat; bfloat16 rounds by some hundredths.
        tolerance = 1e-3 if self.head.dtype == torch.float32 else 0.1
        for attention in (PACKED, own) if own == "sdpa" else (own,):
            self._model.set_attn_implementation(attention)
            packed = token_losses(self.states(block), self.head, self._tensor(block.targets))
            if torch.allclose(packed, expected, rtol=0, atol=tolerance):
                return
        kind = self._model.config.model_type
        raise KgrlError(f"models of type {kind!r} cannot be taught: packing passages changes their losses")

    def _plain_losses(self, ids: NDArray[Any]) -> Tensor:
        """Losses of one sequence by the model's own forward, `[tokens - 1]`."""
        logits = self._model(self._tensor(ids[None, :-1]), use_cache=False).logits[0].float()
        return nn.functional.cross_entropy(logits, self._tensor(ids[1:]), reduction="none")


def _context(config: Any) -> int:
    """The most tokens read in one piece."""
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window")]
    return min((int(limit) for limit in limits if limit), default=2**31)
