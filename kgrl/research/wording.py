"""What wording has been seen in which split, so that a passage that repeats another split's can be told.

The rule is that of `kgrl.corpus.near_duplicates`, but for one text after another: what came first stays.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split

__all__ = ["Wording"]

_WORD = re.compile(r"\w+")
_RUN = 8
"""Words that are compared at a time."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_Hashes = NDArray[np.uint64]


class Wording:
    """The runs of eight words that were seen, by split.

    Args:
        threshold: The share of a passage's runs that another split may have.

    Example:
        >>> wording, text = Wording(), "the quick brown fox jumps over the lazy dog every single day"
        >>> wording.add([text], [Split.EXAM])
        >>> wording.repeats([text, text], [Split.TRAIN, Split.EXAM]).tolist()
        [True, False]
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self._seen: dict[int, list[_Hashes]] = {int(split): [] for split in Split}

    def add(self, texts: Sequence[str], splits: Sequence[int]) -> None:
        """Note the wording of passages."""
        for split, seen in self._seen.items():
            own = [_runs(text) for text, other in zip(texts, splits, strict=True) if other == split]
            if own:
                _insert(seen, np.unique(np.concatenate(own)))

    def repeats(self, texts: Sequence[str], splits: Sequence[int]) -> NDArray[np.bool_]:
        """Return whether each passage shares too much of its wording with what was seen in other splits.

        Args:
            texts: The passages.
            splits: Their `Split` values.
        """
        return np.array([self._repeats(t, s) for t, s in zip(texts, splits, strict=True)], dtype=bool)

    def _repeats(self, text: str, split: int) -> bool:
        runs = _runs(text)
        shared = np.zeros(len(runs), dtype=bool)
        for seen in (array for other, arrays in self._seen.items() if other != split for array in arrays):
            shared |= seen[np.minimum(np.searchsorted(seen, runs), len(seen) - 1)] == runs
        return bool(shared.sum() > self.threshold * len(runs))


def _insert(seen: list[_Hashes], fresh: _Hashes) -> None:
    """Add an ascending array; arrays are merged so that there are few, and each value is moved few times."""
    while seen and len(seen[-1]) <= 2 * len(fresh):
        fresh = np.union1d(seen.pop(), fresh)
    seen.append(fresh)


def _runs(text: str) -> _Hashes:
    """Hash every run of eight words, each once; a shorter text is one run. The same in every process."""
    words = np.array([zlib.crc32(word.encode()) for word in _WORD.findall(text.lower())], dtype=np.uint64)
    padded = np.concatenate([words, np.zeros(max(0, _RUN - len(words)), dtype=np.uint64)])
    hashes = np.zeros(len(padded) - _RUN + 1, dtype=np.uint64)
    for offset in range(_RUN):
        hashes = hashes * _MULTIPLIER + padded[offset : offset + len(hashes)] + np.uint64(1)
    unique: _Hashes = np.unique(hashes ^ (hashes >> np.uint64(29)))
    return unique
