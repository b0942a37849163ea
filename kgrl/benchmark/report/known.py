"""Facts known over tokens, of places whose tasks ask for facts: rows, a table and a figure by group of questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kgrl.benchmark.report.figures import Look, exam_curves_figure
from kgrl.benchmark.report.results import PlaceKey, Results, Row
from kgrl.benchmark.report.tables import Column, Table, number, span
from kgrl.benchmark.statistics import efficiency_curve, paired_difference
from kgrl.runs.metrics import RECALL_LEVEL, Curve, known, smooth

__all__ = ["groups_of", "known_rows", "known_table", "recall_curves", "recall_figure"]

_POINTS = 31
"""Points of a curve, evenly spaced over the budget: as many as there are exams."""

_SHARES = ("recall", "area", "per_million", "retained")
"""Figures of `kgrl.runs.metrics.Known` whose mean over seeds is shown."""


def groups_of(results: Results, place: PlaceKey) -> list[str]:
    """Return the groups of the questions that a place's cells answered, by name; none if they were asked nothing."""
    return sorted({group for cell in _cells(results, place) for group in cell.get("recalled", {})})


def known_rows(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return what was known, by agent and group of questions.

    Returns:
        Rows of `agent`, `group`, `cells`, the means over seeds of `recall`, `area`, `per_million` and `retained` with
        Student's limits (`NAME_low`, `NAME_high`), `tokens_to_level`, the geometric mean in which runs that never get
        there count at the budget, and `never`, their number. None for a figure that no cell has.
    """
    rows = []
    for agent in (row["agent"] for row in results.ranked(place)):
        for group in groups_of(results, place):
            cells = [c for c in results.finished(place, agent).values() if group in c.get("recalled", {})]
            if cells:
                rows.append({"agent": agent, "group": group, "cells": len(cells), **_figures(cells, group)})
    return rows


def _figures(cells: Sequence[Row], group: str) -> dict[str, Any]:
    # Cells of earlier versions do not say how many questions they were asked.
    asked = [cell.get("asked", {}).get(group) for cell in cells]
    of = [
        asdict(known(_curve(cell, group), cell["budget"], number_asked or 1))
        | ({} if number_asked else {"per_million": None})
        for cell, number_asked in zip(cells, asked, strict=True)
    ]
    tokens = [found["tokens_to_level"] for found in of]
    reached = [t or cell["budget"] for t, cell in zip(tokens, cells, strict=True)]
    means = {key: value for name in _SHARES for key, value in _mean(name, (found[name] for found in of)).items()}
    return {
        **means,
        "tokens_to_level": float(np.exp(np.mean(np.log(reached)))),
        "never": sum(t is None for t in tokens),
    }


def _mean(name: str, values: Iterable[float | None]) -> dict[str, float | None]:
    """Return the mean of a figure and the limits of its interval; None for a limit that is infinite."""
    there = [value for value in values if value is not None]
    # The paired difference to 0 is the mean itself, with the same interval.
    told = paired_difference(there, [0.0] * len(there)) if there else None
    limits = (told.value, told.low, told.high) if told else (None, None, None)
    keys = (name, f"{name}_low", f"{name}_high")
    return {
        key: limit if limit is not None and np.isfinite(limit) else None
        for key, limit in zip(keys, limits, strict=True)
    }


def recall_curves(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return the interquartile mean of the share recalled over tokens, with pointwise intervals, by agent and group.

    Returns:
        Rows of `agent`, `group`, `tokens`, `share`, `low` and `high`; shares are means of two exams in a row.
    """
    rows = []
    for agent in (row["agent"] for row in results.ranked(place)):
        for group in groups_of(results, place):
            curves = [
                _smoothed(_curve(cell, group))
                for cell in results.finished(place, agent).values()
                if group in cell.get("recalled", {})
            ]
            if not curves:
                continue
            grid = np.linspace(0, max(curve[-1][0] for curve in curves), _POINTS)
            for tokens, point in zip(grid, efficiency_curve(curves, grid), strict=True):
                limits = {"share": point.value, "low": point.low, "high": point.high}
                rows.append({"agent": agent, "group": group, "tokens": float(tokens), **limits})
    return rows


def _cells(results: Results, place: PlaceKey) -> list[Row]:
    return [cell for agent in results.cells[place] for cell in results.finished(place, agent).values()]


def _curve(cell: Row, group: str) -> Curve:
    """Return a cell's curve of recall of a group of questions."""
    return [(tokens, share) for (tokens, _), share in zip(cell["curve"], cell["recalled"][group], strict=True)]


def _smoothed(curve: Curve) -> Curve:
    shares = smooth([share for _, share in curve])
    return [(tokens, share) for (tokens, _), share in zip(curve, shares, strict=True)]


def known_table(rows: Sequence[Row]) -> Table:
    """Return the table of what was known.

    Args:
        rows: Rows of `known_rows`.
    """
    columns = [
        Column("agent", lambda row: str(row["agent"]), text=True),
        Column("questions", lambda row: str(row["group"]), text=True),
        _column("recall", "recalled at the end", ".1%"),
        Column(
            f"tokens to {RECALL_LEVEL:.0%}",
            lambda row: f"{'at least ' if row['never'] else ''}{number(row['tokens_to_level'], ',.0f')}",
            "geometric mean",
            lambda row: f"{row['never']} of {row['cells']} never there" if row["never"] else "",
        ),
        _column("area", "area", ".1%", "mean share over the budget"),
        _column("per_million", "for a million tokens", ".1f", "questions recalled"),
        _column("retained", "retained", ".1%", "of the largest share"),
    ]
    return Table(columns, rows)


def _column(name: str, heading: str, form: str, unit: str = "share of the questions") -> Column:
    def detail(row: Row) -> str:
        return "" if row[name] is None else span(row[f"{name}_low"], row[f"{name}_high"], form)

    return Column(heading, lambda row: number(row[name], form), unit, detail)


def recall_figure(rows: Sequence[Row], group: str, drawn: Mapping[str, Look]) -> go.Figure:
    """Draw the share of a group's questions recalled over tokens for each agent, with its pointwise interval.

    Args:
        rows: Rows of `recall_curves`.
        group: The group.
        drawn: The agents' looks.
    """
    # The curve of losses, with another figure on its axis.
    figure = exam_curves_figure([{**row, "loss": row["share"]} for row in rows if row["group"] == group], drawn)
    figure.update_traces(hovertemplate="%{fullData.name}: %{y:.1%}<extra></extra>", selector={"hoverinfo": None})
    figure.update_yaxes(title="share of the questions recalled", tickformat=".0%", rangemode="tozero")
    return figure
