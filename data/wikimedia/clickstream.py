"""Wikimedia's monthly clickstream: how often readers went from one article to another.

A file has one line for each pair, `prev TAB curr TAB type TAB n`, and is gigabytes long. It is read once, as a stream,
in memory that depends on the graph's size only, and becomes one count for each link of a topic graph. The counts hold
no paths, so walks sampled from them are first-order Markov chains without back clicks.
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
"""Bytes of the longest line that is read whole; titles have at most 255."""
_CHUNK = 16_384
"""Clicks that are looked up in the graph at a time."""
_TYPES = (b"link", b"external", b"other")
_MOST_DIGITS = 15
"""Digits of the largest count; sums of counts then fit into 64 bits."""


class _Lines(Protocol):
    """The method that plain and gzipped files share."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line, at most `size` bytes of it."""
        ...


class _Click(NamedTuple):
    source: int
    target: int
    clicks: int


@dataclass(frozen=True)
class Clickstream:
    """Counts of a clickstream file on a topic graph.

    Args:
        graph: The topic graph.
        counts: Clicks on each link, aligned with `graph.indices`, int64 `[links]`.
        entries: Number of times each topic was opened from outside the encyclopaedia, int64 `[topics]`.
        unused: Well-formed rows that are not clicks on a link of this graph, by reason; most rows of a file are.
        tally: Well-formed rows, and malformed ones by reason.
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
    """Read the counts of a clickstream file, gzipped or plain, on a topic graph. A terminal shows progress.

    Titles are compared with spaces for underscores. A row counts if its type is `link` and the graph has that link. A
    row of type `external`, whose `prev` is an `other-*` referrer, counts as an entry. Other well-formed rows are
    unused: they name topics or links that the graph lacks, or moves without a click on a link (type `other`). Rows of
    the same pair are added up.

    Raises:
        MissingDataError: If the file is missing.
        DataError: If the file is cut off or damaged (the message names the last line that could be read), or if more
            than 5% of its rows are malformed.
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
    """State of one reading: arrays of the graph's size, and the clicks that wait to be looked up."""

    def __init__(self, path: Path, graph: TopicGraph) -> None:
        self.graph, self.tally, self.line = graph, Tally(path), 0
        self.counts = np.zeros(graph.n_links, dtype=np.int64)
        self.entries = np.zeros(len(graph), dtype=np.int64)
        self.unused: Counter[str] = Counter()
        self._topics = {title.replace(" ", "_").encode(): topic for topic, title in enumerate(graph.titles)}
        self._waiting: list[_Click] = []

    def read(self, file: _Lines) -> None:
        """Read all lines of a file."""
        while row := file.readline(_LONGEST_LINE):
            self.line += 1
            self._take(row)
            # The rest of a line that is too long is skipped, so that a damaged file cannot fill the memory.
            while not row.endswith(b"\n") and len(row) == _LONGEST_LINE:
                row = file.readline(_LONGEST_LINE)
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
        """Add the waiting clicks to the counts of their links."""
        clicks = np.array(self._waiting, dtype=np.int64).reshape(-1, 3)
        self._waiting.clear()
        at = self.graph.positions(clicks[:, 0], clicks[:, 1])
        # add.at, since a link may be among them more than once.
        np.add.at(self.counts, at[at >= 0], clicks[at >= 0, 2])
        if missing := int((at < 0).sum()):
            self.unused["no link of the graph"] += missing


@contextmanager
def _opened(path: Path) -> Iterator[_Lines]:
    """Open a file that may be gzipped. A progress bar counts the bytes read from disk."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar, path.open("rb") as raw:
        zipped = raw.read(len(_GZIP)) == _GZIP  # by content: downloads are renamed and unpacked
        raw.seek(0)
        watched = bar.wrap_file(raw, total=path.stat().st_size, description="clickstream")
        file: _Lines = gzip.GzipFile(fileobj=watched) if zipped else watched
        yield file


class ClickstreamWalks:
    """Walks sampled from a clickstream; a `TraceSource`.

    A walk starts on a page that readers entered from outside, and makes at least one click. It follows links in
    proportion to their clicks. It stops on a page with the probability that a reader made no click there: one minus
    clicks away over arrivals (entries and clicks to it). Walks have no target and no back clicks, because the counts
    hold neither.

    Args:
        clickstream: The counts.
        walks: Number of walks.
        length: Most clicks of a walk.
        seed: Seeds the draws.

    Attributes:
        clickstream: The counts.
        tally: The file's rows; sampling skips nothing.

    Raises:
        KgrlError: If the file has no click on a link of the graph.
    """

    def __init__(self, clickstream: Clickstream, walks: int, *, length: int = 100, seed: int = 0) -> None:
        if not clickstream.counts.any():
            raise KgrlError(f"{clickstream.tally.source} has no click on a link of this graph; do the titles match?")
        self.clickstream, self.graph, self.tally = clickstream, clickstream.graph, clickstream.tally
        self.walks, self.length, self.seed = walks, length, seed
        # Clicks on all links before each, [links + 1]: a draw from a page's links is one number and a binary search.
        self._before = np.concatenate([[0], np.cumsum(clickstream.counts)])
        out = np.diff(self._before[self.graph.indptr])
        into = np.bincount(self.graph.indices, clickstream.counts, minlength=len(self.graph)) + clickstream.entries
        # Probability of another click, [topics]: 1 for a page without arrivals, 0 for one without clicks away.
        self._goes_on = np.divide(out, into, out=np.ones(len(out)), where=into > 0).clip(max=1.0) * (out > 0)
        starts = clickstream.entries * self._goes_on
        self._starts = np.cumsum(starts if starts.any() else out)

    def __repr__(self) -> str:
        limits = f"length {self.length}, seed {self.seed}"
        return f"ClickstreamWalks({self.walks} walks of {str(self.tally.source)!r}, {limits})"

    def __iter__(self) -> Iterator[Trace]:
        """Yield the walks, the same ones each time."""
        rng = np.random.default_rng(self.seed)
        return (Trace(tuple(self._walk(rng)), source="clickstream") for _ in range(self.walks))

    def _walk(self, rng: np.random.Generator) -> Iterator[int]:
        page = int(np.searchsorted(self._starts, rng.random() * self._starts[-1], side="right"))
        yield page
        for clicks in range(self.length):
            if clicks and rng.random() >= self._goes_on[page]:
                return
            # Uniform over the clicks of the page, so a link is drawn in proportion to its clicks.
            first, last = self._before[self.graph.indptr[page]], self._before[self.graph.indptr[page + 1]]
            link = np.searchsorted(self._before, rng.integers(first, last), side="right") - 1
            page = int(self.graph.indices[link])
            yield page
