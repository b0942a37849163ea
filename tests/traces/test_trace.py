"""Traces, their clicks, and the reading of Wikispeedia's."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.wikispeedia.traces import WikispeediaTraces
from kgrl.errors import DataError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.traces import BACK, ClickTable, Outcome, Trace, TraceError, name_bucket, positions

TABLES = {
    "articles.tsv": "# comment\n\nA\nB%21\nC\nD\n",
    "categories.tsv": "A\tsubject.Science.Physics\nA\tsubject.History\n",
    "links.tsv": "A\tB%21\nA\tC\nB%21\tC\nC\tD\nC\tC\n",
    "paths_finished.tsv": "x\t0\t0\tA;B%21;<;C;D\tNULL\n" * 40,
    "paths_unfinished.tsv": "x\t0\t0\tA;C\tD\trestart\n" * 40,
}


def write(folder: Path, **changes: str) -> Path:
    for name, text in {**TABLES, **{f"{key}.tsv": value for key, value in changes.items()}}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_back_clicks_pop_the_stack_and_stay_seen() -> None:
    clicks = list(Trace((0, 1, BACK, 2, 3), 3, Outcome.FINISHED).clicks())
    assert [click.stack for click in clicks] == [(0,), (0,), (0, 2)]
    assert clicks[-1].seen == (0, 1, 2)
    assert [click.final for click in clicks] == [False, False, True]


def test_an_unfinished_trace_has_no_final_click() -> None:
    assert not any(click.final for click in Trace((0, 1), 1, Outcome.UNFINISHED).clicks())


@given(st.lists(st.integers(-1, 5), max_size=12))
def test_a_stack_is_never_empty_and_a_click_adds_one_page(steps: list[int]) -> None:
    try:
        clicks = list(Trace((0, *steps)).clicks())
    except TraceError as error:
        assert error.kind == "empty stack"
        return
    assert len(clicks) == sum(step != BACK for step in steps)
    assert all(click.stack[0] == 0 and set(click.stack) <= set(click.seen) for click in clicks)


@pytest.mark.parametrize(
    ("trace", "kind"),
    [
        (Trace(()), "no start"),
        (Trace((0, BACK)), "empty stack"),
        (Trace((1, 0)), "no link"),
        (Trace((0, 1), 2, Outcome.FINISHED), "ends elsewhere"),
    ],
)
def test_impossible_traces_name_their_fault(trace: Trace, kind: str) -> None:
    graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2])
    with pytest.raises(TraceError) as caught:
        trace.check(graph)
    assert caught.value.kind == kind


def test_a_trace_shows_as_what_makes_it() -> None:
    assert repr(Trace((0,))) == "Trace((0,), target=None, outcome=Outcome.OPEN, source='')"
    trace = Trace((0, 1, BACK, 2), 2, Outcome.FINISHED, "wikispeedia")
    assert eval(repr(trace)) == trace  # noqa: S307 - a repr of this file's own
    assert ", 19, ... 80 more)" in repr(Trace(tuple(range(100))))


def test_a_table_aligns_paths_at_their_ends() -> None:
    table = ClickTable.from_traces([Trace((0, 1, 2), 2, Outcome.FINISHED)], ["a", "b", "c"])
    assert table.stack[:, -2:].tolist() == [[-1, 0], [0, 1]]
    assert table.page.tolist() == [0, 1] and table.chosen.tolist() == [1, 2] and table.depth.tolist() == [1, 2]
    assert set(table.bucket.tolist()) == {name_bucket("a\tc")}
    assert table.take(table.final).chosen.tolist() == [2]


def test_positions_point_at_the_clicked_links() -> None:
    graph = TopicGraph.from_links(["a", "b", "c"], [0, 0, 1], [1, 2, 2])
    table = ClickTable.from_traces([Trace((0, 2)), Trace((0, 1, 2))], graph.titles)
    assert np.array_equal(graph.indices[positions(graph, table)], table.chosen)
    with pytest.raises(TraceError):
        positions(graph, ClickTable.from_traces([Trace((2, 0))], graph.titles))


def test_wikispeedia_is_read_by_raw_names(tmp_path: Path) -> None:
    source = WikispeediaTraces(write(tmp_path))
    assert source.graph.titles == ("A", "B!", "C", "D")
    assert source.graph.categories[0] == "Science.Physics"
    traces = list(source)
    assert traces[0] == Trace((0, 1, BACK, 2, 3), 3, Outcome.FINISHED, "wikispeedia")
    assert next(trace for trace in traces if trace.outcome is Outcome.UNFINISHED).target == 3
    assert len(traces) == 80


def test_wikispeedia_is_read_from_the_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "wikispeedia_paths-and-graph.tar.gz", "w:gz") as archive:
        for name, text in TABLES.items():
            member = tarfile.TarInfo(f"wikispeedia_paths-and-graph/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    assert len(list(WikispeediaTraces(tmp_path))) == 80


def test_bad_rows_are_counted_by_reason(tmp_path: Path) -> None:
    bad = "x\t0\t0\tA;Nowhere\tNULL\nx\t0\t0\tA;D\tNULL\nx\t0\n"
    source = WikispeediaTraces(write(tmp_path, paths_finished=TABLES["paths_finished.tsv"] * 2 + bad))
    assert sum(trace.outcome is Outcome.FINISHED for trace in source) == 80
    assert source.tally.skipped == {"unknown topic": 1, "no link": 1, "malformed row": 1}


def test_too_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    bad = "x\t0\t0\tA;<;<\tD\trestart\n" * 3
    source = WikispeediaTraces(write(tmp_path, paths_unfinished=TABLES["paths_unfinished.tsv"] + bad))
    with pytest.raises(DataError, match="empty stack: 3"):
        list(source)


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"articles\.tsv"):
        WikispeediaTraces(tmp_path)


def test_a_link_to_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Nowhere"):
        WikispeediaTraces(write(tmp_path, links="A\tNowhere\n"))
