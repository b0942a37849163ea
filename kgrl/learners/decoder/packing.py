"""From passages to blocks of tokens: arranging a lesson within its budget, and packing it without padding.

`arrange` puts a lesson's own passages and those that plug-ins rehearse into one order. `pack` lays them end to end in
blocks. Positions start over at every passage, from which attention knows that no passage sees another; passages of one
window see those before them, and positions go on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

if TYPE_CHECKING:
    from kgrl.learners.decoder.past import Past

__all__ = ["Block", "Reading", "ReadingPlan", "arrange", "pack", "pack_branches", "pack_onward", "shared_tokens"]

Int64Array = NDArray[np.int64]
Sequences = list[NDArray[Any]]


@dataclass(frozen=True)
class Reading:
    """Passages as token ids.

    Args:
        ids: Passage id of each sequence, shape `[n]`.
        sequences: Token ids of each, the document token first.
    """

    ids: IntArray
    sequences: Sequences

    def cut_to(self, token_budget: int) -> Reading:
        """Return the first passages that have so many predicted tokens together, the last one cut to fit."""
        kept: Sequences = []
        remaining = token_budget
        for sequence in self.sequences:
            if remaining == 0:
                break
            kept.append(sequence[: remaining + 1])  # one more: the document token is not predicted
            remaining -= len(kept[-1]) - 1
        return Reading(self.ids[: len(kept)], kept)

    @property
    def tokens(self) -> int:
        """Number of predicted tokens."""
        return sum(len(sequence) - 1 for sequence in self.sequences)


@dataclass(frozen=True)
class ReadingPlan(Reading):
    """A reading in the order of training.

    Args:
        own: Places of the lesson's own passages in it, in their order.
    """

    own: Int64Array


def arrange(own: Reading, rehearsed: Sequence[tuple[Reading, int]], token_budget: int) -> ReadingPlan:
    """Put a lesson's own and rehearsed passages into the order in which they are trained on.

    Args:
        own: The lesson's own passages.
        rehearsed: Readings beside them, each with the most tokens to take of it; they are spread evenly over the
            lesson.
        token_budget: Most tokens altogether; own passages are cut to the tokens that the others leave.

    Example:
        >>> own = Reading(np.array([7, 8]), [np.zeros(5, int), np.zeros(5, int)])
        >>> old = Reading(np.array([3]), [np.zeros(5, int)])
        >>> arrange(own, [(old, 2)], token_budget=10).ids.tolist()
        [7, 3, 8]
    """
    others = [reading.cut_to(tokens) for reading, tokens in rehearsed]
    readings = [own.cut_to(token_budget - sum(reading.tokens for reading in others)), *others]
    ids = np.concatenate([reading.ids for reading in readings])
    sequences = [sequence for reading in readings for sequence in reading.sequences]
    # Merging readings evenly: each passage's place is the share of its own reading that precedes its middle.
    middles = []
    for reading in readings:
        sizes = np.array([len(sequence) - 1 for sequence in reading.sequences], dtype=np.float64)
        middles.append((np.cumsum(sizes) - sizes / 2) / max(1.0, sizes.sum()))
    order = np.argsort(np.concatenate(middles), kind="stable")
    first = np.flatnonzero(order < len(readings[0].ids))  # in their order, which merging keeps
    return ReadingPlan(ids[order], [sequences[i] for i in order], own=first)


@dataclass(frozen=True)
class Block:
    """Passages, or pieces of long ones, laid end to end. All arrays have the shape `[tokens]`.

    Args:
        inputs: Token ids read.
        targets: Token ids to predict, each the successor of its input.
        positions: Place of each input in its piece, counted from 0.
        owners: Number of the packed sequence that each prediction belongs to; -1 for tokens that several share, and at
            the end of a sequence that another one follows in its window: that it ends here is nothing to predict.
        branches: Number of the branch of its piece that each token belongs to, 0 for tokens that come before all
            branches and are seen by each; None if no piece has any.
        pasts: The past of each piece: to be filled, or what the piece goes on from; None if nothing is kept.
        sizes: Tokens of each piece; None if pieces begin where positions are 0, as those that begin texts do.
    """

    inputs: Int64Array
    targets: Int64Array
    positions: Int64Array
    owners: Int64Array
    branches: Int64Array | None = None
    pasts: tuple[Past, ...] | None = None
    sizes: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def own(self) -> NDArray[np.bool_]:
        """True for tokens whose prediction is one sequence's own, `[tokens]`."""
        return self.owners >= 0

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each piece, in order."""
        if self.sizes is not None:
            return list(self.sizes)
        starts = np.flatnonzero(self.positions == 0)
        return [int(length) for length in np.diff(starts, append=len(self))]

    @property
    def masks(self) -> list[NDArray[np.bool_]] | None:
        """Which tokens each token sees, for each piece with branches `[tokens, tokens of its past and tokens]`.

        None if no piece has branches.
        """
        if self.branches is None:
            return None
        pieces = np.split(self.branches, np.cumsum(self.lengths)[:-1])
        seen = [np.tril((own[None] == 0) | (own[None] == own[:, None])) for own in pieces]
        if self.pasts is None:
            return seen
        return [
            np.pad(own, ((0, 0), (p.tokens, 0)), constant_values=True) for own, p in zip(seen, self.pasts, strict=True)
        ]


def pack(
    sequences: Sequence[NDArray[Any]],
    block_tokens: int,
    context: int,
    windows: Iterable[Sequence[int]] | None = None,
) -> list[Block]:
    """Pack sequences into blocks of like size, in order.

    A sequence of more than `context` predicted tokens is cut into pieces, each of which starts with the last token of
    the one before. Pieces are never cut at a block's end: a block has `block_tokens` tokens give or take one piece. A
    window of several sequences is one piece, which is read as one text.

    Args:
        sequences: Token ids of each passage, the document token first.
        block_tokens: Tokens of a block, about.
        context: Most predicted tokens of a piece.
        windows: Numbers of the sequences that are read in one piece, in the order of reading; each sequence in one of
            them, and those of several together within the context. By default each is alone.

    Example:
        >>> blocks = pack([np.array([0, 5, 6]), np.array([0, 7])], block_tokens=8, context=8)
        >>> blocks[0].inputs.tolist(), blocks[0].targets.tolist(), blocks[0].positions.tolist()
        ([0, 5, 0], [5, 6, 7], [0, 1, 0])
        >>> (block,) = pack([np.array([0, 5, 6]), np.array([0, 7])], block_tokens=8, context=8, windows=[[0, 1]])
        >>> block.inputs.tolist(), block.positions.tolist(), block.owners.tolist()
        ([0, 5, 6, 0], [0, 1, 2, 3], [0, 0, -1, 1])
    """
    alone = ([owner] for owner in range(len(sequences)))
    pieces = [piece for window in windows or alone for piece in _pieces(sequences, window, context)]
    sizes = np.array([len(piece) for piece in pieces])
    total = int(sizes.sum())
    n_blocks = -(-total // block_tokens)
    # A piece belongs to the block that its middle falls into, the whole divided evenly: no small block remains at
    # the end, whose update would have the weight of a full one.
    block_of = ((np.cumsum(sizes) - sizes / 2) * n_blocks // max(total, 1)).astype(int)
    groups = [[pieces[i] for i in np.flatnonzero(block_of == block)] for block in range(n_blocks)]
    return [_joined(group) for group in groups if group]


def pack_branches(groups: Sequence[Sequence[NDArray[Any]]], block_tokens: int) -> list[Block]:
    """Pack groups of sequences that begin alike: what a group shares is in it once, and each rest is a branch of it.

    The sequences are numbered across all groups, in order. The loss of the shared tokens is no sequence's own.

    Args:
        groups: Groups of sequences, each of at least two tokens, the first of which all share.
        block_tokens: Tokens of a block, about.

    Example:
        >>> (block,) = pack_branches([[np.array([0, 5, 6, 7]), np.array([0, 5, 6, 8])]], block_tokens=16)
        >>> block.inputs.tolist(), block.targets.tolist()  # from 6, which both have, they go on differently
        ([0, 5, 6, 6], [5, 6, 7, 8])
        >>> block.positions.tolist(), block.owners.tolist(), block.branches.tolist()
        ([0, 1, 2, 2], [-1, -1, 0, 1], [0, 0, 1, 2])
    """
    blocks, held, size, first = list[Block](), list[Block](), 0, 0
    for group in groups:
        piece = _branching(group, first)
        first += len(group)
        if held and size + len(piece) > block_tokens:
            blocks.append(_joined(held))
            held, size = [], 0
        held.append(piece)
        size += len(piece)
    return blocks + ([_joined(held)] if held else [])


def pack_onward(pasts: Sequence[Past], rests: Sequence[Sequence[NDArray[Any]]], most_seen: int) -> list[Block]:
    """Pack sequences that go on from texts that were read before; those of one text are branches that see it.

    Of each sequence all tokens but the last are read and all but the first predicted. The sequences are numbered across
    all texts, in order.

    Args:
        pasts: The past of each text.
        rests: The sequences that go on from each, at least one, each of at least two tokens.
        most_seen: Tokens of a block together with those of its pasts, about.
    """
    blocks, held, size, first = list[Block](), list[Block](), 0, 0
    for past, group in zip(pasts, rests, strict=True):
        piece = _onward(past, group, first)
        first += len(group)
        if held and size + len(piece) + past.tokens > most_seen:
            blocks.append(_joined(held))
            held, size = [], 0
        held.append(piece)
        size += len(piece) + past.tokens
    return blocks + ([_joined(held)] if held else [])


def shared_tokens(group: Sequence[NDArray[Any]]) -> int:
    """Return the number of tokens at the beginning that all sequences share, so that each has at least one more.

    Example:
        >>> shared_tokens([np.array([0, 5, 6, 7]), np.array([0, 5, 8])]), shared_tokens([np.array([0, 5, 6])])
        (2, 2)
    """
    shortest = min(len(sequence) for sequence in group)
    alike = np.all([sequence[:shortest] == group[0][:shortest] for sequence in group], axis=0)
    return min(shortest if alike.all() else int(np.argmin(alike)), shortest - 1)


def _onward(past: Past, group: Sequence[NDArray[Any]], first: int) -> Block:
    """Lay sequences side by side that go on from one text; `first` is the number of the first one."""
    sizes = [len(rest) - 1 for rest in group]
    number = np.repeat(np.arange(len(group)), sizes)
    return Block(
        inputs=np.concatenate([rest[:-1] for rest in group]).astype(np.int64),
        targets=np.concatenate([rest[1:] for rest in group]).astype(np.int64),
        positions=past.tokens + np.concatenate([np.arange(size) for size in sizes]),
        owners=first + number,
        branches=1 + number,
        pasts=(past,),
        sizes=(len(number),),
    )


def _branching(group: Sequence[NDArray[Any]], first: int) -> Block:
    """Lay the sequences of a group behind what they share; `first` is the number of the first one."""
    shared = shared_tokens(group) - 1  # the last one is copied into each branch, which is predicted from it
    rests = [sequence[shared:] for sequence in group]
    sizes = [len(rest) - 1 for rest in rests]
    lead, number = group[0][: shared + 1], np.repeat(np.arange(len(group)), sizes)
    return Block(
        inputs=np.concatenate([lead[:-1], *(rest[:-1] for rest in rests)]).astype(np.int64),
        targets=np.concatenate([lead[1:], *(rest[1:] for rest in rests)]).astype(np.int64),
        positions=np.concatenate([np.arange(shared), *(shared + np.arange(size) for size in sizes)]),
        owners=np.concatenate([np.full(shared, -1), first + number]),
        branches=np.concatenate([np.zeros(shared, dtype=np.int64), 1 + number]),
    )


def _joined(pieces: Sequence[Block]) -> Block:
    """Lay pieces end to end; either all or none have branches, pasts and sizes."""
    names = ["inputs", "targets", "positions", "owners"] + (["branches"] if pieces[0].branches is not None else [])
    arrays: dict[str, Any] = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names}
    if pieces[0].pasts is None:
        return Block(**arrays)
    pasts, sizes = (
        tuple(itertools.chain.from_iterable(getattr(p, name) for p in pieces)) for name in ("pasts", "sizes")
    )
    return Block(**arrays, pasts=pasts, sizes=sizes)


def _pieces(sequences: Sequence[NDArray[Any]], window: Sequence[int], context: int) -> Iterator[Block]:
    """Give the pieces of a window: one for all its sequences, or several of a single one that is too long."""
    if len(window) > 1:
        text = np.concatenate([sequences[owner] for owner in window])
        owners = np.repeat(window, [len(sequences[owner]) for owner in window])
        # The first token of the next sequence is no sequence's own prediction.
        yield _piece(text, np.where(owners[1:] == owners[:-1], owners[1:], -1))
        return
    (owner,) = window
    for start in range(0, len(sequences[owner]) - 1, context):
        text = sequences[owner][start : start + context + 1]
        yield _piece(text, np.full(len(text) - 1, owner))


def _piece(text: NDArray[Any], owners: Int64Array) -> Block:
    """Make a piece of a text of which each token but the first is predicted."""
    return Block(
        inputs=text[:-1].astype(np.int64),
        targets=text[1:].astype(np.int64),
        positions=np.arange(len(text) - 1),
        owners=owners,
    )
