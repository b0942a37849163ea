"""Trace files: what is written comes back, what does not fit is counted, other graphs and other files are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrl.data.traces import trace_store
from kgrl.data.traces.trace_store import StoredTraces, write_traces
from kgrl.errors import DataError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.testing import TraceSourceContract
from kgrl.traces import BACK, Outcome, Trace
from kgrl.traces.source import TraceSource

TITLES = ["Set (mathematics)", "<", "Émile Zola", "集合"]
GRAPH = TopicGraph.from_links(TITLES, [0, 0, 1, 2, 3], [1, 2, 3, 0, 0])
TRACES = [
    Trace((0, 1, BACK, 2, 0, 1, 3), 3, Outcome.FINISHED, "wikispeedia"),
    Trace((0, 2), 3, Outcome.UNFINISHED, "wikispeedia"),
    Trace((3, 0, 2), None, Outcome.OPEN, "clickstream"),
    Trace((1,), None, Outcome.OPEN, "agent"),
]


class TestATraceFileIsASource(TraceSourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> TraceSource:
        write_traces(tmp_path / "traces.parquet", TRACES, GRAPH)
        return StoredTraces(tmp_path / "traces.parquet", GRAPH)


@st.composite
def walks(draw: st.DrawFn) -> Trace:
    stack = [draw(st.integers(0, 3))]
    steps = [*stack]
    for _ in range(draw(st.integers(0, 12))):
        step = draw(st.sampled_from([*GRAPH.out(stack[-1]).tolist(), *([BACK] if len(stack) > 1 else [])]))
        steps.append(step)
        stack = stack[:-1] if step == BACK else [*stack, step]
    target = draw(st.none() | st.integers(0, 3))
    done = target is not None and steps[-1] == target and len(steps) > 1
    outcome = Outcome.FINISHED if done else Outcome.OPEN if target is None else Outcome.UNFINISHED
    return Trace(tuple(steps), target, outcome, draw(st.text("abç-", min_size=1)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces=st.lists(walks(), max_size=9))
def test_what_is_written_comes_back(traces: list[Trace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_store, "_GROUP", 4)  # so that there are several groups of rows
    assert write_traces(tmp_path / "t.parquet", iter(traces), GRAPH) == len(traces)
    read = StoredTraces(tmp_path / "t.parquet", GRAPH)
    assert list(read) == traces
    assert (read.tally.kept, read.tally.skipped.total()) == (len(traces), 0)


def test_rows_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_store, "_GROUP", 3)
    write_traces(tmp_path / "t.parquet", TRACES * 2, GRAPH)
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3


def test_topics_go_by_title(tmp_path: Path) -> None:
    """So a file can be read on a graph that numbers them otherwise."""
    write_traces(tmp_path / "t.parquet", TRACES[:1], GRAPH)
    turned = TopicGraph.from_links(TITLES[::-1], [3, 3, 2, 1, 0], [2, 1, 0, 3, 3])
    assert [trace.steps for trace in StoredTraces(tmp_path / "t.parquet", turned)] == [(3, 2, BACK, 1, 3, 2, 0)]


def test_a_graph_without_the_titles_is_refused_and_both_are_named(tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", TRACES, GRAPH)
    other = TopicGraph.from_links(["Mars", *TITLES[:2]], [0], [1])
    with pytest.raises(DataError) as caught:
        StoredTraces(tmp_path / "t.parquet", other)
    message = str(caught.value)
    assert GRAPH.fingerprint[:12] in message and other.fingerprint[:12] in message
    assert "4 topics, 5 links" in message and "3 topics, 1 links" in message
    assert "lacks 2 of their 4 titles, for example 'Émile Zola'" in message


def test_a_graph_that_lacks_links_is_an_error_at_the_end(tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", TRACES, GRAPH)
    with pytest.raises(DataError, match=r"more than 5%.*no link: 3"):
        list(StoredTraces(tmp_path / "t.parquet", TopicGraph.from_links(TITLES, [0], [1])))


def test_an_interrupted_write_leaves_nothing_behind_and_keeps_the_older_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Trace]:
        yield TRACES[0]
        raise KeyboardInterrupt

    write_traces(tmp_path / "t.parquet", TRACES, GRAPH)
    with pytest.raises(KeyboardInterrupt):
        write_traces(tmp_path / "t.parquet", failing(), GRAPH)
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]
    assert list(StoredTraces(tmp_path / "t.parquet", GRAPH)) == TRACES


def rows_file(path: Path, rows: list[dict[str, Any]], version: str = "1") -> Path:
    """A file with rows that kgrl does not write."""
    write_traces(path, [], GRAPH)
    schema = pq.read_schema(path)
    schema = schema.with_metadata({**schema.metadata, b"kgrl.trace_schema": version.encode()})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


GOOD = {"steps": TITLES[:2], "target": None, "outcome": "open", "source": "test"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"steps": [TITLES[0], "Mars"]}, "unknown topic"),
        ({"target": "Mars"}, "unknown topic"),
        ({"steps": [TITLES[1], TITLES[2]]}, "no link"),
        ({"steps": [TITLES[0], None]}, "empty stack"),
        ({"steps": [None, TITLES[0]]}, "no start"),
        ({"steps": []}, "malformed row"),
        ({"steps": None}, "malformed row"),
        ({"source": None}, "malformed row"),
        ({"outcome": "lost"}, "malformed row"),
        ({"outcome": "finished", "target": TITLES[0]}, "ends elsewhere"),
    ],
)
def test_bad_rows_are_counted_up_to_five_percent(tmp_path: Path, bad: dict[str, Any], reason: str) -> None:
    read = StoredTraces(rows_file(tmp_path / "t.parquet", [GOOD] * 95 + [{**GOOD, **bad}] * 5), GRAPH)
    assert len(list(read)) == 95
    assert read.tally.skipped == {reason: 5}
    assert str(read.tally).endswith(f"t.parquet: 95 rows kept, 5 skipped ({reason}: 5)")
    read = StoredTraces(rows_file(tmp_path / "t.parquet", [GOOD] * 94 + [{**GOOD, **bad}] * 5), GRAPH)
    with pytest.raises(DataError, match=rf"t\.parquet: more than 5%.*{reason}: 5"):
        list(read)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(MissingDataError, match=r"t\.parquet"):
        StoredTraces(path, GRAPH)
    rows_file(path, [GOOD], version="7")
    with pytest.raises(DataError, match=r"t\.parquet: .*version 7; this kgrl reads 1"):
        StoredTraces(path, GRAPH)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="not of traces"):
        StoredTraces(path, GRAPH)
    path.write_text("steps")
    with pytest.raises(DataError, match="not a Parquet file"):
        StoredTraces(path, GRAPH)


def test_a_file_cut_off_is_an_error(tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", TRACES * 500, GRAPH)
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut off"):
        StoredTraces(tmp_path / "t.parquet", GRAPH)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", TRACES * 500, GRAPH)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[10:200] = bytes(190)
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        list(StoredTraces(tmp_path / "t.parquet", GRAPH))
