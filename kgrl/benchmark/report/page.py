"""The benchmark's page, and everything beside it: tables, pictures, curricula and Markdown.

The page's sections are in `templates/page.html`: verdicts, curves, facts, aggregates, cost, forgetting, noise,
curricula, and the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.computed import Computed, csv_tables
from kgrl.benchmark.report.curricula import cell_name, shown_curricula, write_curricula
from kgrl.benchmark.report.figures import dots_figure, exam_curves_figure, phases_figure, profiles_figure
from kgrl.benchmark.report.known import groups_of, known_table, recall_figure
from kgrl.benchmark.report.markdown import PROTOCOL, as_markdown, commands
from kgrl.benchmark.report.pictures import draw_pictures
from kgrl.benchmark.report.results import Gap, PlaceKey, Results, Row
from kgrl.benchmark.report.tables import (
    MARKS,
    aggregate_table,
    cost_table,
    gaps_table,
    kept_table,
    noise_table,
    summary,
    verdict_table,
)
from kgrl.benchmark.scores import CEILING
from kgrl.report.html import render
from kgrl.system.files import write_text

__all__ = ["as_page", "write_benchmark_report"]

_TITLE = "Does it beat random?"
_FORGETTING = "forgetting"
"""The task whose places have the figures of forgetting."""

# What the template calls to make its tables and figures, where they stand.
_MAKERS = (
    aggregate_table,
    cell_name,
    cost_table,
    dots_figure,
    exam_curves_figure,
    gaps_table,
    groups_of,
    kept_table,
    known_table,
    noise_table,
    phases_figure,
    profiles_figure,
    recall_figure,
    summary,
    verdict_table,
)


def write_benchmark_report(folder: Path) -> Path:
    """Write the report of a benchmark into the folder that holds its results; each file is replaced atomically.

    Args:
        folder: The folder that `kgrl bench` was given as `--out`.

    Returns:
        The page.

    Raises:
        KgrlError: If the folder holds no results.
    """
    computed = Computed.of(Results.read(folder))
    for name, table in csv_tables(computed).items():
        write_text(folder / "tables" / f"{name}.csv", table.csv())
    write_curricula(computed.results, folder / "curricula.parquet")
    draw_pictures(computed, folder / "figures")
    write_text(folder / "report.md", as_markdown(computed))
    # The page is last: whoever finds it finds the files that it names.
    write_text(folder / "report.html", as_page(computed))
    return folder / "report.html"


def as_page(computed: Computed) -> str:
    """Return the page as one HTML document."""
    results = computed.results
    kept = {place: rows for place, rows in computed.kept.items() if rows}
    noise = {place: _least_noise_first(rows) for place, rows in computed.noise.items() if rows}
    known = {place: rows for place, rows in computed.known.items() if rows}
    return render(
        "benchmark/page.html",
        title=_TITLE,
        version=version("kgrl"),
        baseline=BASELINE,
        ceiling=CEILING,
        marks=MARKS,
        computed=computed,
        results=results,
        sections=_sections(known=bool(known), kept=bool(kept), noise=bool(noise)),
        cells=_cells(results),
        verdicts=summary(row for rows in computed.verdicts.values() for row in rows),
        known=known,
        kept=kept,
        forgetting_places=[place for place in kept if place.task == _FORGETTING] or list(kept)[:1],
        noise=noise,
        curricula=shown_curricula(results),
        commands=commands(results),
        protocol=PROTOCOL,
        glance=_glance,
        partly_missing=_partly_missing,
        **{make.__name__: make for make in _MAKERS},
    )


def _sections(*, known: bool, kept: bool, noise: bool) -> dict[str, str]:
    """Headings of the page's sections by their names in links, without sections that have no data."""
    return {
        "verdicts": "Verdicts",
        "curves": "Sample efficiency",
        **({"known": "Facts known"} if known else {}),
        "aggregates": "All places together",
        "cost": "Cost",
        **({"kept": "Forgetting"} if kept else {}),
        **({"noise": "Noise budget"} if noise else {}),
        "curricula": "Curricula",
        "how": "How this was made",
    }


def _cells(results: Results) -> dict[str, int]:
    """Number of cells by outcome."""
    return {
        "finished": sum(row["status"] == "finished" for row in results.rows),
        "failed": sum(gap.cells for gap in results.gaps if gap.error is not None),
        "missing": sum(gap.cells for gap in results.gaps if gap.error is None),
    }


class _Glance(NamedTuple):
    """One cell of the overview of verdicts.

    Args:
        word: The verdict.
        shown: The cell's text.
        title: The sentence that appears over the cell, if any.
    """

    word: str
    shown: str
    title: str = ""


def _glance(computed: Computed, place: PlaceKey, agent: str) -> _Glance:
    row = next(row for row in computed.verdicts[place] if row["agent"] == agent)
    if agent == BASELINE and row["seeds"]:
        return _Glance("baseline", "baseline")
    without = "no pair" if row["seeds"] else "missing"
    gain = without if row["difference"] is None else f"{-row['difference']:+.3f}"
    star = "*" if row["seeds"] and computed.results.gaps_of(place, agent) else ""
    shown = f"{MARKS[row['verdict']]} {gain}{star}"
    return _Glance(row["verdict"], shown, f"{agent}, {place.name}: {row['sentence']}")


def _partly_missing(results: Results, place: PlaceKey) -> list[Gap]:
    """Gaps of the agents that have finished cells in a place; the others' gaps are in the table of verdicts."""
    return [gap for gap in results.gaps_of(place) if results.finished(place, gap.agent)]


def _least_noise_first(rows: Sequence[Row]) -> list[Row]:
    # A share is at most 1, so agents without one come last.
    return sorted(rows, key=lambda row: float(row.get("noise_share", 2.0)))
