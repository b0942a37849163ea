"""What the figures of traces say, against definitions computed another way."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.graph import TopicGraph
from kgrl.report.page import write_trace_report
from kgrl.traces import BACK, Outcome, Trace
from kgrl.traces.statistics import TraceStats, trace_stats

TITLES = ["a", "b", "c", "d", "e"]
CATEGORIES = ["North", "North", "South", "", "South"]
GRAPH = TopicGraph.from_links(TITLES, [0, 0, 1, 2, 2, 3, 4, 4, 1], [1, 2, 2, 0, 3, 4, 0, 1, 4], CATEGORIES)


@st.composite
def walks(draw: st.DrawFn) -> Trace:
    stack = [draw(st.integers(0, 4))]
    steps = [*stack]
    for _ in range(draw(st.integers(0, 14))):
        step = draw(st.sampled_from([*GRAPH.out(stack[-1]).tolist(), *([BACK] if len(stack) > 1 else [])]))
        steps.append(step)
        stack = stack[:-1] if step == BACK else [*stack, step]
    return Trace(tuple(steps), source="test")


def only(traces: list[Trace]) -> TraceStats:
    (stats,) = trace_stats(traces, GRAPH).values()
    return stats


def test_steps_and_returns_are_counted() -> None:
    """a, b, back to a, c, a again by a link: four steps, two of them to a page opened before."""
    stats = only([Trace((0, 1, BACK, 2, 0))])
    assert (stats.traces, stats.steps, stats.backs, stats.returns) == (1, 4, 1, 2)
    assert (stats.back_share, stats.return_rate) == (0.25, 0.5)


def test_a_forward_click_from_a_page_reached_by_going_back_counts_from_there() -> None:
    """a (North), c (South), back, b (North): one move leaves, one stays."""
    stats = only([Trace((0, 2, BACK, 1))])
    assert stats.moves == {("North", "South"): 1, ("North", "North"): 1}
    assert stats.within_category == 0.5


def test_topics_without_a_category_make_no_moves() -> None:
    stats = only([Trace((2, 3, 4))])
    assert not stats.moves and stats.within_category is None


def test_a_tight_walk_clusters_and_a_chain_does_not() -> None:
    assert only([Trace((0, 1, 2))]).clustering == 1.0
    assert only([Trace((2, 3, 4))]).clustering == 0.0
    assert only([Trace((0, 1))]).clustering is None


@given(st.lists(walks(), min_size=1, max_size=6))
def test_clustering_is_that_of_networkx(traces: list[Trace]) -> None:
    undirected = GRAPH.to_networkx().to_undirected()
    networks = [{TITLES[step] for step in trace.steps if step != BACK} for trace in traces]
    expected = [nx.average_clustering(undirected.subgraph(pages)) for pages in networks if len(pages) >= 3]
    clustering = only(traces).clustering
    assert clustering == (pytest.approx(np.mean(expected)) if expected else None)


@given(st.lists(walks(), min_size=1, max_size=6))
def test_figures_add_up(traces: list[Trace]) -> None:
    stats = only(traces)
    figures = json.loads(json.dumps(stats.figures(), allow_nan=False))
    assert sum(figures["lengths"].values()) == figures["traces"] == len(traces)
    assert sum(int(length) * count for length, count in figures["lengths"].items()) == figures["steps"]
    assert 0 <= figures["back_share"] <= figures["return_rate"] <= 1
    opened = sum(len({step for step in trace.steps if step != BACK}) for trace in traces)
    assert stats.returns == stats.steps - (opened - len(traces)), "every other step opens a page for the first time"


@given(st.lists(walks(), min_size=1, max_size=6), st.integers(1, 3))
def test_the_matrix_holds_every_move(traces: list[Trace], most: int) -> None:
    stats = only(traces)
    names, matrix = stats.category_matrix(most)
    assert matrix.sum() == stats.moves.total()
    assert matrix.shape == (len(names), len(names)) and len(names) <= most + 1
    for before in set(names) - {"other"}:
        for after in set(names) - {"other"}:
            assert matrix[names.index(before), names.index(after)] == stats.moves[before, after]


def test_sources_are_kept_apart() -> None:
    traces = [Trace((0, 1), source="me"), Trace((0, 2), 2, Outcome.FINISHED, "you"), Trace((0,), source="me")]
    stats = trace_stats(iter(traces), GRAPH)
    assert {name: s.traces for name, s in stats.items()} == {"me": 2, "you": 1}
    assert stats["you"].figures()["outcomes"] == {"finished": 1}


def test_no_trace_has_no_figures() -> None:
    assert trace_stats([], GRAPH) == {}
    with pytest.raises(ValueError, match="no trace"):
        TraceStats().figures()


HOSTILE = "</script><img src=x onerror=alert(2)>"


def test_the_page_holds_the_figures_and_escapes_names(tmp_path: Path) -> None:
    graph = TopicGraph.from_links(["a", "b", "c"], [0, 1, 2], [1, 2, 0], [HOSTILE, "North", HOSTILE])
    stats = trace_stats([Trace((0, 1, BACK, 1, 2, 0), source=HOSTILE), Trace((0,), source="short")], graph)
    write_trace_report(tmp_path / "t.html", f"Traces of {HOSTILE}", stats)
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<img" not in page.split("</style>")[0]
    body = page[page.index("<body>") :]
    assert "<img" not in body and "onerror" in body
    assert "2 rabbit holes" in body and "<td>0.600</td>" in body and "none" in body
    figures = [json.loads(text.split("</script>")[0]) for text in body.split('<script type="application/json">')[1:]]
    assert [figure["data"][0]["type"] for figure in figures] == ["scatter", "bar", "heatmap"]
    # Of the three clicks from the hostile category one stays, and the one from North leaves.
    assert figures[2]["data"][0]["z"] == [pytest.approx([1 / 3, 2 / 3]), [1.0, 0.0]]


def test_a_page_needs_traces(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs traces"):
        write_trace_report(tmp_path / "t.html", "nothing", {})
