"""Causal models of transformers as decoders that read packed passages."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgrl.errors import KgrlError
from kgrl.learners.decoder.layers import NO_MASK, PACKED
from kgrl.learners.decoder.loss import Logits
from kgrl.learners.decoder.packing import Block, pack
from kgrl.system.devices import to_device

__all__ = ["PretrainedDecoder", "context_of"]

_SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings of configurations that logits are multiplied or divided by."""
_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Settings that bound logits."""
_LARGE = 300.0
"""Largest product of states and output embedding when logits are compared: a bound then shows."""


class PretrainedDecoder:
    """A causal model of transformers, which reads packed passages.

    Models that cannot keep packed passages apart, and those with recurrent state, read one passage at a time: the
    results are the same, and it takes longer.

    Args:
        model: The model.

    Attributes:
        head: Its output embedding, `[vocabulary, width]`.
        logits: The step from products of states and embedding to logits; a scale is part of the states.
        context: Most tokens of a text: as many as the model has positions, or its sliding window holds.
        packs: Whether passages are read side by side.

    Raises:
        KgrlError: If the model's logits cannot be made from its decoder's last states and its output embedding, or the
            states of a passage read alone are not those that the model has in its own forward.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model: PreTrainedModel = model.eval()  # type: ignore[no-untyped-call]
        self._body: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
        output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if self._body is None or self._body is model or not isinstance(getattr(output, "weight", None), Tensor):
            raise KgrlError(f"{self._refused}: it has no decoder with an output embedding over it")
        self.head: Tensor = output.weight
        self.context = context_of(model.config)
        self.packs = True
        self._scale, self.logits = self._find_logits(getattr(output, "bias", None))
        self._set_reading()

    def states(self, block: Block) -> Tensor:
        """Return the last states of packed pieces, none of which sees another, `[tokens, width]`."""
        inputs, positions = self._tensor(block.inputs)[None], self._tensor(block.positions)[None]  # [1, tokens]
        packed = self._model.config._attn_implementation == PACKED
        # Masks of a model's own may be made for as many tokens as it has positions.
        if not self.packs or (not packed and len(block) > self.context):
            pieces = [self._body(input_ids=piece, use_cache=False) for piece in torch.split(inputs, block.lengths, 1)]
            return self._scaled(torch.cat([piece.last_hidden_state[0] for piece in pieces]))
        # Without our attention, transformers masks between passages where it sees positions that start over.
        ours = self._ours(block) if packed else {}
        output = self._body(input_ids=inputs, position_ids=positions, use_cache=False, **ours)
        return self._scaled(output.last_hidden_state[0])

    def _ours(self, block: Block) -> dict[str, Any]:
        """Facts of a block that our attention needs: on a CPU its passages one by one, elsewhere one mask for all."""
        pasts = {} if block.pasts is None else {"pasts": block.pasts}
        if self._model.device.type != "cpu":
            return {"seen": self._seen(block), "lengths": block.lengths, "attention_mask": NO_MASK, **pasts}
        masks = {} if block.masks is None else {"masks": [torch.from_numpy(mask) for mask in block.masks]}
        return {"lengths": block.lengths, "attention_mask": NO_MASK, **masks, **pasts}

    def _seen(self, block: Block) -> Tensor:
        """Mask of the tokens that each one sees: those before it of its piece and branch, `[1, 1, tokens, tokens]`.

        The columns have the tokens of each piece's past before its own.
        """
        if block.masks is not None:
            return to_device(_diagonal(block.masks), self._model.device)[None, None]
        pieces = self._tensor(np.cumsum(block.positions == 0))
        return (pieces[:, None] == pieces[None]).tril()[None, None]

    @property
    def branches(self) -> bool:
        """True if it can read blocks with branches, which its own attention cannot."""
        return self.packs and bool(self._model.config._attn_implementation == PACKED)

    @property
    def _refused(self) -> str:
        return f"models of type {self._model.config.model_type!r} cannot be taught"

    def _scaled(self, states: Tensor) -> Tensor:
        return states if self._scale == 1 else states * self._scale

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        """An array as a tensor on the model's device."""
        return to_device(array, self._model.device)

    @torch.inference_mode()
    def _find_logits(self, bias: Tensor | None) -> tuple[float, Logits]:
        """Find the factor, and the bound, with which logits follow from the states, by comparing with the model's own.

        States are made large for it: with weights as they are initialised a bound would not show.

        Raises:
            KgrlError: If none of those that the configuration names does it.
        """
        seen = list[Tensor]()

        def enlarge(module: nn.Module, arguments: Any, output: Any) -> Any:
            states = output.last_hidden_state
            states = states * (_LARGE / (states @ self.head.T).abs().max())
            seen.append(states[0])
            output.last_hidden_state = states
            return output

        with self._body.register_forward_hook(enlarge):
            expected = self._model(input_ids=self._tensor(np.array([[1, 2, 3, 4]])), use_cache=False).logits[0].float()
        if not expected.isfinite().all():
            kind, own = self._model.config.model_type, str(self.head.dtype).removeprefix("torch.")
            why = f"its weights hold such values, or are too large for {own}"
            raise KgrlError(f"the logits of this model of type {kind!r} are infinite or no numbers: {why}")
        tolerance = self._rounding * float(expected.abs().max())
        for scale, cap in self._candidates():
            if bias is not None and scale != 1:
                continue  # no model has both
            logits = Logits(bias, cap)
            if seen and (logits.of(seen[0] * scale, self.head) - expected).abs().max() <= tolerance:
                return scale, logits
        raise KgrlError(f"{self._refused}: its logits are not its output embedding times its last states")

    def _candidates(self) -> Iterator[tuple[float, float | None]]:
        """Factors and bounds that a model may have by its configuration, the plain ones first."""
        config = self._model.config
        named = [getattr(config, name, None) for name in _SCALES]
        factors = [float(value) for value in named if isinstance(value, int | float) and value]
        caps = [getattr(config, name, None) for name in _CAPS]
        bounds = [float(cap) for cap in caps if isinstance(cap, int | float) and cap]
        scales = dict.fromkeys([1.0, *factors, *(1 / factor for factor in factors)])
        return itertools.product(scales, dict.fromkeys([None, *bounds]))

    @torch.inference_mode()
    def _set_reading(self) -> None:
        """Let the model attend within passages only, in the first way that keeps the states it has without packing.

        They are compared on a few tokens, since an unusual architecture would differ silently.
        """
        own = self._model.config._attn_implementation
        sequences = [np.array([1, 2, 3, 4, 5, 6]), np.array([3, 2, 1, 2])]
        (block,) = pack(sequences, block_tokens=16, context=16)
        for attention in [] if _mixes_tokens(self._model) else [PACKED, own] if own == "sdpa" else [own]:
            if self._attends(attention) and self._keeps_apart(sequences, block):
                return
        self._attends(own)
        self.packs = False
        kind = self._model.config.model_type
        warnings.warn(
            f"models of type {kind!r} cannot keep packed passages apart: they read one passage at a time, which has "
            "the same results and takes longer",
            stacklevel=2,
        )

    def _attends(self, attention: str) -> bool:
        """Set the attention, if it is not set, and return whether the model has it."""
        if self._model.config._attn_implementation != attention:
            if not self._model._can_set_attn_implementation():
                return False
            self._model.set_attn_implementation(attention)
        return True

    def _keeps_apart(self, sequences: list[NDArray[Any]], block: Block) -> bool:
        """Return whether packed passages have the states that they have alone."""
        alone = [self._body(input_ids=self._tensor(ids[None, :-1]), use_cache=False) for ids in sequences]
        expected = self._scaled(torch.cat([output.last_hidden_state[0] for output in alone]))
        try:
            packed = self.states(block)
        except (RuntimeError, TypeError, ValueError):
            return False  # layers that do not hand on what packed attention needs, or take no positions
        return bool((packed - expected).float().norm() <= 10 * self._rounding * expected.float().norm())

    @property
    def _rounding(self) -> float:
        """Share of a value that may be lost to rounding."""
        return 1e-5 if self.head.dtype == torch.float32 else 1e-2


def _diagonal(masks: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Masks of pieces as one of all, in which no piece sees another."""
    rows, columns = np.cumsum([[0, 0], *(mask.shape for mask in masks)], axis=0).T
    whole = np.zeros((rows[-1], columns[-1]), dtype=bool)
    for row, column, mask in zip(rows, columns, masks, strict=False):
        whole[row : row + len(mask), column : column + mask.shape[1]] = mask
    return whole


def _mixes_tokens(model: PreTrainedModel) -> bool:
    """Tell models that carry something from token to token past attention: recurrent state, or a convolution."""
    convolves = any(isinstance(layer, nn.Conv1d) for layer in model.modules())
    return convolves or bool(getattr(model, "_is_stateful", False))


def context_of(config: Any) -> int:
    """Return the most tokens that a model reads in one piece, by its configuration."""
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window")]
    return min((int(limit) for limit in limits if limit), default=2**31)
