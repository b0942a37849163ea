"""Measuring a causal transformer on passages: losses, comparisons, gradients."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.errors import DivergedError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.decoder.average import WeightAverage
from kgrl.learners.decoder.flat_weights import FlatWeights
from kgrl.learners.decoder.loss import Logits, mean_loss, token_losses
from kgrl.learners.decoder.packing import Block, pack, pack_branches
from kgrl.learners.decoder.reader import PassageReader
from kgrl.learners.plugins.base import Measure, Plugin
from kgrl.system.devices import to_device

__all__ = ["Decoder", "MeasuredDecoder", "check_finite"]

_EVALUATION_BLOCK = 512
"""Tokens measured at once on a CPU: enough for matrix products to be efficient."""
_DEVICE_BLOCK = 4096
"""Tokens measured at once elsewhere."""


class Decoder(Protocol):
    """A causal transformer that reads packed passages."""

    @property
    def head(self) -> Tensor:
        """The output embedding, by which last states are multiplied for logits, `[vocabulary, width]`."""
        ...

    @property
    def logits(self) -> Logits:
        """The step from these products to logits."""
        ...

    @property
    def context(self) -> int:
        """Most tokens of a passage that are read in one piece."""
        ...

    @property
    def branches(self) -> bool:
        """True if it can read blocks with branches."""
        ...

    def states(self, block: Block) -> Tensor:
        """Return the last states of packed pieces, none of which sees another, `[tokens, width]`."""
        ...


class MeasuredDecoder(PassageReader, FlatWeights):
    """The part of a decoder learner that reads passages and changes nothing; `DecoderLearner` sets what it reads with.

    Attributes:
        block_tokens: Tokens of a block that a gradient is computed on, about.
        plugins: Changes to its measurements, among others.
    """

    block_tokens: int
    plugins: Sequence[Plugin]
    _decoder: Decoder
    _context: int
    _average: WeightAverage | None

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the mean loss of each passage in nats per token, shape `[passages]`; changes nothing."""
        return self._measured(self._losses, passages)

    def _measured(self, measure: Measure, passages: Passages) -> NDArray[np.float32]:
        """Measure with the average of the weights, if there is one, and through the plug-ins."""
        # Each plug-in wraps the measuring of those before it; the last one is called first.
        for plugin in self.plugins:
            measure = partial(plugin.losses, measure=measure)
        with nullcontext() if self._average is None else self.holding(self._average.vector):
            return measure(passages)

    @torch.inference_mode()
    def _losses(self, passages: Passages) -> NDArray[np.float32]:
        """Losses with the weights as they are, without plug-ins."""
        totals, counts = np.zeros(len(passages)), np.zeros(len(passages))
        for block in pack(self._sequences(passages), self._measured_at_once, self._context):
            # A long passage lies in several pieces, maybe in several blocks: sums of its tokens' losses are gathered.
            losses = token_losses(*self._predictions(block)).cpu().numpy()
            totals += np.bincount(block.owners, losses, minlength=len(passages))
            counts += np.bincount(block.owners, minlength=len(passages))
        check_finite(totals, passages)
        return (totals / counts).astype(np.float32)

    def compare(self, passages: Passages, groups: IntArray) -> NDArray[np.float32]:
        """Return the total loss of each passage in nats, up to a number that all passages of its group have in common.

        What the passages of a group share at their beginning is computed once, where the model allows that.

        Args:
            passages: Passages, those of a group in a row and on one topic.
            groups: The group of each passage of the corpus, `[passages of the corpus]`.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the passage.
        """
        return self._measured(partial(self._compare, groups), passages)

    @torch.inference_mode()
    def _compare(self, groups: IntArray, passages: Passages) -> NDArray[np.float32]:
        blocks = self._branched(passages, groups)
        if blocks is None:
            return self._losses(passages) * self.count_tokens(passages).astype(np.float32)
        totals = np.zeros(len(passages))
        for block in blocks:
            losses = token_losses(*self._predictions(block)).cpu().numpy()[block.own]
            totals += np.bincount(block.owners[block.own], losses, minlength=len(passages))
        check_finite(totals, passages)
        return totals.astype(np.float32)

    def _branched(self, passages: Passages, groups: IntArray) -> list[Block] | None:
        """Pack groups of passages with what they share once; None if the model cannot, or a passage is too long."""
        sequences, own = self._sequences(passages), groups[passages.ids]
        if not self._decoder.branches or max(map(len, sequences)) > self._context:
            return None
        rows = np.split(np.arange(len(own)), np.flatnonzero(np.diff(own)) + 1)
        return pack_branches([[sequences[i] for i in row] for row in rows], self._measured_at_once)

    @property
    def _measured_at_once(self) -> int:
        """Tokens of a block that is measured, about."""
        return _EVALUATION_BLOCK if self.weights.device.type == "cpu" else _DEVICE_BLOCK

    def count_compared(self, passages: Passages, groups: IntArray) -> int:
        """Return the number of tokens that `compare` reads."""
        blocks = self._branched(passages, groups)
        return int(self.count_tokens(passages).sum()) if blocks is None else sum(len(block) for block in blocks)

    def loss_gradient(self, passages: Passages) -> NDArray[np.float32]:
        """Return the gradient of the passages' mean loss per token, shape `[trained weights]`; changes nothing.

        Raises:
            ValueError: If `passages` is empty.
        """
        if len(passages) == 0:
            raise ValueError("the loss of no passages has no gradient")
        blocks = pack(self._sequences(passages), self.block_tokens, self._context)
        total = sum(len(block) for block in blocks)
        self.gradient.zero_()
        for block in blocks:
            mean, _ = mean_loss(*self._predictions(block))
            # Gradients add up over the blocks; each is weighted by its share of all tokens.
            (mean * (len(block) / total)).backward()  # type: ignore[no-untyped-call] # torch types it so
        found: NDArray[np.float32] = self.gradient.cpu().numpy().copy()
        self.gradient.zero_()
        return found

    def trained_weights(self) -> NDArray[np.float32]:
        """Return a copy of the trained weights, shape `[trained weights]`."""
        found: NDArray[np.float32] = self.weights.detach().cpu().numpy().copy()
        return found

    def _predictions(self, block: Block) -> tuple[Tensor, Tensor, Tensor, Logits]:
        """Last states of a block `[tokens, width]`, the output embedding, the tokens to predict `[tokens]`, logits."""
        targets = to_device(block.targets, self.weights.device)
        return self._decoder.states(block), self._decoder.head, targets, self._decoder.logits


def check_finite(totals: NDArray[np.float64], passages: Passages) -> None:
    """Raise an error that names the first passage whose loss is no finite number."""
    for bad in np.flatnonzero(~np.isfinite(totals)):
        raise DivergedError(f"the loss of passage {passages.ids[bad]} became {totals[bad]}")
