"""Human traces: the Wikispeedia game, in the layout of SNAP's archive.

Players were given a start and a target and clicked from one to the other. Names are compared as `links.tsv` writes
them, URL-encoded; topics are numbered in the order of `articles.tsv`.
"""

from __future__ import annotations

import io
import logging
import tarfile
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kgrl.data.wikispeedia.archives import ARCHIVE_FOLDER, GRAPH_ARCHIVE
from kgrl.errors import DataError, MissingDataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.source import Tally, sift
from kgrl.traces.trace import BACK, Outcome, Trace, TraceError

__all__ = ["TraceFile", "WikispeediaTraces", "read_table"]

_FILES = {Outcome.FINISHED: "paths_finished.tsv", Outcome.UNFINISHED: "paths_unfinished.tsv"}
_FIELDS = {Outcome.FINISHED: 5, Outcome.UNFINISHED: 6}
_PATH, _TARGET = 3, 4
_BACK_CLICK = "<"
_CATEGORY_PREFIX = "subject."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceFile:
    """What one file of paths gave.

    Args:
        traces: The usable traces in the file's order.
        skipped: Number of unusable rows by reason.
    """

    traces: tuple[Trace, ...]
    skipped: Counter[str]


class WikispeediaTraces:
    """The Wikispeedia game: its graph and its finished and unfinished traces; a source, see `TraceSource`.

    Args:
        root: The folder that holds `wikispeedia_paths-and-graph`, as a folder or as the archive SNAP ships, or the
            folder with the tables itself.

    Attributes:
        names: The articles' names as the files write them, URL-encoded.
        graph: Articles and links; titles are decoded.
        tally: What the latest iteration kept and skipped, both files together.

    Raises:
        MissingDataError: If a table is not there.
        DataError: If a link is malformed or names an unknown article.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = tuple(row[0] for _, row in read_table(root, "articles.tsv"))
        self._number = {name: topic for topic, name in enumerate(self.names)}
        self.graph = self._read_graph()
        self.tally = Tally(root)

    def read(self, outcome: Outcome) -> TraceFile:
        """Read the finished or the unfinished traces.

        Rows that cannot have happened are counted by reason, skipped, and logged.

        Raises:
            DataError: If more than 5% of the rows cannot be used; the message gives the counts.
        """
        tally = Tally(self.root / _FILES[outcome])
        rows = (row for _, row in read_table(self.root, _FILES[outcome]))
        traces = tuple(sift(rows, lambda row: self._trace(row, outcome), tally))
        if tally.skipped:
            _log.warning("%s", tally)
        return TraceFile(traces, tally.skipped)

    def __iter__(self) -> Iterator[Trace]:
        """Yield the finished and then the unfinished traces; see `TraceSource`."""
        self.tally = Tally(self.root)
        for outcome in _FILES:
            file = self.read(outcome)
            self.tally.keep(len(file.traces))
            self.tally.skipped.update(file.skipped)
            yield from file.traces

    def _read_graph(self) -> TopicGraph:
        categories: dict[str, str] = {}
        for _, row in read_table(self.root, "categories.tsv"):
            categories.setdefault(row[0], row[-1].removeprefix(_CATEGORY_PREFIX))  # the first of several
        sources, targets = [], []
        for line, row in read_table(self.root, "links.tsv"):
            unknown = [name for name in row if name not in self._number]
            if len(row) != 2 or unknown:
                reason = f"{unknown[0]!r} is not an article" if unknown else f"a link has two ends, not {len(row)}"
                raise DataError(self.root / "links.tsv", line, reason)
            sources.append(self._number[row[0]])
            targets.append(self._number[row[1]])
        titles = [urllib.parse.unquote(name).replace("_", " ") for name in self.names]
        return TopicGraph.from_links(titles, sources, targets, [categories.get(name, "") for name in self.names])

    def _trace(self, row: list[str], outcome: Outcome) -> Trace:
        if len(row) != _FIELDS[outcome]:
            raise TraceError("malformed row", f"a row of {len(row)} fields")
        steps = tuple(BACK if name == _BACK_CLICK else self._topic(name) for name in row[_PATH].split(";"))
        target = steps[-1] if outcome is Outcome.FINISHED else self._topic(row[_TARGET])
        trace = Trace(steps, target, outcome, "wikispeedia")
        trace.check(self.graph)
        return trace

    def _topic(self, name: str) -> int:
        if name not in self._number:
            raise TraceError("unknown topic", f"{name!r} is not an article")
        return self._number[name]


def read_table(root: Path, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each row of one of Wikispeedia's tables; comments and blank lines are left out.

    Args:
        root: As for `WikispeediaTraces`.
        file: The table's name, for example `"links.tsv"`.

    Raises:
        MissingDataError: If there is no such table.
        DataError: If it is not UTF-8.
    """
    for line, data in enumerate(io.BytesIO(_bytes_of(root, file)), 1):
        try:
            text = data.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(root / file, line, f"invalid UTF-8 at byte {error.start} of the line") from error
        if text.strip() and not text.startswith("#"):
            yield line, text.split("\t")


def _bytes_of(root: Path, file: str) -> bytes:
    for path in (root / file, root / ARCHIVE_FOLDER / file):
        if path.is_file():
            return path.read_bytes()
    if (root / GRAPH_ARCHIVE).is_file():
        with tarfile.open(root / GRAPH_ARCHIVE) as archive:
            try:
                member = archive.extractfile(f"{ARCHIVE_FOLDER}/{file}")
            except KeyError:
                member = None
            if member is not None:
                return member.read()
    raise MissingDataError(
        f"{root} holds neither {file} nor {GRAPH_ARCHIVE} with it; see https://snap.stanford.edu/data/wikispeedia.html"
    )
