"""Packing: passages laid end to end in blocks, so that no computation goes to padding.

Positions start over at every passage; from them the model's attention mask is made, so that no passage sees another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "pack"]

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Some passages, or pieces of long ones, laid end to end. All arrays have the shape `[tokens]`.

    Args:
        inputs: Token ids read.
        targets: Token ids to predict, each the successor of its input.
        positions: Place of each input in its piece, counted from 0.
        owners: Which of the packed sequences each token belongs to.
    """

    inputs: Int64Array
    targets: Int64Array
    positions: Int64Array
    owners: Int64Array

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each piece, in order."""
        starts = np.flatnonzero(self.positions == 0)
        return [int(length) for length in np.diff(starts, append=len(self))]


def pack(sequences: Sequence[NDArray[Any]], block_tokens: int, context: int) -> list[Block]:
    """Pack sequences into blocks of like size, in order.

    A sequence of more than `context` predicted tokens is cut into pieces, each of which starts with the last token of
    the one before. Pieces are never cut at a block's end: a block has `block_tokens` tokens give or take one piece.

    Args:
        sequences: Token ids of each passage, the document token first.
        block_tokens: Tokens of a block, about.
        context: Most predicted tokens that one piece has.

    Example:
        >>> blocks = pack([np.array([0, 5, 6]), np.array([0, 7])], block_tokens=8, context=8)
        >>> blocks[0].inputs.tolist(), blocks[0].targets.tolist(), blocks[0].positions.tolist()
        ([0, 5, 0], [5, 6, 7], [0, 1, 0])
    """
    pieces = [
        (owner, sequence[start : start + context + 1])
        for owner, sequence in enumerate(sequences)
        for start in range(0, len(sequence) - 1, context)
    ]
    sizes = np.array([len(piece) - 1 for _, piece in pieces])
    total = int(sizes.sum())
    n_blocks = -(-total // block_tokens)
    # A piece belongs to the block that its middle falls into, the whole divided evenly: no small block is left over.
    block_of = ((np.cumsum(sizes) - sizes / 2) * n_blocks // max(total, 1)).astype(int)
    groups = [[pieces[i] for i in np.flatnonzero(block_of == block)] for block in range(n_blocks)]
    return [_block(group) for group in groups if group]


def _block(pieces: Sequence[tuple[int, NDArray[Any]]]) -> Block:
    return Block(
        inputs=np.concatenate([piece[:-1] for _, piece in pieces]).astype(np.int64),
        targets=np.concatenate([piece[1:] for _, piece in pieces]).astype(np.int64),
        positions=np.concatenate([np.arange(len(piece) - 1) for _, piece in pieces]),
        owners=np.concatenate([np.full(len(piece) - 1, owner) for owner, piece in pieces]),
    )
