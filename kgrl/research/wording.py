"""Record of the wordings seen in each split, which detects passages that repeat those of another split.

The rule is that of `kgrl.corpus.near_duplicates`, applied to one text after another: the first one stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split
from kgrl.system.words import words_of

__all__ = ["Wording", "word_runs"]

_RUN = 8
"""Words in a run; texts are compared by their runs."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_Hashes = NDArray[np.uint64]


class Wording:
    """The runs of eight words that were seen, by split.

    Args:
        threshold: Largest share of a passage's runs that other splits may contain.

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
        """Record the wording of passages."""
        for split, seen in self._seen.items():
            own = [word_runs(text) for text, other in zip(texts, splits, strict=True) if other == split]
            if not own:
                continue
            fresh = np.unique(np.concatenate(own))
            # Sorted arrays, each more than twice as long as the next, as in a log-structured merge tree: there are few
            # of them to search, and each hash is moved only a logarithmic number of times.
            while seen and len(seen[-1]) <= 2 * len(fresh):
                fresh = np.union1d(seen.pop(), fresh)
            seen.append(fresh)

    def repeats(self, texts: Sequence[str], splits: Sequence[int]) -> NDArray[np.bool_]:
        """Return a mask of the passages that share too many runs with other splits, bool `[passages]`.

        Args:
            texts: The passages.
            splits: Their `Split` values.
        """
        return np.array([self._repeats(t, s) for t, s in zip(texts, splits, strict=True)], dtype=bool)

    def _repeats(self, text: str, split: int) -> bool:
        """Return whether other splits contain too many of a passage's runs."""
        runs = word_runs(text)
        shared = np.zeros(len(runs), dtype=bool)
        for seen in (array for other, arrays in self._seen.items() if other != split for array in arrays):
            shared |= seen[np.minimum(np.searchsorted(seen, runs), len(seen) - 1)] == runs
        return bool(shared.sum() > self.threshold * len(runs))


def word_runs(text: str) -> _Hashes:
    """Return the distinct hashes of all runs of eight words, ascending; a shorter text is one run.

    The hashes are the same in every process.
    """
    words = np.array([zlib.crc32(word.encode()) for word in words_of(text)], dtype=np.uint64)
    padded = np.concatenate([words, np.zeros(max(0, _RUN - len(words)), dtype=np.uint64)])
    hashes = np.zeros(len(padded) - _RUN + 1, dtype=np.uint64)
    # A polynomial hash modulo 2^64 of all runs at once. The multiplier is 2^64 divided by the golden ratio; adding 1
    # lets zeros change the hash; the shift mixes high bits into low ones.
    for offset in range(_RUN):
        hashes = hashes * _MULTIPLIER + padded[offset : offset + len(hashes)] + np.uint64(1)
    unique: _Hashes = np.unique(hashes ^ (hashes >> np.uint64(29)))
    return unique
