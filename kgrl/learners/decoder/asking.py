"""Asking which of several statements is likeliest, without reading more of them than the answer takes.

The statements of a group begin alike; the first is the true one, and the answer is right if each other one is less
likely. A token's loss is at least 0, so part of a statement is enough to tell that it is less likely, and one that is
likelier settles the answer:

1. The true statements are read. Where the others go on differently the model predicts their next tokens, too: those
   whose next token alone is as unlikely as all the rest of the true statement are out.
2. The others follow, the likeliest first, one of each group, then two, four and so on, until one is likelier or none
   remains. Where the model's attention can be given keys and values of before, what is shared is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kgrl.errors import DivergedError
from kgrl.learners.decoder.loss import Logits, losses_instead, token_losses
from kgrl.learners.decoder.packing import Block, pack, pack_onward, shared_tokens
from kgrl.learners.decoder.past import Past
from kgrl.system.devices import to_device

__all__ = ["Elimination", "Group"]

Predict = Callable[[Block], tuple[Tensor, Tensor, Tensor, Logits]]
"""Last states of a block, the output embedding, the tokens to predict, and the step to logits."""

_KEPT = 4096
"""Tokens whose keys and values are kept at once, about: 190 MB for a model of 135 million weights."""
_SEEN = 2048
"""Tokens of a block together with those that it goes on from, about."""


@dataclass
class Group:
    """Statements that begin alike, the true one first, and what is known of them.

    Args:
        ids: Passage id of each, for messages.
        statements: Token ids of each, the document token first.

    Attributes:
        shared: Number of tokens that all begin with.
        lost: Whether another statement is as likely as the true one.
        close: Whether one is so nearly that rounding might decide.
    """

    ids: Sequence[int]
    statements: Sequence[NDArray[Any]]
    shared: int = field(init=False)
    lost: bool = field(init=False)
    close: bool = field(init=False, default=False)
    past: Past = field(init=False, default_factory=Past)
    waiting: list[int] = field(init=False, default_factory=list)
    firsts: NDArray[np.float64] = field(init=False)
    true: float = field(init=False)

    def __post_init__(self) -> None:
        self.shared = shared_tokens(self.statements)
        self.lost = any(np.array_equal(self.statements[0], other) for other in self.statements[1:])

    @property
    def nexts(self) -> NDArray[np.int64]:
        """The first token of each statement that not all share."""
        return np.array([statement[self.shared] for statement in self.statements], dtype=np.int64)

    def rest(self, number: int) -> NDArray[Any]:
        """A statement's tokens from the first one on that not all share."""
        return self.statements[number][self.shared :]

    def begin(self, losses: NDArray[np.float32], firsts: NDArray[np.float32], margin: float) -> None:
        """Take the losses of the true statement from where they differ, and of each statement's first token there."""
        self.true, self.firsts = float(losses.sum(dtype=np.float64)), firsts.astype(np.float64)
        self._check(0, self.true)
        sizes = np.array([len(self.rest(number)) - 1 for number in range(len(self.statements))])
        for number in np.flatnonzero(sizes == 0).tolist():
            self.judge(number, self.firsts[number], margin)
        possible = (self.firsts < self.true + margin) & (sizes > 0)
        # The others are expected to go on like the true one, so long ones are less likely.
        expected = self.firsts + sizes * (losses[1:].mean() if len(losses) > 1 else 0.0)
        order = np.argsort(expected, kind="stable")
        self.waiting = [number for number in order.tolist() if number and possible[number]]

    def take(self, most: int) -> list[int]:
        """Return the likeliest statements that were not read, and no longer wait for them."""
        now, self.waiting = self.waiting[:most], self.waiting[most:]
        return now

    def judge(self, number: int, loss: float, margin: float) -> None:
        """Take the whole loss of a statement from where they differ."""
        self._check(number, loss)
        if number == 0:
            return
        self.lost = self.lost or loss <= self.true - margin
        self.close = self.close or abs(loss - self.true) < margin
        if self.lost:
            self.waiting = []

    def _check(self, number: int, loss: float) -> None:
        if not np.isfinite(loss):
            raise DivergedError(f"the loss of passage {self.ids[number]} became {loss}")


class Elimination:
    """Settles groups of statements.

    Args:
        predict: Reads a block.
        onward: Whether the model goes on from a past; else each statement is read from its beginning.
        block_tokens: Tokens of a block, about.
        context: Most tokens that are read in one piece.
        margin: Difference of two losses, in nats, that rounding might make.

    Attributes:
        tokens: Tokens read so far.
    """

    def __init__(self, predict: Predict, *, onward: bool, block_tokens: int, context: int, margin: float) -> None:
        self._predict, self._onward = predict, onward
        self._block_tokens, self._context, self._margin = block_tokens, context, margin
        self.tokens = 0

    def settle(self, groups: Sequence[Group]) -> None:
        """Find out of each group whether it is lost, or close.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the passage.
        """
        asked = [group for group in groups if not group.lost]
        sizes = np.cumsum([len(group.statements[0]) for group in asked], dtype=np.int64)
        # Together as many as their keys and values are kept of.
        for part in np.split(np.arange(len(asked)), np.flatnonzero(np.diff(sizes // _KEPT)) + 1):
            self._settle([asked[i] for i in part])

    def _settle(self, groups: list[Group]) -> None:
        if not groups:
            return
        self._read_true(groups)
        most = 1
        while waiting := [group for group in groups if group.waiting]:
            self._read_others([(group, group.take(most)) for group in waiting])
            # Whole statements cost so much that none is read before it is known to be needed.
            most *= 2 if self._onward else 1
        for group in groups:
            group.past = Past()

    def _read_true(self, groups: list[Group]) -> None:
        """Read the true statements, and score the first tokens of the others."""
        sequences = [group.statements[0] for group in groups]
        starts = np.cumsum([0, *(len(sequence) - 1 for sequence in sequences)])
        # The prediction of each statement's first token that not all share, among those of all true statements.
        places = starts[:-1] + [group.shared - 1 for group in groups]
        others, counts = np.concatenate([group.nexts for group in groups]), [len(group.ids) for group in groups]
        wanted = np.repeat(places, counts)
        blocks = pack(sequences, self._block_tokens, self._context)
        if self._onward:
            pasts = iter([group.past for group in groups])
            blocks = [replace(block, pasts=tuple(next(pasts) for _ in block.lengths)) for block in blocks]
        losses, firsts, begin = list[NDArray[np.float32]](), list[NDArray[np.float32]](), 0
        for block in blocks:
            here = (wanted >= begin) & (wanted < begin + len(block))
            found = self._losses(block, wanted[here] - begin, others[here])
            losses.append(found[: len(block)])
            firsts.append(found[len(block) :])
            begin += len(block)
        own, alternatives = np.concatenate(losses), np.split(np.concatenate(firsts), np.cumsum(counts)[:-1])
        for group, place, end, first in zip(groups, places, starts[1:], alternatives, strict=True):
            group.begin(own[place:end], first, self._margin)
            group.past.cut(group.shared)

    def _losses(self, block: Block, places: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """Losses of a block's tokens, and behind them those of other tokens in some places."""
        self.tokens += len(block)
        hidden, head, targets, logits = self._predict(block)
        losses = token_losses(hidden, head, targets, logits)
        if len(places):
            at, instead = to_device(places, hidden.device), to_device(others, hidden.device)
            losses = torch.cat([losses, losses_instead(losses[at], hidden[at], head, targets[at], instead, logits)])
        found: NDArray[np.float32] = losses.cpu().numpy()
        return found

    def _read_others(self, taken: list[tuple[Group, list[int]]]) -> None:
        """Read some statements of each group."""
        if self._onward:
            rests = [[group.rest(number) for number in numbers] for group, numbers in taken]
            blocks = pack_onward([group.past for group, _ in taken], rests, _SEEN)
            skipped = [0 for _, numbers in taken for _ in numbers]
        else:
            whole = [group.statements[number] for group, numbers in taken for number in numbers]
            blocks = pack(whole, self._block_tokens, self._context)
            skipped = [group.shared for group, numbers in taken for _ in numbers]
        totals = self._totals(blocks, skipped)
        for (group, number), loss in zip(((g, n) for g, numbers in taken for n in numbers), totals, strict=True):
            group.judge(number, group.firsts[number] + float(loss), self._margin)

    def _totals(self, blocks: list[Block], skipped: Sequence[int]) -> NDArray[np.float64]:
        """Loss of each packed sequence without that of its first tokens, so many of each."""
        none = np.empty(0, dtype=np.int64)
        losses = np.concatenate([self._losses(block, none, none) for block in blocks])
        owners = np.concatenate([block.owners for block in blocks])  # in order, each sequence in a row
        place = np.arange(len(owners)) - np.searchsorted(owners, owners)
        own = np.where(place < np.array(skipped)[owners], 0.0, losses.astype(np.float64))
        totals = np.zeros(len(skipped))
        totals += np.bincount(owners, own, minlength=len(skipped))
        return totals
