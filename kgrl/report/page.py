"""The report pages: about some runs on one topic graph, and about traces. Each is one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kgrl.graph.topic_graph import TopicGraph
from kgrl.report.data import GrownTree, RunData
from kgrl.report.figures import (
    SHARES,
    components_figure,
    curves_figure,
    lengths_figure,
    moves_figure,
    shares_figure,
    standing_figure,
    trace_shares,
    tree_figure,
)
from kgrl.report.html import render
from kgrl.report.known import known_facts
from kgrl.system.files import write_text
from kgrl.traces.statistics import TraceStats

__all__ = ["write_report", "write_trace_report"]

_PHASES = ("research", "learn", "probe", "exam")


def write_report(
    path: Path, title: str, runs: Sequence[RunData], graph: TopicGraph, target: float | None = None
) -> None:
    """Write a report of some runs on one topic graph, atomically.

    Args:
        path: The HTML file.
        title: The page's heading.
        runs: The runs, the baseline first.
        graph: The topic graph that they grew on.
        target: The exam loss that tokens are counted to, in nats per token; the baseline's last loss if None.

    Raises:
        ValueError: If `runs` is empty.
    """
    if not runs:
        raise ValueError("a report needs a run")
    target = runs[0].curve[-1][1] if target is None else target
    trees = [
        GrownTree.grow(graph, run.expansions, knowledge=run.knowledge, prerequisites=run.prerequisites) for run in runs
    ]
    knowing = any(run.knowledge is not None for run in runs)
    page = render(
        "report/runs.html",
        title=title,
        runs=runs,
        graph=graph,
        target=target,
        phases=_PHASES,
        curves=curves_figure(runs, target),
        facts=[(run, found) for run in runs if (found := list(known_facts(run, graph)))],
        rewards=components_figure(runs) if any(run.rewarded for run in runs) else None,
        standing=standing_figure(runs) if knowing else None,
        grown=[(run, tree, tree_figure(graph, run, tree)) for run, tree in zip(runs, trees, strict=True)],
    )
    write_text(path, page)


def write_trace_report(path: Path, title: str, stats: Mapping[str, TraceStats]) -> None:
    """Write a page about traces, by source, atomically.

    Args:
        path: The HTML file.
        title: The page's heading.
        stats: The statistics of each source, as `kgrl.traces.statistics.trace_stats` returns them.

    Raises:
        ValueError: If `stats` is empty.
    """
    if not stats:
        raise ValueError("a report needs traces")
    page = render(
        "report/traces.html",
        title=title,
        stats=stats,
        shares=SHARES,
        shares_of=trace_shares,
        lengths=lengths_figure(stats),
        tightness=shares_figure(stats),
        # A source whose topics have no categories has no moves.
        moves={name: moves_figure(source) for name, source in stats.items() if source.moves},
    )
    write_text(path, page)
