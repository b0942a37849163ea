"""Tables of a benchmark's report: their rows and columns, as CSV and in Markdown.

The page's template writes the same tables as HTML. Names, titles and error messages come from unchecked data: each form
escapes them in its own way.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgrl.benchmark.comparison import BASELINE
from kgrl.benchmark.report.results import KEPT, PHASES, PlaceKey, Results, Row, costs

__all__ = [
    "MARKS",
    "Column",
    "Table",
    "aggregate_table",
    "cost_rows",
    "cost_table",
    "gaps_table",
    "kept_table",
    "noise_table",
    "number",
    "share",
    "span",
    "summary",
    "verdict_rows",
    "verdict_table",
]

MARKS = {"better": "▲", "worse": "▼", "not distinguishable": "≈", "missing": "–"}
"""The verdicts, in the order that they are counted in, with signs for readers who cannot tell the colours apart."""

_NONE = "none"
"""Text of a figure that does not exist."""

_MISSING = "missing"
"""Text of a figure of an agent without a finished cell."""

_FIGURES = ("difference", "speedup", "censored", "aulc_iqm")
"""Figures that an agent without a finished cell has as None, even where no agent has them."""

_NATS = "nats per token"


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and functions from a row to text.

    Args:
        heading: The heading.
        shown: The cell's text.
        unit: A line under the heading, or empty.
        detail: Smaller text beside it, an interval for example; None for a column without.
        text: True for text, False for a number.
        style: A class of the page's cells; None for a column without.
    """

    heading: str
    shown: Callable[[Row], str]
    unit: str = ""
    detail: Callable[[Row], str] | None = None
    text: bool = False
    style: Callable[[Row], str] | None = None

    def detail_of(self, row: Row) -> str:
        """Return the smaller text beside a row's cell, or nothing."""
        return self.detail(row) if self.detail else ""

    def classes(self, row: Row) -> str:
        """Return the classes of a row's cell on the page, or nothing."""
        return " ".join([*(["text"] if self.text else []), *([self.style(row)] if self.style else [])])


@dataclass(frozen=True)
class Table:
    """A table: its rows, and the columns that are shown of them.

    Args:
        columns: The columns on the page and in Markdown, the row's name first.
        rows: The rows; all their values are in the CSV.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]

    def markdown(self) -> str:
        r"""Return the table in Markdown, with pipes and line breaks escaped.

        Example:
            >>> print(Table([Column("agent", lambda row: row["agent"], text=True)], [{"agent": "a|b"}]).markdown())
            | agent |
            | --- |
            | a\|b |
            <BLANKLINE>
        """
        lines = [[f"{c.heading} ({c.unit})" if c.unit else c.heading for c in self.columns]]
        lines += [["---" if column.text else "---:" for column in self.columns]]
        lines += [[_markdown_cell(column, row) for column in self.columns] for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """Return all values of the rows as CSV: numbers in full, an empty field for None."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        written = io.StringIO()
        writer = csv.DictWriter(written, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return written.getvalue()


def _markdown_cell(column: Column, row: Row) -> str:
    """A cell of Markdown, in which characters that would be markup or end the cell are escaped."""
    detail = column.detail_of(row)
    text = column.shown(row) + (f" ({detail})" if detail else "")
    # Markdown lets HTML through, so that is escaped too; `split` removes line breaks, which would end the row.
    line = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{character}" if character in "\\|`*_[]" else character for character in line)


# --- Numbers as text ---


def number(value: Any, form: str = ".3f") -> str:
    """Return a figure as text, "none" for None.

    Example:
        >>> number(1234.5, ",.0f"), number(None)
        ('1,234', 'none')
    """
    return _NONE if value is None else format(value, form)


def share(value: Any) -> str:
    """Return a share in per cent, "none" for None.

    Example:
        >>> share(0.125), share(None)
        ('12.5%', 'none')
    """
    return number(value, ".1%")


def span(low: Any, high: Any, form: str = ".3f") -> str:
    """Return an interval as text; a limit that is None is open.

    Example:
        >>> span(1.0, 2.5, ".1f"), span(1.0, None, ".1f"), span(None, 2.0, ".1f"), span(None, None)
        ('1.0 to 2.5', '1.0 or more', '2.0 or less', 'unbounded')
    """
    if low is None and high is None:
        return "unbounded"
    if low is None or high is None:
        return f"{high:{form}} or less" if low is None else f"{low:{form}} or more"
    return f"{low:{form}} to {high:{form}}"


# --- Verdicts ---

_AGENT = Column("agent", lambda row: str(row["agent"]), text=True)


def verdict_rows(results: Results, place: PlaceKey) -> list[Row]:
    """Return a place's figures from best to worst, then a row without figures for each agent with no finished cell."""
    rows: list[Row] = results.ranked(place)
    names = dict.fromkeys((*_FIGURES, *(name for row in results.figures for name in row)))
    at = {"task": place.task, "corpus": place.corpus, "learner": place.learner}
    for agent in results.agents(place.learner):
        if not results.finished(place, agent):
            why = "; ".join(gap.sentence for gap in results.gaps_of(place, agent))
            told = {"agent": agent, "seeds": 0, "pairs": 0, "verdict": "missing", "sentence": f"{why}."}
            rows = [row for row in rows if row["agent"] != agent] + [names | at | told]
    return rows


def verdict_table(results: Results, place: PlaceKey) -> Table:
    """Return the verdict on each agent of a place, against random, in words and in figures."""
    seeds = len(results.seeds(place.learner))
    columns = [
        _AGENT,
        Column("verdict", _word, text=True, style=lambda row: f"verdict {_word(row).replace(' ', '-')}"),
        Column("AULC", lambda row: number(row["aulc_iqm"]) if row["seeds"] else _MISSING, _NATS),
        Column(
            "difference",
            lambda row: _of_others(row, number(row["difference"], "+.3f")),
            _NATS,
            lambda row: _of_others(row, _interval(row, "difference", "+.3f")),
        ),
        Column("speed-up", _speedup, "times fewer tokens", lambda row: _of_others(row, _speedup_interval(row))),
        Column("paired seeds", lambda row: f"{row['pairs']} of {seeds}"),
        Column("in words", _sentence, text=True, style=lambda row: "sentence"),
    ]
    return Table(columns, verdict_rows(results, place))


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """Return how often each verdict was given; random is not judged against itself."""
    words = [row["verdict"] for row in rows if row["agent"] != BASELINE]
    return {word: words.count(word) for word in MARKS}


def _word(row: Row) -> str:
    return "baseline" if _is_baseline(row) else str(row["verdict"])


def _sentence(row: Row) -> str:
    return "What the others are compared with." if _is_baseline(row) else str(row["sentence"])


def _is_baseline(row: Row) -> bool:
    return bool(row["agent"] == BASELINE and row["seeds"])


def _of_others(row: Row, text: str) -> str:
    """A figure that compares with random; random itself has none."""
    return "" if _is_baseline(row) else text


def _speedup(row: Row) -> str:
    """A ratio of tokens; an upper bound where some runs never reached the target."""
    bound = "at most " if row["censored"] else ""
    return _of_others(row, number(row["speedup"] and f"{bound}{row['speedup']:.2f}", ""))


def _speedup_interval(row: Row) -> str:
    if row["speedup"] is None:
        return ""
    # A ratio is above 0, so a lower limit of 0 says nothing and counts as open.
    limits = span(row["speedup_low"] or None, row["speedup_high"], ".2f")
    return f"{limits}; {row['censored']} of {row['pairs']} never there" if row["censored"] else limits


# --- Aggregates, costs, forgetting and noise ---


def aggregate_table(rows: Sequence[Row], places: int) -> Table:
    """Return the aggregates of a learner's agents.

    Args:
        rows: The learner's rows of `kgrl.benchmark.report.results.aggregates`.
        places: Number of the learner's places.
    """
    rival = next((row["rival"] for row in rows if row.get("rival")), None)
    ahead = [_with_interval("ahead", "score less the best bandit's", str(rival), "+.3f")] if rival else []
    columns = [
        _AGENT,
        _with_interval("score", "normalised score", "interquartile mean", ".3f"),
        _with_interval("improvement", f"improvement over {BASELINE}", "probability", ".3f"),
        *ahead,
        Column("places", lambda row: f"{row.get('places', 0)} of {places}", "with scores"),
    ]
    return Table(columns, rows)


def cost_rows(results: Results, learner: str) -> list[dict[str, Any]]:
    """Return the mean cost of a cell of each of a learner's agents, places weighing the same."""
    by_agent: dict[str, list[Row]] = {agent: [] for agent in results.agents(learner)}
    for place in results.learners[learner]:
        for row in costs(results, place):
            by_agent[row["agent"]].append(row)
    return [{"agent": agent, **_means(rows)} for agent, rows in by_agent.items()]


def _means(rows: Sequence[Row]) -> dict[str, float | None]:
    names = ("tokens", "probe_tokens", "flops", "seconds", *(f"share_{phase}" for phase in PHASES), "overhead")
    known = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    cells = {"cells": float(sum(row["cells"] for row in rows))}
    return cells | {name: float(np.mean(values)) if values else None for name, values in known.items()}


def cost_table(rows: Sequence[Row]) -> Table:
    """Return the cost of agents' cells.

    Args:
        rows: Rows of `cost_rows` or of `kgrl.benchmark.report.results.costs`.
    """
    columns = [
        _AGENT,
        _cost("cells", "cells", ".0f"),
        _cost("tokens", "trained on", ",.0f", "tokens"),
        _cost("probe_tokens", "measured", ",.0f", "tokens"),
        _cost("flops", "operations", ".2e", "FLOPs"),
        _cost("seconds", "time", ",.1f", "seconds"),
        *(_cost(f"share_{phase}", phase, ".1%", "of the time") for phase in PHASES),
        _cost("overhead", "overhead", ".1%", "outside the learner"),
    ]
    return Table(columns, rows)


def _cost(name: str, heading: str, form: str, unit: str = "") -> Column:
    return Column(heading, lambda row: number(row[name], form) if row["cells"] else _MISSING, unit)


def kept_table(rows: Sequence[Row]) -> Table:
    """Return the figures of forgetting and transfer.

    Args:
        rows: Rows of `kgrl.benchmark.report.results.kept`.
    """
    names = dict(zip(KEPT, ("ACC", "BWT", "FWT", "forgetting"), strict=True))
    columns = [_with_interval(name, heading, _NATS, "+.3f") for name, heading in names.items()]
    return Table([_AGENT, *columns], rows)


def noise_table(rows: Sequence[Row]) -> Table:
    """Return the noise budgets.

    Args:
        rows: Rows of `kgrl.benchmark.report.results.noise`.
    """
    return Table([_AGENT, _with_interval("noise_share", "noise budget", "share of tokens", ".1%")], rows)


def gaps_table(results: Results) -> Table:
    """Return the cells without figures, and why."""
    columns = [
        _AGENT,
        Column("task", lambda row: row["task"], text=True),
        Column("corpus", lambda row: row["corpus"], text=True),
        Column("learner", lambda row: row["learner"], text=True),
        Column("seeds", lambda row: row["seeds"], text=True),
        Column("what happened", lambda row: row["error"] or "missing: not carried out", text=True),
    ]
    rows = [
        {
            "task": gap.place.task,
            "corpus": gap.place.corpus,
            "learner": gap.place.learner,
            "agent": gap.agent,
            "seeds": ", ".join(map(str, gap.seeds)),
            "error": None if gap.error is None else f"failed: {gap.error}",
        }
        for gap in results.gaps
    ]
    return Table(columns, rows)


def _with_interval(name: str, heading: str, unit: str, form: str) -> Column:
    """A figure with its interval. A row without the figure's name is of an agent without a finished cell."""

    def shown(row: Row) -> str:
        return number(row[name], form) if name in row else _MISSING

    return Column(heading, shown, unit, lambda row: _interval(row, name, form))


def _interval(row: Row, name: str, form: str) -> str:
    return "" if row.get(name) is None else span(row[f"{name}_low"], row[f"{name}_high"], form)
