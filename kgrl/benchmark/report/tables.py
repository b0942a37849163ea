"""The tables of a benchmark's report, each in three forms: on the page, as CSV, and in Markdown.

Names, titles and error messages come from others: each form escapes them in its own way.
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


NONE = "none"
"""What stands where a figure does not exist."""

WORDS = ("better", "worse", "not distinguishable", "missing")
"""What a verdict is, in the order that it is counted in."""

_FIGURES = ("difference", "speedup", "censored", "aulc_iqm")
"""What an agent without a finished cell has none of, even where nobody has any."""

_NATS = "nats per token"


@dataclass(frozen=True)
class Column:
    """A column as it is read: its heading, and what is written for a row.

    Args:
        heading: The heading.
        shown: From a row to text.
        unit: A line under the heading, or nothing.
        detail: From a row to what stands smaller beside it, an interval for example, or nothing.
        text: Whether it is text, and not a number.
        style: A class of the page's cells, from a row, or nothing.
    """

    heading: str
    shown: Callable[[Row], str]
    unit: str = ""
    detail: Callable[[Row], str] | None = None
    text: bool = False
    style: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Table:
    """Rows, all of whose plain values go into the CSV, and the columns that are read.

    Args:
        columns: What is read, the row's name first.
        rows: The rows.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]

    def html(self, caption: str) -> str:
        """Return the table as an element that scrolls sideways and can be reached by keyboard.

        Args:
            caption: What it shows, for readers who hear it.
        """
        heads = "".join(_head(column) for column in self.columns)
        body = "".join(self._row(row) for row in self.rows)
        name = html.escape(caption, quote=True)
        table = f'<table><caption class="unseen">{name}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody>'
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{table}</table></div>'

    def markdown(self) -> str:
        """Return the table in Markdown, with pipes and line breaks escaped."""
        lines = [[f"{c.heading} ({c.unit})" if c.unit else c.heading for c in self.columns]]
        lines += [["---" if column.text else "---:" for column in self.columns]]
        lines += [[_cell(_line(column, row)) for column in self.columns] for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """Return every plain value of the rows as CSV: numbers in full, an empty field for None."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        written = io.StringIO()
        writer = csv.DictWriter(written, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return written.getvalue()

    def _row(self, row: Row) -> str:
        first, *others = self.columns
        cells = "".join(f"<td{_class(column, row)}>{_inside(column, row)}</td>" for column in others)
        return f'<tr><th scope="row">{html.escape(first.shown(row))}</th>{cells}</tr>'


def number(value: Any, form: str = ".3f") -> str:
    """Return a figure as text, or that there is none.

    Example:
        >>> number(1234.5, ",.0f"), number(None)
        ('1,234', 'none')
    """
    return NONE if value is None else format(value, form)


def share(value: Any) -> str:
    """Return a share as per cent, or that there is none."""
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


def listed(lines: Iterable[str]) -> str:
    """Return lines of untrusted text as a list of the page."""
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _head(column: Column) -> str:
    unit = f"<small>{html.escape(column.unit)}</small>" if column.unit else ""
    text = ' class="text"' if column.text else ""
    return f'<th scope="col"{text}>{html.escape(column.heading)}{unit}</th>'


def _detail(column: Column, row: Row) -> str:
    return column.detail(row) if column.detail else ""


def _inside(column: Column, row: Row) -> str:
    detail = _detail(column, row)
    return html.escape(column.shown(row)) + (f"<small>{html.escape(detail)}</small>" if detail else "")


def _line(column: Column, row: Row) -> str:
    detail = _detail(column, row)
    return column.shown(row) + (f" ({detail})" if detail else "")


def _class(column: Column, row: Row) -> str:
    names = (["text"] if column.text else []) + ([column.style(row)] if column.style else [])
    return f' class="{html.escape(" ".join(names))}"' if names else ""


def _cell(text: str) -> str:
    """Text within a cell of Markdown: what would be markup or end the cell is escaped."""
    line = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{character}" if character in "\\|`*_[]" else character for character in line)


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
        Column("verdict", _word, text=True, style=lambda row: f"verdict {_verdict_class(row)}"),
        Column("AULC", lambda row: number(row["aulc_iqm"]) if row["seeds"] else "missing", _NATS),
        Column("difference", _difference, _NATS, lambda row: _of_others(row, _interval(row, "difference", "+.3f"))),
        Column("speed-up", _speedup, "times fewer tokens", lambda row: _of_others(row, _speedup_interval(row))),
        Column("paired seeds", lambda row: f"{row['pairs']} of {seeds}"),
        Column("in words", _sentence, text=True, style=lambda row: "sentence"),
    ]
    return Table(columns, verdict_rows(results, place))


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """Return how often each verdict was given; random is not judged against itself."""
    words = [row["verdict"] for row in rows if row["agent"] != BASELINE]
    return {word: words.count(word) for word in WORDS}


def aggregate_table(rows: Sequence[Row], places: int) -> Table:
    """Return the aggregates of a learner's agents.

    Args:
        rows: The learner's, of what `kgrl.benchmark.report.results.aggregates` returns.
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
    """Return what an average cell of each of a learner's agents took, places weighing the same."""
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
    """Return what agents' cells took.

    Args:
        rows: What `cost_rows` or `kgrl.benchmark.report.results.costs` returns.
    """
    columns = [
        _AGENT,
        Column("cells", lambda row: _or_missing(row, f"{row['cells']:.0f}")),
        Column("trained on", lambda row: _or_missing(row, number(row["tokens"], ",.0f")), "tokens"),
        Column("measured", lambda row: _or_missing(row, number(row["probe_tokens"], ",.0f")), "tokens"),
        Column("operations", lambda row: _or_missing(row, number(row["flops"], ".2e")), "FLOPs"),
        Column("time", lambda row: _or_missing(row, number(row["seconds"], ",.1f")), "seconds"),
        *(Column(phase, _share(f"share_{phase}"), "of the time") for phase in PHASES),
        Column("overhead", _share("overhead"), "outside the learner"),
    ]
    return Table(columns, rows)


def _share(name: str) -> Callable[[Row], str]:
    return lambda row: _or_missing(row, share(row[name]))


def kept_table(rows: Sequence[Row]) -> Table:
    """Return what was kept of what was learned.

    Args:
        rows: What `kgrl.benchmark.report.results.kept` returns.
    """
    names = dict(zip(KEPT, ("ACC", "BWT", "FWT", "forgetting"), strict=True))
    columns = [_with_interval(name, heading, _NATS, "+.3f") for name, heading in names.items()]
    return Table([_AGENT, *columns], rows)


def noise_table(rows: Sequence[Row]) -> Table:
    """Return the noise budgets.

    Args:
        rows: What `kgrl.benchmark.report.results.noise` returns.
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
    def shown(row: Row) -> str:
        return number(row[name], form) if name in row else "missing"

    return Column(heading, shown, unit, lambda row: _interval(row, name, form))


def _interval(row: Row, name: str, form: str) -> str:
    return "" if row.get(name) is None else span(row[f"{name}_low"], row[f"{name}_high"], form)


def _word(row: Row) -> str:
    return "baseline" if _is_baseline(row) else str(row["verdict"])


def _verdict_class(row: Row) -> str:
    """The class of the page that colours a verdict."""
    return _word(row).replace(" ", "-")


def _sentence(row: Row) -> str:
    return "What the others are compared with." if _is_baseline(row) else str(row["sentence"])


def _is_baseline(row: Row) -> bool:
    return bool(row["agent"] == BASELINE and row["seeds"])


def _of_others(row: Row, text: str) -> str:
    """A figure that compares with random: random itself has none."""
    return "" if _is_baseline(row) else text


def _or_missing(row: Row, text: str) -> str:
    return text if row["cells"] else "missing"


def _difference(row: Row) -> str:
    return _of_others(row, number(row["difference"], "+.3f"))


def _speedup(row: Row) -> str:
    """A ratio, or the bound that it is where runs never got to the target."""
    bound = "at most " if row["censored"] else ""
    return _of_others(row, number(row["speedup"] and f"{bound}{row['speedup']:.2f}", ""))


def _speedup_interval(row: Row) -> str:
    if row["speedup"] is None:
        return ""
    limits = span(row["speedup_low"] or None, row["speedup_high"], ".2f")
    return f"{limits}; {row['censored']} of {row['pairs']} never there" if row["censored"] else limits
