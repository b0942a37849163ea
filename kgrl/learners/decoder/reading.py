"""What one lesson reads, and in which order: its own passages, and those that plug-ins rehearse, within one budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["Reading", "ReadingPlan", "arrange", "cut_to"]

Sequences = list[NDArray[Any]]


@dataclass(frozen=True)
class Reading:
    """Passages as token ids.

    Args:
        ids: Which passage each sequence is, shape `[n]`.
        sequences: Token ids of each, the document token first.
    """

    ids: IntArray
    sequences: Sequences

    def cut_to(self, token_budget: int) -> Reading:
        """Return the first passages that have so many predicted tokens together, the last one cut to fit."""
        kept = cut_to(self.sequences, token_budget)
        return Reading(self.ids[: len(kept)], kept)

    @property
    def tokens(self) -> int:
        """Predicted tokens."""
        return sum(len(sequence) - 1 for sequence in self.sequences)


@dataclass(frozen=True)
class ReadingPlan(Reading):
    """A reading in the order of training.

    Args:
        own: How many of the lesson's own passages are in it.
    """

    own: int


def arrange(own: Reading, rehearsed: Sequence[tuple[Reading, int]], token_budget: int) -> ReadingPlan:
    """Put together what a lesson trains on.

    Args:
        own: The lesson's own passages.
        rehearsed: Readings beside them, each with the most tokens to take of it; they are spread evenly over
            the lesson.
        token_budget: Most tokens altogether; own passages are cut to what the others leave.

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
    # Each passage is placed at the share of its own reading that is behind it when half of it is read.
    order = np.argsort(np.concatenate([_middles(reading) for reading in readings]), kind="stable")
    return ReadingPlan(ids[order], [sequences[i] for i in order], own=len(readings[0].ids))


def cut_to(sequences: Sequences, token_budget: int) -> Sequences:
    """Return the first sequences that have `token_budget` predicted tokens together, the last one cut to fit."""
    kept: Sequences = []
    left = token_budget
    for sequence in sequences:
        if left == 0:
            break
        kept.append(sequence[: left + 1])
        left -= len(kept[-1]) - 1
    return kept


def _middles(reading: Reading) -> NDArray[np.float64]:
    sizes = np.array([len(sequence) - 1 for sequence in reading.sequences], dtype=np.float64)
    middles: NDArray[np.float64] = (np.cumsum(sizes) - sizes / 2) / max(1.0, sizes.sum())
    return middles
