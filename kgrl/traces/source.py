"""The protocol of sources of traces, and the count of the rows they read and skip.

A row that names an unknown topic, makes a click that is not a link, goes back from the first page or is malformed is
skipped and counted by reason. A source with more than 5% of such rows is an error. This module knows no particular
source.
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
"""Share of the rows that a source may skip."""


@runtime_checkable
class TraceSource(Protocol):
    """A source of traces. It yields them one after the other, and the same ones each time it is iterated.

    Implementations inherit `kgrl.testing.TraceSourceContract` in their tests.

    Attributes:
        graph: The topic graph that the traces are walks on; each passes `Trace.check`.
        tally: The rows that the latest iteration has read and skipped so far.
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
    """Count of the rows that were kept and, by reason, of those that were skipped.

    Args:
        source: The file, folder or name of what is read; error messages name it.
        unit: Plural noun for what is counted: rows of a file, expansions of a run.

    Attributes:
        kept: Number of rows kept.
        skipped: Number of rows skipped, by reason.

    Example:
        >>> tally = Tally("paths.tsv")
        >>> tally.keep(98)
        >>> tally.skip("no link", 2)
        >>> str(tally)
        'paths.tsv: 98 rows kept, 2 skipped (no link: 2)'
    """

    def __init__(self, source: str | Path, unit: str = "rows") -> None:
        self.source, self.unit = source, unit
        self.kept = 0
        self.skipped: Counter[str] = Counter()

    def keep(self, rows: int = 1) -> None:
        """Count rows that can be used."""
        self.kept += rows

    def skip(self, kind: str, rows: int = 1) -> None:
        """Count rows that cannot be used, under their reason."""
        self.skipped[kind] += rows

    def check(self) -> None:
        """Raise a `DataError` if more than 5% of the rows were skipped."""
        if self.skipped.total() > _MOST_SKIPPED * (self.kept + self.skipped.total()):
            raise DataError(self.source, None, f"more than {_MOST_SKIPPED:.0%} cannot be used: {self._counts()}")

    def __str__(self) -> str:
        return f"{self.source}: {self._counts()}"

    def _counts(self) -> str:
        reasons = ", ".join(f"{kind}: {n:,}" for kind, n in self.skipped.most_common())
        skipped = f"{self.skipped.total():,} skipped" + (f" ({reasons})" if reasons else "")
        return f"{self.kept:,} {self.unit} kept, {skipped}"


def sift(rows: Iterable[Row], parse: Callable[[Row], Trace], tally: Tally) -> Iterator[Trace]:
    """Yield the traces of the rows that hold one, and count the other rows by reason.

    Args:
        rows: Rows of a source.
        parse: Makes a trace of a row, or raises a `TraceError` of some kind.
        tally: Counts the rows.

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
