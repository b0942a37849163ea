"""Documents that repeat others: the same words, or nearly the same.

Documents are compared by their runs of eight words (Broder 1997). In memory is a sketch of each document, its sixteen
smallest hashes of runs; documents with much of a sketch in common are compared as they are.
"""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.research.wording import word_runs

__all__ = ["Repeats", "Sketches"]

_SIZE = 16
"""Hashes of a sketch."""
_SHARED = 5
"""Hashes that two sketches share at least, if they are whole, before their documents are compared."""
_ALIKE = 0.8
"""Share of the runs of two documents, of all that either has, at which the later one is a repeat."""
_NONE = np.iinfo(np.uint64).max
_PARTS = 8
"""Parts of all hashes that are sorted one after another, so that sorting takes an eighth of the memory."""


@dataclass(frozen=True)
class Repeats:
    """The documents that repeat earlier ones.

    Args:
        first: The document that each repeats, itself for one that repeats none, int32 `[documents]`.
        exact: Number of those with the same words.
        near: Number of the others.
    """

    first: NDArray[np.int32]
    exact: int
    near: int


class Sketches:
    """Sketches of documents, in order.

    Example:
        >>> sketches, texts = Sketches(), ["one two three four five", "six", "One, two: three four five!"]
        >>> for text in texts:
        ...     sketches.add(text)
        >>> sketches.repeats(texts.__getitem__).first.tolist()
        [0, 1, 0]
    """

    def __init__(self) -> None:
        self._hashes = array.array("Q")
        self._whole = array.array("Q")  # a hash of all runs of each document

    def __len__(self) -> int:
        return len(self._whole)

    def add(self, text: str) -> None:
        """Add the sketch of a document with any words."""
        runs = word_runs(text)
        sketch = np.full(_SIZE, _NONE, dtype=np.uint64)
        sketch[: len(runs)] = runs[:_SIZE]
        self._hashes.frombytes(sketch.tobytes())
        # Order counts little: runs of eight words that are the same set are the same text, but for odd repeats.
        self._whole.append(hash((len(runs), int(runs.sum()), int(np.bitwise_xor.reduce(runs)))) & int(_NONE))

    def repeats(self, text_of: Callable[[int], str]) -> Repeats:
        """Return the documents that repeat earlier ones.

        Args:
            text_of: Returns the text of a document.
        """
        whole = np.frombuffer(self._whole, np.uint64)
        _, firsts, groups = np.unique(whole, return_index=True, return_inverse=True)
        first = firsts[groups].astype(np.int32)  # the earliest with the same words
        exact = int((first != np.arange(len(first))).sum())
        near = 0
        runs: dict[int, NDArray[np.uint64]] = {}
        for later, earlier in self._candidates(first):
            earlier = int(first[earlier])
            if first[later] != later or later == earlier:
                continue
            for one in (earlier, later):
                if one not in runs:
                    runs[one] = word_runs(text_of(one))
            shared = len(np.intersect1d(runs[earlier], runs[later], assume_unique=True))
            if shared >= _ALIKE * (len(runs[earlier]) + len(runs[later]) - shared):
                first[later] = earlier
                near += 1
            if len(runs) > 1000:  # compared documents lie near each other in this order; memory is bounded
                runs.clear()
        return Repeats(first[first], exact, near)

    def _candidates(self, first: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Return pairs of documents, the later one first, whose sketches share much, in the order of the later one."""
        sketches = np.frombuffer(self._hashes, np.uint64).reshape(-1, _SIZE)
        sizes = (sketches != _NONE).sum(axis=1)
        shared = [_shared(sketches, first, part) for part in range(_PARTS)]
        pairs, counts = np.unique(np.concatenate(shared), return_counts=True)
        later, earlier = pairs >> 32, pairs & 0xFFFFFFFF
        alike = counts >= np.minimum(_SHARED, np.minimum(sizes[later], sizes[earlier]) * _SHARED / _SIZE)
        return list(zip(later[alike].tolist(), earlier[alike].tolist(), strict=True))


def _shared(sketches: NDArray[np.uint64], first: NDArray[np.int32], part: int) -> NDArray[np.int64]:
    """Return a pair of documents, the later one in the high bits, for each hash of a part that two sketches share.

    Each document is paired with the earliest that has the hash, and repeats of the same words are left out.
    """
    # By the lowest bits, since the hashes of sketches are the smallest ones.
    owners, places = np.nonzero((sketches % np.uint64(_PARTS) == part) & (sketches != _NONE))
    kept = first[owners] == owners
    owners, hashes = owners[kept], sketches[owners[kept], places[kept]]
    order = np.argsort(hashes, kind="stable")  # owners ascend already
    hashes, owners = hashes[order], owners[order]
    fresh = np.r_[True, hashes[1:] != hashes[:-1]][: len(hashes)]
    earliest = owners[np.maximum.accumulate(np.where(fresh, np.arange(len(hashes)), 0))]
    pairs: NDArray[np.int64] = owners[~fresh].astype(np.int64) << 32 | earliest[~fresh]
    return pairs
