"""Random draws that are the same on every machine and for every version of Python and NumPy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Draws"]

T = TypeVar("T")


class Draws:
    """Draws made from `random.Random.random` alone, the one sequence that Python promises never to change.

    Args:
        seed: A number.

    Example:
        >>> Draws(0).some("abcdef", 3)
        ['f', 'e', 'd']
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, share: float) -> bool:
        """Return true with this probability."""
        return self._random() < share

    def below(self, n: int) -> int:
        """Return one of 0 to n - 1."""
        return int(self._random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of some items, at least one."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """Return n different ones of at least as many items, in random order."""
        pool = list(items)
        for place in range(n):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:n]
