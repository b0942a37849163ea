"""Where traces come from, behind one protocol, and how rows that hold none are counted.

A row that names an unknown topic, makes a click that is no link, goes back from the first page or is malformed is
skipped and counted by reason; a source of which more than 5% is like that is an error. Knows no particular source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from kgrl.errors import DataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.trace import Trace, TraceError

__all__ = ["Tally", "TraceSource", "sift"]

Row = TypeVar("Row")

_MOST_SKIPPED = 0.05


@runtime_checkable
class TraceSource(Protocol):
    """Where traces come from. Iterating again gives the same traces, one after the other, never all in memory.

    Implementers inherit `kgrl.testing.TraceSourceContract` in their tests.

    Attributes:
        graph: The topic graph that the traces are walks on; each keeps `Trace.check`.
        tally: What the latest iteration read and skipped so far.
    """

    graph: TopicGraph
    tally: Tally

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces.

        Raises:
            DataError: At the end, if more than 5% of the rows had to be skipped.
        """
        ...


class Tally:
    """Counts the rows that were read and, by reason, those that had to be skipped.

    Args:
        source: The file, folder or name of what is read; the error names it.

    Attributes:
        kept: Number of rows kept.
        skipped: Number of rows skipped, by reason.

    Example:
        >>> tally = Tally("paths.tsv")
        >>> tally.keep(98)
        >>> tally.skip("no link", 2)
        >>> str(tally)
        'paths.tsv: 98 kept, 2 skipped (no link: 2)'
    """

    def __init__(self, source: str | Path) -> None:
        self.source = source
        self.kept = 0
        self.skipped: Counter[str] = Counter()

    def keep(self, rows: int = 1) -> None:
        """Count rows that are of use."""
        self.kept += rows

    def skip(self, kind: str, rows: int = 1) -> None:
        """Count rows that are not."""
        self.skipped[kind] += rows

    def check(self) -> None:
        """Raise a `DataError` if more than 5% of the rows were skipped."""
        if self.skipped.total() > _MOST_SKIPPED * (self.kept + self.skipped.total()):
            raise DataError(self.source, None, f"more than {_MOST_SKIPPED:.0%} cannot be used: {self._counts()}")

    def __str__(self) -> str:
        return f"{self.source}: {self._counts()}"

    def _counts(self) -> str:
        reasons = ", ".join(f"{kind}: {n:,}" for kind, n in self.skipped.most_common())
        return f"{self.kept:,} kept, {self.skipped.total():,} skipped" + (f" ({reasons})" if reasons else "")


def sift(rows: Iterable[Row], parse: Callable[[Row], Trace], tally: Tally) -> Iterator[Trace]:
    """Yield the traces of those rows that hold one, counting the others by reason.

    Args:
        rows: Rows of a source.
        parse: Turns one into a trace, or raises a `TraceError` of a kind.
        tally: Counts them.

    Raises:
        DataError: At the end, if more than 5% were skipped.
    """
    for row in rows:
        try:
            trace = parse(row)
        except TraceError as error:
            tally.skip(error.kind)
        else:
            tally.keep()
            yield trace
    tally.check()
