"""Measuring a causal transformer on passages: losses, comparisons, gradients."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.errors import DivergedError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.decoder.asking import Elimination, Group
from kgrl.learners.decoder.average import WeightAverage
from kgrl.learners.decoder.flat_weights import FlatWeights
from kgrl.learners.decoder.loss import Logits, mean_loss, token_losses
from kgrl.learners.decoder.packing import Block, pack, pack_branches
from kgrl.learners.decoder.reader import PassageReader, rows_of
from kgrl.learners.plugins.base import Measure, Plugin
from kgrl.system.devices import to_device

__all__ = ["Decoder", "MeasuredDecoder", "check_finite"]

_EVALUATION_BLOCK = 512
"""Tokens measured at once on a CPU: enough for matrix products to be efficient."""
_DEVICE_BLOCK = 4096
"""Tokens measured at once elsewhere."""
_MARGIN = 1e-3
"""Difference of two statements' losses that rounding might make, in nats: a hundred times what it is in float32."""
_COARSE_MARGIN = 0.5
"""The same in formats of 16 bits: .3 was the largest of a hundred differences of SmolLM2 in bfloat16."""


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
        return self._measured(lambda some: self._compare(some, groups)[0], passages)

    def first_likeliest(self, passages: Passages, groups: IntArray) -> tuple[NDArray[np.bool_], int]:
        """Return of each group of passages whether its first is likelier than every other, and the tokens read.

        The answers are those that `compare` gives, for fewer tokens, see `kgrl.learners.decoder.asking`. Where two
        losses are so close that rounding might decide, they are taken from it. Passages of the same tokens are equally
        likely.
        """
        read = list[int]()

        def measure(some: Passages) -> NDArray[np.float32]:
            """Answers of groups, at each of their passages: plug-ins measure passages."""
            answers, tokens = self._answer(some, groups)
            read.append(tokens)
            return answers.astype(np.float32)

        answers = self._measured(measure, passages)
        return np.array([answers[row[0]] > 0 for row in rows_of(groups[passages.ids])]), sum(read)

    @torch.inference_mode()
    def _compare(self, passages: Passages, groups: IntArray) -> tuple[NDArray[np.float32], int]:
        """Total losses as `compare` has them, and the tokens read."""
        sequences, totals = self._sequences(passages), np.zeros(len(passages))
        if self._branches(sequences):
            rows = rows_of(groups[passages.ids])
            blocks = pack_branches([[sequences[i] for i in row] for row in rows], self._measured_at_once)
        else:
            blocks = pack(sequences, self._measured_at_once, self._context)
        for block in blocks:
            losses = token_losses(*self._predictions(block)).cpu().numpy()[block.own]
            totals += np.bincount(block.owners[block.own], losses, minlength=len(passages))
        check_finite(totals, passages)
        return totals.astype(np.float32), sum(len(block) for block in blocks)

    @torch.inference_mode()
    def _answer(self, passages: Passages, groups: IntArray) -> tuple[NDArray[np.bool_], int]:
        """Return of each passage whether the first of its group is likeliest, `[passages]`, and the tokens read."""
        sequences, rows = self._sequences(passages), rows_of(groups[passages.ids])
        asked = [Group(passages.ids[row].tolist(), [sequences[i] for i in row]) for row in rows]
        elimination = Elimination(
            self._predictions,
            onward=self._branches(sequences),
            block_tokens=self._measured_at_once,
            context=self._context,
            margin=_MARGIN if self._decoder.head.dtype == torch.float32 else _COARSE_MARGIN,
        )
        elimination.settle(asked)
        tokens = elimination.tokens
        for group, row in zip(asked, rows, strict=True):
            if group.close and not group.lost:
                totals, more = self._compare(Passages(passages.corpus, passages.ids[row]), groups)
                group.lost = not (totals[0] < totals[1:]).all()
                tokens += more
        return np.repeat([not group.lost for group in asked], [len(row) for row in rows]), tokens

    def _branches(self, sequences: Sequence[NDArray[Any]]) -> bool:
        """Tell whether sequences are read as branches of what they share: none may be longer than the context."""
        return self._decoder.branches and max(map(len, sequences)) <= self._context

    @property
    def _measured_at_once(self) -> int:
        """Tokens of a block that is measured, about."""
        return _EVALUATION_BLOCK if self.weights.device.type == "cpu" else _DEVICE_BLOCK

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
