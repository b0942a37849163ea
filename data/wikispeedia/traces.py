"""Human traces: games of Wikispeedia, read from SNAP's archive.

Players were given a start and a target and clicked from one to the other. Article names are compared as `links.tsv`
writes them, URL-encoded; topics are numbered in the order of `articles.tsv`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kgrl.data.wikispeedia.archives import ARCHIVE_FOLDER, GRAPH_ARCHIVE, members
from kgrl.data.wikispeedia.corpus import title_of
from kgrl.errors import DataError, MissingDataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.source import Tally, sift
from kgrl.traces.trace import BACK, Outcome, Trace, TraceError

__all__ = ["WikispeediaTraces", "read_table"]

_FILES = {Outcome.FINISHED: "paths_finished.tsv", Outcome.UNFINISHED: "paths_unfinished.tsv"}
_FIELDS = {Outcome.FINISHED: 5, Outcome.UNFINISHED: 6}
"""Number of fields in a row of each file."""
_PATH, _TARGET = 3, 4
"""Fields that hold the path and, in rows of unfinished games, the target."""
_BACK_CLICK = "<"
_CATEGORY_PREFIX = "subject."

_log = logging.getLogger(__name__)


class WikispeediaTraces:
    """Finished and unfinished games of Wikispeedia, and their topic graph; a `TraceSource`.

    Rows that cannot have happened are skipped, counted by reason, and logged.

    Args:
        root: The folder that holds `wikispeedia_paths-and-graph`, as a folder or as the archive that SNAP publishes,
            or the folder with the tables itself.

    Attributes:
        names: The articles' names as the files write them, URL-encoded.
        graph: Articles and links; titles are decoded.
        tally: Rows that the latest iteration kept and skipped, of both files together.

    Raises:
        MissingDataError: If a table is missing.
        DataError: If a link is malformed or names an unknown article.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = tuple(row[0] for _, row in read_table(root, "articles.tsv"))
        self._number = {name: topic for topic, name in enumerate(self.names)}
        self.graph = self._read_graph()
        self.tally = Tally(root)

    def __repr__(self) -> str:
        return f"WikispeediaTraces({str(self.root)!r})"

    def __iter__(self) -> Iterator[Trace]:
        """Yield the finished and then the unfinished games.

        Raises:
            DataError: At the end of a file, if more than 5% of its rows cannot be used; the message gives the counts.
        """
        self.tally = Tally(self.root)
        for outcome, file in _FILES.items():
            of_file = Tally(self.root / file)  # of its own: each file is checked by itself
            rows = (row for _, row in read_table(self.root, file))
            for trace in sift(rows, partial(self._trace, outcome=outcome), of_file):
                self.tally.keep()
                yield trace
            self.tally.skipped.update(of_file.skipped)
            if of_file.skipped:
                _log.warning("%s", of_file)

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
        return TopicGraph.from_links(
            self._titles(), sources, targets, [categories.get(name, "") for name in self.names]
        )

    def _titles(self) -> list[str]:
        titles: dict[str, None] = {}
        for line, row in read_table(self.root, "articles.tsv"):
            try:
                title = title_of(row[0])
            except ValueError as error:
                raise DataError(self.root / "articles.tsv", line, f"the name {row[0]!r} {error}") from error
            if title in titles:
                raise DataError(self.root / "articles.tsv", line, f"the article {row[0]!r} is there already")
            titles[title] = None
        return list(titles)

    def _trace(self, row: list[str], outcome: Outcome) -> Trace:
        if len(row) != _FIELDS[outcome]:
            raise TraceError("malformed row", f"a row of {len(row)} fields")
        steps = tuple(BACK if name == _BACK_CLICK else self._topic(name) for name in row[_PATH].split(";"))
        # A finished game's row has no target: the last article is the target.
        target = steps[-1] if outcome is Outcome.FINISHED else self._topic(row[_TARGET])
        trace = Trace(steps, target, outcome, "wikispeedia")
        trace.check(self.graph)
        return trace

    def _topic(self, name: str) -> int:
        if name not in self._number:
            raise TraceError("unknown topic", f"{name!r} is not an article")
        return self._number[name]


def read_table(root: Path, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of each row of a table, without comments and blank lines.

    Args:
        root: As for `WikispeediaTraces`.
        file: The table's name, for example `"links.tsv"`.

    Raises:
        MissingDataError: If the table is missing.
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
    """Return the content of a table, from a folder or from the archive."""
    for path in (root / file, root / ARCHIVE_FOLDER / file):
        if path.is_file():
            return path.read_bytes()
    if (root / GRAPH_ARCHIVE).is_file():
        wanted = f"{ARCHIVE_FOLDER}/{file}"
        # Read to the end, which is checked.
        for data in [data for name, data in members(root / GRAPH_ARCHIVE) if name == wanted]:
            return data
    raise MissingDataError(
        f"{root} holds neither {file} nor {GRAPH_ARCHIVE} with it; see https://snap.stanford.edu/data/wikispeedia.html"
    )
