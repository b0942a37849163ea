"""Wikimedia's monthly clickstream: how often readers went from one article to another.

A file has one line for each pair, `prev TAB curr TAB type TAB n`, and gigabytes of them. It is read once, as a stream,
in memory that grows with the graph alone, and becomes one count for each link of a topic graph. The counts say nothing
of paths, so walks sampled from them are first-order Markov chains without back clicks.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.trace_source import Tally
from kgrl.traces import Trace

__all__ = ["Clickstream", "ClickstreamWalks", "read_clickstream"]

Int64Array = NDArray[np.int64]

_LONGEST_LINE = 4096
"""Bytes; titles have at most 255."""
_CHUNK = 65_536
"""Clicks looked up in the graph at a time."""
_TYPES = (b"link", b"external", b"other")


class _Click(NamedTuple):
    source: int
    target: int
    count: int


@dataclass(frozen=True)
class Clickstream:
    """What a clickstream file says about a topic graph.

    Args:
        graph: The topic graph.
        counts: Clicks on each link, aligned with `graph.indices`, int64 `[links]`.
        entries: Times each topic was opened from outside the encyclopaedia, int64 `[topics]`.
        unused: Rows that are sound but not about this graph, by reason.
        tally: Rows of use, and malformed rows by reason.
    """

    graph: TopicGraph
    counts: Int64Array
    entries: Int64Array
    unused: dict[str, int]
    tally: Tally

    @property
    def transitions(self) -> sparse.csr_array:
        """The counts as a matrix, source by target, int64 `[topics, topics]`."""
        shape = (len(self.graph), len(self.graph))
        return sparse.csr_array((self.counts, self.graph.indices, self.graph.indptr), shape=shape)


def read_clickstream(path: Path, graph: TopicGraph) -> Clickstream:
    """Read a clickstream file, gzipped or plain, against a topic graph.

    Titles are compared with spaces for underscores. A row counts if its type is `link` and the graph has that link; the
    type `external` counts as an entry. Other sound rows are unused: they are about topics or links the graph does not
    have, or about moves that were no click on a link (type `other`). Rows of one pair are added up.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If the file is cut off or damaged, or more than 5% of its rows are malformed.
    """
    if not path.is_file():
        raise MissingDataError(f"there is no clickstream file {path}; Wikimedia publishes one each month")
    reader = _Reader(path, graph)
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            reader.read(gzip.GzipFile(fileobj=raw) if zipped else raw)  # type: ignore[arg-type] # it reads lines too
        except EOFError as error:
            raise DataError(path, reader.line, "the file is cut off; download it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(path, reader.line, f"damaged: {error}") from error
    reader.tally.check()
    return Clickstream(graph, reader.counts, reader.entries, reader.unused, reader.tally)


class _Reader:
    """The state of one reading: arrays of the graph's size, and the clicks not yet looked up."""

    def __init__(self, path: Path, graph: TopicGraph) -> None:
        self.graph, self.tally, self.line = graph, Tally(path), 0
        self.counts = np.zeros(graph.n_links, dtype=np.int64)
        self.entries = np.zeros(len(graph), dtype=np.int64)
        self.unused = {"unknown topic": 0, "no link of the graph": 0, "no click on a link": 0}
        self._topics = {title.replace(" ", "_").encode(): topic for topic, title in enumerate(graph.titles)}
        self._waiting: list[_Click] = []

    def read(self, file: BinaryIO | gzip.GzipFile) -> None:
        for row in _lines(file):
            self.line += 1
            self._take(row)
            if len(self._waiting) == _CHUNK:
                self._look_up()
        self._look_up()

    def _take(self, row: bytes) -> None:
        fields = row.rstrip(b"\r\n").split(b"\t")
        if len(fields) != 4 or not fields[0] or not fields[1]:
            self.tally.skip("not four fields")
        elif fields[2] not in _TYPES:
            self.tally.skip("unknown type")
        elif not fields[3].isdigit() or len(fields[3]) > 15:
            self.tally.skip("not a count")
        else:
            self.tally.keep()
            self._use(*fields[:3], int(fields[3]))

    def _use(self, previous: bytes, current: bytes, kind: bytes, count: int) -> None:
        target = self._topics.get(current)
        source = self._topics.get(previous) if kind == b"link" else None
        if target is None or (kind == b"link" and source is None):
            self.unused["unknown topic"] += 1
        elif kind == b"external":
            self.entries[target] += count
        elif source is None:
            self.unused["no click on a link"] += 1
        else:
            self._waiting.append(_Click(source, target, count))

    def _look_up(self) -> None:
        """Add the waiting clicks to their links."""
        clicks = np.array(self._waiting, dtype=np.int64).reshape(-1, 3)
        self._waiting.clear()
        at = self.graph.positions(clicks[:, 0], clicks[:, 1])
        np.add.at(self.counts, at[at >= 0], clicks[at >= 0, 2])
        self.unused["no link of the graph"] += int((at < 0).sum())


def _lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a file; of one that never ends only the beginning, so that it cannot fill the memory."""
    while row := file.readline(_LONGEST_LINE):
        yield row
        while not row.endswith(b"\n") and len(row) == _LONGEST_LINE:
            row = file.readline(_LONGEST_LINE)


class ClickstreamWalks:
    """Walks sampled from a clickstream, as a source of traces; see `TraceSource`.

    A walk starts where readers entered from outside, and makes at least one click. It follows links in proportion to
    their clicks, and stops on a page with the share of readers who made no click there: one minus clicks away over
    arrivals (entries and clicks to it). Walks are goal-free and have no back clicks: the counts know neither.

    Args:
        clickstream: The counts.
        walks: Number of walks.
        length: Most clicks of a walk.
        seed: Seeds the draws.

    Raises:
        KgrlError: If the file has no click on any link of the graph.
    """

    def __init__(self, clickstream: Clickstream, walks: int, *, length: int = 100, seed: int = 0) -> None:
        if not clickstream.counts.any():
            raise KgrlError(f"{clickstream.tally.source} has no click on a link of this graph; do the titles match?")
        self.graph, self.tally = clickstream.graph, clickstream.tally
        self.walks, self.length, self.seed = walks, length, seed
        # Clicks on all links before each: a draw from a page's links is one number and a binary search.
        self._before = np.concatenate([[0], np.cumsum(clickstream.counts)])
        out = np.diff(self._before[self.graph.indptr])
        into = np.bincount(self.graph.indices, clickstream.counts, minlength=len(self.graph)) + clickstream.entries
        self._goes_on = np.divide(out, into, out=np.ones(len(out)), where=into > 0).clip(max=1.0) * (out > 0)
        starts = clickstream.entries * self._goes_on
        self._starts = np.cumsum(starts if starts.any() else out)

    def __iter__(self) -> Iterator[Trace]:
        """Yield the walks; see `TraceSource`."""
        rng = np.random.default_rng(self.seed)
        return (Trace(tuple(self._walk(rng)), source="clickstream") for _ in range(self.walks))

    def _walk(self, rng: np.random.Generator) -> Iterator[int]:
        page = int(np.searchsorted(self._starts, rng.random() * self._starts[-1], side="right"))
        yield page
        for clicks in range(self.length):
            if clicks and rng.random() >= self._goes_on[page]:
                return
            first, last = self._before[self.graph.indptr[page]], self._before[self.graph.indptr[page + 1]]
            link = np.searchsorted(self._before, rng.integers(first, last), side="right") - 1
            page = int(self.graph.indices[link])
            yield page
