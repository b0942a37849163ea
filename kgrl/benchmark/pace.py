"""How long a benchmark takes yet. Cells of one kind take about the same; an oracle's takes twenty times another's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgrl.benchmark.runner import Cell

__all__ = ["Pace"]

_Kind = tuple[str, str, str, str]
_ALIKE: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3), (2, 3), (0, 1, 2), ())
"""What cells have in common that take about as long, the most alike first: kind, learner and agent, place, nothing."""


class Pace:
    """Tells the time left from the seconds of finished cells.

    Args:
        cells: All cells.
        workers: Cells carried out at a time.

    Example:
        >>> from kgrl.benchmark.runner import Cell
        >>> pace = Pace([Cell("coverage", "vital", "scratch", "random", seed) for seed in range(3)], workers=2)
        >>> row = {"task": "coverage", "corpus": "vital", "learner": "scratch", "agent": "random"}
        >>> pace.left(), pace.book({**row, "seconds": {"all": 4.0}}), pace.left()
        (None, None, 4.0)
    """

    def __init__(self, cells: Iterable[Cell], workers: int) -> None:
        self._waiting = Counter((c.task, c.corpus, c.learner, Path(c.agent).name) for c in cells)
        self._workers = workers
        self._sums: dict[tuple[str | None, ...], tuple[float, int]] = {}

    def book(self, row: Mapping[str, Any]) -> None:
        """Take note of a cell that has come to its end."""
        kind = row["task"], row["corpus"], row["learner"], row["agent"]
        self._waiting[kind] -= 1
        if "seconds" not in row:
            return
        for alike in _ALIKE:
            seconds, cells = self._sums.get(_masked(kind, alike), (0.0, 0))
            self._sums[_masked(kind, alike)] = seconds + row["seconds"]["all"], cells + 1

    def left(self) -> float | None:
        """Return the seconds left, None before any cell has come to its end."""
        if not self._sums:
            return None
        return sum(cells * self._expected(kind) for kind, cells in self._waiting.items()) / self._workers

    def _expected(self, kind: _Kind) -> float:
        known = next(self._sums[key] for alike in _ALIKE if (key := _masked(kind, alike)) in self._sums)
        return known[0] / known[1]


def _masked(kind: _Kind, alike: tuple[int, ...]) -> tuple[str | None, ...]:
    return tuple(part if place in alike else None for place, part in enumerate(kind))
