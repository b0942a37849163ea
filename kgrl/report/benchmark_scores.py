"""What the report of a benchmark computes beside the verdicts: curves, scores, aggregates, costs, what was kept.

Each function returns plain rows: they are drawn, they are the rows of tables, and they are written as CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kgrl.benchmark.report.results import Place, Results, Row
from kgrl.benchmark.scores import rank_agents, scores
from kgrl.benchmark.statistics import efficiency_curve, paired_difference, performance_profile

__all__ = ["KEPT", "PHASES", "aggregates", "by_agent", "costs", "curves", "kept", "noise", "profiles"]

PHASES = ("learn", "probe", "exam", "research", "make", "choose")
"""What a cell's seconds go into. `make` is making learner and agent; `choose` is what is in none of the others: the
agent's choice, and the loop around it."""

_LEARNER = ("learn", "probe", "exam")
"""Phases in which the learner works; the rest is overhead."""

KEPT = ("acc", "bwt", "fwt", "forgetting")
_POINTS = 26
_THRESHOLDS = 61


def curves(results: Results, place: Place) -> list[dict[str, Any]]:
    """Return the interquartile mean of the exam's loss over tokens, with intervals point by point, for each agent.

    Args:
        results: The benchmark.
        place: Where.

    Returns:
        Rows of `agent`, `tokens`, `loss`, `low` and `high`; agents without a finished cell have none.
    """
    rows = []
    for agent in _agents(results, place):
        cells = list(results.finished(place, agent).values())
        grid = np.linspace(0, max(cell["curve"][-1][0] for cell in cells), _POINTS)
        for tokens, point in zip(grid, efficiency_curve([cell["curve"] for cell in cells], grid), strict=True):
            limits = {"loss": point.value, "low": point.low, "high": point.high}
            rows.append({"agent": agent, "tokens": float(tokens), **limits})
    return rows


def aggregates(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of `kgrl.benchmark.scores.rank_agents` by learner, those of agents without a finished cell last.

    These have no key but `agent`.
    """
    found: dict[str, list[dict[str, Any]]] = {learner: [] for learner in results.learners}
    for row in rank_agents(results.rows):
        found[row["learner"]].append(row)
    for learner, rows in found.items():
        ranked = {row["agent"] for row in rows}
        rows += [{"agent": agent} for agent in results.agents(learner) if agent not in ranked]
    return found


def profiles(results: Results, learner: str) -> list[dict[str, Any]]:
    """Return the share of an agent's runs that score above each threshold, places weighing the same.

    Returns:
        Rows of `agent`, `threshold` and `share`; agents without normalised scores have none.
    """
    mine = scores([row for row in results.rows if row["learner"] == learner])
    known = {agent: [list(seeds.values()) for seeds in places.values()] for agent, places in mine.items()}
    if not known:
        return []
    every = np.concatenate([run for runs in known.values() for run in runs])
    # A run far out would press all others together: the axis holds all but the outermost of both ends.
    low, high = np.quantile(every, [0.01, 0.99])
    thresholds = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), _THRESHOLDS)
    return [
        {"agent": agent, "threshold": float(threshold), "share": float(share)}
        for agent, runs in known.items()
        for threshold, share in zip(thresholds, performance_profile(runs, thresholds), strict=True)
    ]


def costs(results: Results, place: Place) -> list[dict[str, Any]]:
    """Return what an agent's finished cells took, on average.

    Returns:
        Rows of `agent`, `cells`, `tokens` (trained on), `probe_tokens` (measured), `flops`, `seconds`, `share_PHASE`
        for each of `PHASES`, and `overhead`, the share outside of the learner; what cells do not have is None.
    """
    rows = []
    for agent in _agents(results, place):
        cells = list(results.finished(place, agent).values())
        counted = {name: _mean(cell.get(name) for cell in cells) for name in ("tokens", "probe_tokens", "flops")}
        rows.append({"agent": agent, "cells": len(cells), **counted, **_seconds([cell["seconds"] for cell in cells])})
    return rows


def kept(results: Results, place: Place) -> list[dict[str, Any]]:
    """Return what was kept of what was learned: mean over seeds with Student's interval, in nats per token.

    Returns:
        Rows of `agent`, and for each of `KEPT` the mean and its limits; None for a figure that no cell has.
    """
    return [
        {"agent": agent, **_spread(results, place, agent, KEPT)}
        for agent in _agents(results, place)
        if any(cell.get(name) is not None for cell in results.finished(place, agent).values() for name in KEPT)
    ]


def noise(results: Results, place: Place) -> list[dict[str, Any]]:
    """Return the noise budget: the share of tokens spent on planted topics, its mean over seeds with an interval.

    Returns:
        Rows of `agent`, `noise_share` and its limits; none in places where nothing is planted.
    """
    return [
        {"agent": agent, **_spread(results, place, agent, ("noise_share",))}
        for agent in _agents(results, place)
        if any(cell.get("noise_share") is not None for cell in results.finished(place, agent).values())
    ]


def _agents(results: Results, place: Place) -> list[str]:
    return [row["agent"] for row in results.ranked(place)]


def _spread(results: Results, place: Place, agent: str, names: Sequence[str]) -> dict[str, float | None]:
    cells, figures = results.finished(place, agent).values(), dict[str, float | None]()
    for name in names:
        values = [float(cell[name]) for cell in cells if cell.get(name) is not None]
        told = paired_difference(values, [0.0] * len(values)) if values else None
        limits = (told.value, told.low, told.high) if told else (None, None, None)
        for key, limit in zip((name, f"{name}_low", f"{name}_high"), limits, strict=True):
            figures[key] = limit if limit is not None and np.isfinite(limit) else None
    return figures


def _seconds(cells: Sequence[Row]) -> dict[str, float]:
    """Mean seconds of cells, the shares of their phases, and the share in which the learner does nothing."""
    mean = {name: float(np.mean([cell.get(name, 0.0) for cell in cells])) for name in ("all", *PHASES)}
    mean["choose"] = max(0.0, mean["all"] - sum(mean[name] for name in PHASES if name != "choose"))
    shares = {f"share_{name}": mean[name] / max(mean["all"], 1e-9) for name in PHASES}
    return {"seconds": mean["all"], **shares, "overhead": 1 - sum(shares[f"share_{name}"] for name in _LEARNER)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def by_agent(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by their agent, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["agent"], []).append(row)
    return found
