"""Wikimedia's monthly clickstream: how often readers went from one article to another.

A file has one line for each pair, `prev TAB curr TAB type TAB n`, and gigabytes of them. It is read once, as a stream,
in memory that grows with the graph alone, and becomes one count for each link of a topic graph. The counts say nothing
of paths, so walks sampled from them are first-order Markov chains without back clicks.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from scipy import sparse

from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.source import Tally
from kgrl.traces.trace import Trace

__all__ = ["Clickstream", "ClickstreamWalks", "read_clickstream"]

Int64Array = NDArray[np.int64]

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 4096
"""Bytes; titles have at most 255."""
_CHUNK = 16_384
"""Clicks looked up in the graph at a time."""
_TYPES = (b"link", b"external", b"other")
_MOST_DIGITS = 15


class _Lines(Protocol):
    """What files and gzipped files have in common."""

    def readline(self, size: int = -1, /) -> bytes: ...


class _Click(NamedTuple):
    source: int
    target: int
    clicks: int


@dataclass(frozen=True)
class Clickstream:
    """What a clickstream file says about a topic graph.

    Args:
        graph: The topic graph.
        counts: Clicks on each link, aligned with `graph.indices`, int64 `[links]`.
        entries: Times each topic was opened from outside the encyclopaedia, int64 `[topics]`.
        unused: Sound rows that are no click on a link of this graph, by reason. Most rows of a file are.
        tally: Sound rows, and malformed ones by reason.
    """

    graph: TopicGraph
    counts: Int64Array
    entries: Int64Array
    unused: Counter[str]
    tally: Tally

    @property
    def transitions(self) -> sparse.csr_array:
        """The counts as a matrix, source by target, int64 `[topics, topics]`."""
        shape = (len(self.graph), len(self.graph))
        return sparse.csr_array((self.counts, self.graph.indices, self.graph.indptr), shape=shape)


def read_clickstream(path: Path, graph: TopicGraph) -> Clickstream:
    """Read a clickstream file, gzipped or plain, against a topic graph. A terminal shows progress.

    Titles are compared with spaces for underscores. A row counts if its type is `link` and the graph has that link; the
    type `external`, whose `prev` is an `other-*` referrer, counts as an entry. Other sound rows are unused: they are
    about topics or links the graph does not have, or about moves that were no click on a link (type `other`). Rows of
    one pair are added up.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If the file is cut off or damaged, with the last line that could be read, or more than 5% of its rows
            are malformed.
    """
    if not path.is_file():
        raise MissingDataError(f"there is no clickstream file {path}; Wikimedia publishes one each month")
    reader = _Reader(path, graph)
    with _opened(path) as file:
        try:
            reader.read(file)
        except EOFError as error:
            raise DataError(path, reader.line, "good up to this line, then cut off; download it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(path, reader.line, f"good up to this line, then damaged: {error}") from error
    reader.tally.check()
    return Clickstream(graph, reader.counts, reader.entries, reader.unused, reader.tally)


class _Reader:
    """The state of one reading: arrays of the graph's size, and the clicks not yet looked up."""

    def __init__(self, path: Path, graph: TopicGraph) -> None:
        self.graph, self.tally, self.line = graph, Tally(path), 0
        self.counts = np.zeros(graph.n_links, dtype=np.int64)
        self.entries = np.zeros(len(graph), dtype=np.int64)
        self.unused: Counter[str] = Counter()
        self._topics = {title.replace(" ", "_").encode(): topic for topic, title in enumerate(graph.titles)}
        self._waiting: list[_Click] = []

    def read(self, file: _Lines) -> None:
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
        elif not fields[3].isdigit() or len(fields[3]) > _MOST_DIGITS:
            self.tally.skip("not a count")
        else:
            self.tally.keep()
            self._use(fields[0], fields[1], fields[2], int(fields[3]))

    def _use(self, previous: bytes, current: bytes, kind: bytes, count: int) -> None:
        source, target = self._topics.get(previous), self._topics.get(current)
        if kind == b"external":
            self.unused["from outside"] += 1
            if target is not None:
                self.entries[target] += count
        elif kind == b"other":
            self.unused["no click on a link"] += 1
        elif source is None or target is None:
            self.unused["unknown topic"] += 1
        else:
            self._waiting.append(_Click(source, target, count))

    def _look_up(self) -> None:
        """Add the waiting clicks to their links."""
        clicks = np.array(self._waiting, dtype=np.int64).reshape(-1, 3)
        self._waiting.clear()
        at = self.graph.positions(clicks[:, 0], clicks[:, 1])
        np.add.at(self.counts, at[at >= 0], clicks[at >= 0, 2])
        if missing := int((at < 0).sum()):
            self.unused["no link of the graph"] += missing


@contextmanager
def _opened(path: Path) -> Iterator[_Lines]:
    """Open a file that may be gzipped, under a progress bar that counts the bytes on disk."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar, path.open("rb") as raw:
        zipped = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        watched = bar.wrap_file(raw, total=path.stat().st_size, description="clickstream")
        file: _Lines = gzip.GzipFile(fileobj=watched) if zipped else watched
        yield file


def _lines(file: _Lines) -> Iterator[bytes]:
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

    Attributes:
        clickstream: The counts.
        tally: The file's rows: sampling skips nothing.

    Raises:
        KgrlError: If the file has no click on any link of the graph.
    """

    def __init__(self, clickstream: Clickstream, walks: int, *, length: int = 100, seed: int = 0) -> None:
        if not clickstream.counts.any():
            raise KgrlError(f"{clickstream.tally.source} has no click on a link of this graph; do the titles match?")
        self.clickstream, self.graph, self.tally = clickstream, clickstream.graph, clickstream.tally
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
