"""Trace files: Parquet files that name topics by title.

A trace file has four columns: `steps`, the titles in the order they were opened with null for each back click;
`target`, a title or null; `outcome`; and `source`. Its metadata names the version of this layout and the topic graph
the traces were recorded on. Since topics are named by title, a file can be read on another graph with the same titles,
for example a newer version of it; traces that no longer fit are skipped and counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kgrl.data.reading import DAMAGED, Problems, parquet_rows
from kgrl.errors import DataError, MissingDataError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.files import replacing
from kgrl.traces.source import Tally, sift
from kgrl.traces.trace import BACK, Outcome, Trace, TraceError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SCHEMA_VERSION", "StoredTraces", "recorded_corpus", "write_traces"]

SCHEMA_VERSION = 1
"""Version of the layout: raised whenever a column is added, removed or changes its meaning."""

_VERSION_KEY, _GRAPH_KEY, _CORPUS_KEY = b"kgrl.trace_schema", b"kgrl.graph", b"kgrl.corpus"
_GROUP = 8192
"""Traces held in memory while writing; they form one row group of the file."""
_MOST_UNKNOWN = 0.05
"""Share of a file's titles that the graph may lack, the same as the share of rows that a source may skip."""
_FINGERPRINT_SHOWN = 12


def write_traces(path: Path, traces: Iterable[Trace], graph: TopicGraph, *, corpus: str = "") -> int:
    """Write a trace file, whole or not at all, and return the number of traces.

    Args:
        path: The Parquet file.
        traces: The traces; read once, a few thousand at a time.
        graph: The topic graph whose topics they number.
        corpus: The corpus that the graph belongs to, as `kgrl.data.load_corpus` takes it; readers of the file find the
            graph by it.
    """
    # Here and below, since it takes a fifth of a second to import, and few commands read traces from such files.
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {_VERSION_KEY: str(SCHEMA_VERSION), _GRAPH_KEY: _describe(graph), _CORPUS_KEY: corpus}
    schema = _schema().with_metadata(metadata)
    written, waiting = 0, iter(traces)
    # A schema for all groups: without it, a group with no target would get a column of another type.
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while group := [_written(trace, graph) for trace in itertools.islice(waiting, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


def _schema() -> pa.Schema:
    """Return the columns of a trace file."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema([("steps", pa.list_(text)), ("target", text), ("outcome", text), ("source", text)])


class _Row(Struct):
    """A row of a trace file; null where a damaged or foreign file has nothing."""

    steps: list[str | None] | None
    target: str | None
    outcome: str | None
    source: str | None


class StoredTraces:
    """Traces of a trace file; a `TraceSource`.

    Args:
        path: The Parquet file.
        graph: The topic graph on which to read the traces.

    Raises:
        MissingDataError: If the file is missing.
        DataError: If it is not a trace file, has another version, or belongs to another graph: more than 5% of its
            titles are not topics of `graph`. The message names both graphs.

    Example:
        >>> import tempfile
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> path = Path(tempfile.mkdtemp()) / "traces.parquet"
        >>> write_traces(path, [Trace((0, 1, BACK), source="example")], graph)
        1
        >>> next(iter(StoredTraces(path, graph))).steps
        (0, 1, -1)
    """

    def __init__(self, path: Path, graph: TopicGraph) -> None:
        recorded = _metadata(path)[_GRAPH_KEY]
        self.path, self.graph = path, graph
        self.tally = Tally(path)
        self._topics = {title: topic for topic, title in enumerate(graph.titles)}
        # The common case, a file on its own graph, needs no look at the titles.
        if recorded != _describe(graph):
            self._refuse_other_titles(recorded)

    def __repr__(self) -> str:
        return f"StoredTraces({str(self.path)!r})"

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces in the order of the file; see `TraceSource`."""
        self.tally = Tally(self.path)
        return sift(self._rows(self.tally), self._trace, self.tally)

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        problems = Problems(self.path, "skip")  # texts that are not UTF-8; they count as skipped rows
        for _, row in parquet_rows(self.path, _Row, problems):
            yield row
        if problems.skipped[DAMAGED]:  # nobody knows how many rows that is
            raise DataError(self.path, None, "damaged: a part of the file cannot be read; fetch or make it again")
        for kind, count in problems.skipped.items():
            tally.skip(kind, count)

    def _trace(self, row: _Row) -> Trace:
        steps, target = row.steps, row.target
        if not steps or not row.source or row.outcome not in set(Outcome):
            raise TraceError("malformed row", "a trace has steps, a source and a known outcome")
        trace = Trace(
            tuple(BACK if title is None else self._topic(title) for title in steps),
            None if target is None else self._topic(target),
            Outcome(row.outcome),
            row.source,
        )
        trace.check(self.graph)  # the titles may be known and the links not, on another version of the graph
        return trace

    def _topic(self, title: str) -> int:
        topic = self._topics.get(title)
        if topic is None:
            raise TraceError("unknown topic", f"{title!r} is not a topic of the graph")
        return topic

    def _refuse_other_titles(self, recorded: str) -> None:
        """Raise if the graph lacks too many titles. The file's titles are read before its first trace is yielded."""
        titles = _titles(self.path)
        unknown = sorted(titles - self._topics.keys())
        if len(unknown) > _MOST_UNKNOWN * len(titles):
            reason = (
                f"traces on another graph ({recorded}) than this one ({_describe(self.graph)}), which lacks "
                f"{len(unknown):,} of their {len(titles):,} titles, for example {unknown[0]!r}"
            )
            raise DataError(self.path, None, reason)


def recorded_corpus(path: Path) -> str:
    """Return the corpus that a trace file names, `""` if it names none; errors as for `StoredTraces`."""
    return _metadata(path)[_CORPUS_KEY]


def _describe(graph: TopicGraph) -> str:
    return f"{len(graph):,} topics, {graph.n_links:,} links, fingerprint {graph.fingerprint[:_FINGERPRINT_SHOWN]}"


def _written(trace: Trace, graph: TopicGraph) -> dict[str, Any]:
    return {
        "steps": [None if step == BACK else graph.titles[step] for step in trace.steps],
        "target": None if trace.target is None else graph.titles[trace.target],
        "outcome": str(trace.outcome),
        "source": trace.source,
    }


def _metadata(path: Path) -> dict[bytes, str]:
    """Check that a file is a trace file, and return its metadata."""
    if not path.is_file():
        raise MissingDataError(
            f"there is no trace file {path}; `kgrl traces import` and `kgrl traces generate` write them"
        )
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(path, None, f"not a Parquet file, or cut off: {error}") from error
    # The metadata also holds a key of Arrow's own.
    metadata = {key: value.decode(errors="replace") for key, value in (schema.metadata or {}).items()}
    if not {_VERSION_KEY, _GRAPH_KEY, _CORPUS_KEY} <= metadata.keys():
        raise DataError(path, None, "a Parquet file, but not of traces")
    if metadata[_VERSION_KEY] != str(SCHEMA_VERSION):
        version = metadata[_VERSION_KEY]
        raise DataError(path, None, f"traces of schema version {version}; this kgrl reads {SCHEMA_VERSION}")
    if not schema.equals(_schema()):
        raise DataError(path, None, f"the columns are not those of schema version {SCHEMA_VERSION}")
    return metadata


def _titles(path: Path) -> set[str]:
    """Return all titles that a trace file's steps name."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    titles: set[str] = set()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["steps"]):
                titles.update(pc.unique(batch.column(0).flatten()).drop_null().to_pylist())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(path, None, f"damaged: {error}") from error
    return titles
