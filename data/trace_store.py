"""Traces as files: Parquet that names topics by title, and Minari datasets for other people's tools.

A trace file is a Parquet file of four columns: `steps`, the titles in the order they were opened with null for each
back click; `target`, a title or null; `outcome`; and `source`. Its metadata names the version of this layout. As topics
go by title, a file can be read on another version of its graph; what no longer fits is counted and skipped.
"""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.cache import replacing
from kgrl.data.reading import Problems, parquet_rows
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.trace_source import Tally, sift
from kgrl.traces import BACK, Outcome, Trace, TraceError

__all__ = ["SCHEMA_VERSION", "StoredTraces", "export_minari", "write_traces"]

SCHEMA_VERSION = 1
"""Raised whenever a column is added, removed or changes its meaning."""

_VERSION_KEY = b"kgrl.trace_schema"
_SCHEMA = pa.schema(
    [
        ("steps", pa.list_(pa.string())),
        ("target", pa.string()),
        ("outcome", pa.string()),
        ("source", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION)},
)
_DESCRIPTION = "Walks along the links of a topic graph, exported by kgrl; the metadata's `topics` names topics by number."
_GROUP = 8192
"""Traces held in memory while writing."""


def write_traces(path: Path, traces: Iterable[Trace], graph: TopicGraph) -> int:
    """Write a trace file, atomically, and return the number of traces.

    Args:
        path: The Parquet file.
        traces: The traces; read once, a few thousand at a time.
        graph: The topic graph whose topics they number.
    """
    written = 0
    waiting = iter(traces)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
        while group := [_row(trace, graph) for trace in itertools.islice(waiting, _GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=_SCHEMA))
            written += len(group)
    return written


def _row(trace: Trace, graph: TopicGraph) -> dict[str, Any]:
    return {
        "steps": [None if step == BACK else graph.titles[step] for step in trace.steps],
        "target": None if trace.target is None else graph.titles[trace.target],
        "outcome": str(trace.outcome),
        "source": trace.source,
    }


class StoredTraces:
    """A trace file as a source of traces; see `TraceSource`.

    Args:
        path: The Parquet file.
        graph: The topic graph that the traces are to be walks on.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If it is no trace file, or one of another version.

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
        _check_file(path)
        self.path, self.graph = path, graph
        self.tally = Tally(path)
        self._topics = {title: topic for topic, title in enumerate(graph.titles)}

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces; see `TraceSource`."""
        self.tally = Tally(self.path)
        return sift(self._rows(self.tally), self._trace, self.tally)

    def _rows(self, tally: Tally) -> Iterator[dict[str, Any]]:
        problems = Problems(self.path, "skip")
        try:
            for _, row in parquet_rows(self.path, problems):
                yield row
        except (pa.ArrowException, OSError) as error:
            raise DataError(self.path, None, f"damaged: {error}") from error
        for kind, count in problems.skipped.items():
            tally.skip(kind, count)

    def _trace(self, row: dict[str, Any]) -> Trace:
        steps, target = row["steps"], row["target"]
        if not steps or row["source"] is None or row["outcome"] not in set(Outcome):
            raise TraceError("malformed row", "a trace has steps, a source and a known outcome")
        trace = Trace(
            tuple(BACK if title is None else self._topic(title) for title in steps),
            None if target is None else self._topic(target),
            Outcome(row["outcome"]),
            row["source"],
        )
        trace.check(self.graph)
        return trace

    def _topic(self, title: str) -> int:
        topic = self._topics.get(title)
        if topic is None:
            raise TraceError("unknown topic", f"{title!r} is not a topic of the graph")
        return topic


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise MissingDataError(f"there is no trace file {path}; `kgrl traces import` and `generate` write them")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(path, None, f"not a Parquet file: {error}") from error
    version = (schema.metadata or {}).get(_VERSION_KEY)
    if version is None:
        raise DataError(path, None, "a Parquet file, but not of traces")
    if version != str(SCHEMA_VERSION).encode():
        raise DataError(path, None, f"traces of schema version {version!r}; this kgrl reads {SCHEMA_VERSION}")
    if not schema.equals(_SCHEMA):
        raise DataError(path, None, f"the columns are not those of schema version {SCHEMA_VERSION}")


def export_minari(traces: Iterable[Trace], graph: TopicGraph, dataset_id: str) -> Path:
    """Write a Minari dataset, one episode a trace, and return its folder.

    An observation is the `page` the reader is on and the `target`, both topic numbers; the number of topics stands for
    no target. An action is the topic opened; the number of topics stands for a back click. The reward is 1 for reaching
    the target of a finished trace and 0 otherwise; other traces end truncated. The titles by number are in the
    dataset's metadata as `topics`. Traces without a click have no step and are left out.

    Args:
        traces: The traces; read once.
        graph: The topic graph whose topics they number.
        dataset_id: Minari's name for it, for example `"rabbit-holes/wikispeedia-v0"`; it is put where Minari keeps its
            datasets, `$MINARI_DATASETS_PATH` or the user's folder.

    Raises:
        MissingDataError: If Minari is not installed.
        KgrlError: If the name is not one Minari takes, or there is such a dataset.
    """
    try:
        import minari
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise MissingDataError("Minari is not installed; `pip install kgrl[traces]` brings it along") from error
    try:
        parse_dataset_id(dataset_id)
    except ValueError as error:
        raise KgrlError(f"{dataset_id!r} is not a name for a Minari dataset: {error}") from error
    folder = get_dataset_path(dataset_id)
    if folder.exists():
        raise KgrlError(f"there is a Minari dataset in {folder} already; delete it or choose another name")
    episodes = (_episode(trace, len(graph)) for trace in traces if len(trace.steps) > 1)
    try:
        with warnings.catch_warnings():
            # Minari asks for an author and a link to code, which a user's traces need not have.
            warnings.filterwarnings("ignore", message=".* is set to None", category=UserWarning)
            dataset = minari.create_dataset_from_buffers(
                dataset_id, episodes, description=_DESCRIPTION, data_format="hdf5", **_spaces(len(graph))
            )
        dataset.storage.update_metadata({"topics": list(graph.titles), "trace_schema": SCHEMA_VERSION})
    except BaseException:
        # Minari writes in place; whatever stopped it, Ctrl-C included, no half of a dataset may stay.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Path(folder)


def _spaces(n_topics: int) -> dict[str, Any]:
    from gymnasium import spaces

    page, or_none = spaces.Discrete(n_topics), spaces.Discrete(n_topics + 1)
    return {"observation_space": spaces.Dict({"page": page, "target": or_none}), "action_space": or_none}


def _episode(trace: Trace, nothing: int) -> Any:
    """A trace as Minari's buffer of one episode; `nothing` is the number that is no topic."""
    from minari.data_collector import EpisodeBuffer

    actions = [nothing if step == BACK else step for step in trace.steps[1:]]
    pages = trace.pages()
    target = nothing if trace.target is None else trace.target
    last = np.arange(len(actions)) == len(actions) - 1
    finished = last & (trace.outcome is Outcome.FINISHED)
    return EpisodeBuffer(
        observations={"page": np.array(pages), "target": np.full(len(pages), target)},
        actions=np.array(actions),
        rewards=finished.astype(np.float32),
        terminations=finished,
        truncations=last & ~finished,
    )
