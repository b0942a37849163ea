"""Trace files: what is written comes back, what does not fit is counted; Minari opens the export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrl.data import trace_store
from kgrl.data.trace_store import StoredTraces, export_minari, write_traces
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.testing import TraceSourceContract
from kgrl.trace_source import TraceSource
from kgrl.traces import BACK, Outcome, Trace

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


def test_topics_go_by_title(tmp_path: Path) -> None:
    """So a file can be read on a graph that numbers them otherwise."""
    write_traces(tmp_path / "t.parquet", TRACES[:1], GRAPH)
    turned = TopicGraph.from_links(TITLES[::-1], [3, 3, 2, 1, 0], [2, 1, 0, 3, 3])
    assert [trace.steps for trace in StoredTraces(tmp_path / "t.parquet", turned)] == [(3, 2, BACK, 1, 3, 2, 0)]


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
    schema = trace_store._SCHEMA.with_metadata({"kgrl.trace_schema": version})
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
    assert str(read.tally).endswith(f"t.parquet: 95 kept, 5 skipped ({reason}: 5)")
    read = StoredTraces(rows_file(tmp_path / "t.parquet", [GOOD] * 94 + [{**GOOD, **bad}] * 5), GRAPH)
    with pytest.raises(DataError, match=rf"t\.parquet: more than 5%.*{reason}: 5"):
        list(read)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(MissingDataError, match=r"t\.parquet"):
        StoredTraces(path, GRAPH)
    rows_file(path, [GOOD], version="7")
    with pytest.raises(DataError, match="version b'7'; this kgrl reads 1"):
        StoredTraces(path, GRAPH)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="not of traces"):
        StoredTraces(path, GRAPH)
    path.write_text("steps")
    with pytest.raises(DataError, match="not a Parquet file"):
        StoredTraces(path, GRAPH)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    write_traces(tmp_path / "t.parquet", TRACES * 500, GRAPH)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[10:200] = bytes(190)
    (tmp_path / "t.parquet").write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        list(StoredTraces(tmp_path / "t.parquet", GRAPH))


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_minari_opens_the_export(datasets: Path) -> None:
    minari = pytest.importorskip("minari")
    folder = export_minari(iter(TRACES), GRAPH, "kgrl/tiny-v0")
    assert folder == datasets / "kgrl" / "tiny-v0"
    dataset = minari.load_dataset("kgrl/tiny-v0")
    episodes = list(dataset.iterate_episodes())
    assert dataset.total_episodes == len(episodes) == 3, "a trace without a click has no step"
    first, second, third = episodes
    assert first.observations["page"].tolist() == [0, 1, 0, 2, 0, 1, 3]
    assert first.actions.tolist() == [1, 4, 2, 0, 1, 3]
    assert first.rewards.tolist() == [0, 0, 0, 0, 0, 1]
    assert first.terminations[-1] and not first.truncations.any()
    assert second.truncations[-1] and not second.terminations.any() and not second.rewards.any()
    assert third.observations["target"].tolist() == [4, 4, 4], "the number of topics stands for no target"
    assert dataset.storage.metadata["topics"] == TITLES
    for episode in episodes:
        page = {name: values[0] for name, values in episode.observations.items()}
        assert dataset.observation_space.contains({name: np.int64(value) for name, value in page.items()})
        assert all(dataset.action_space.contains(action) for action in episode.actions)


def test_a_failed_export_leaves_nothing_and_a_second_one_overwrites_nothing(datasets: Path) -> None:
    minari = pytest.importorskip("minari")

    def failing() -> Iterator[Trace]:
        yield TRACES[0]
        raise DataError("f", 1, "broken")

    with pytest.raises(DataError, match="broken"):
        export_minari(failing(), GRAPH, "kgrl/tiny-v0")
    assert not (datasets / "kgrl" / "tiny-v0").exists()
    export_minari(TRACES, GRAPH, "kgrl/tiny-v0")
    with pytest.raises(KgrlError, match="already"):
        export_minari(TRACES[:1], GRAPH, "kgrl/tiny-v0")
    assert minari.load_dataset("kgrl/tiny-v0").total_episodes == 3
    with pytest.raises(KgrlError, match="not a name"):
        export_minari(TRACES, GRAPH, "no spaces allowed")
