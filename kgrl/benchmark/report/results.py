"""Results of a benchmark: its cells by place, agent and seed, the gaps between them, and figures of both.

A place is a task on a corpus with a learner. Every agent and seed that a learner has anywhere is expected in each of
its places. Expected cells that failed or do not exist are gaps, which the report names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kgrl.benchmark.comparison import BASELINE, compare
from kgrl.benchmark.runner import read_rows
from kgrl.benchmark.scores import rank_agents, scores
from kgrl.benchmark.statistics import efficiency_curve, paired_difference, performance_profile

__all__ = [
    "KEPT",
    "PHASES",
    "Gap",
    "PlaceKey",
    "Results",
    "Row",
    "aggregates",
    "by_agent",
    "costs",
    "curves",
    "kept",
    "noise",
    "profiles",
]

Row = Mapping[str, Any]

PHASES = ("learn", "probe", "exam", "research", "make", "choose")
"""Phases of a cell's seconds. `make` is the making of learner and agent; `choose` is the time outside all other phases:
the agent's choice, and the loop around it."""

_LEARNER = ("learn", "probe", "exam")
"""Phases in which the learner works; the others are overhead."""

KEPT = ("acc", "bwt", "fwt", "forgetting")
"""Figures of forgetting and transfer, by their names in a cell's row."""

_CURVE_POINTS = 26
"""Points of a sample-efficiency curve, evenly spaced over the budget."""

_THRESHOLDS = 61
"""Points of a performance profile."""


@dataclass(frozen=True, order=True)
class PlaceKey:
    """A task on a corpus with a learner, each by name."""

    learner: str
    task: str
    corpus: str

    @property
    def name(self) -> str:
        """The place in words, as the report writes it."""
        return f"{self.task} on {self.corpus} with {self.learner}"

    @classmethod
    def of(cls, row: Row) -> PlaceKey:
        """Return the place of a cell's row or a figure's row."""
        return cls(row["learner"], row["task"], row["corpus"])


@dataclass(frozen=True)
class Gap:
    """Cells of one agent in one place that have no figures, for one reason.

    Args:
        place: Their place.
        agent: Their agent.
        seeds: Their seeds, ascending.
        error: The error that they failed with, or None if they were not carried out.

    Example:
        >>> Gap(PlaceKey("scratch", "noisy", "vital"), "closure", (2, 3), None).sentence
        'missing: seeds 2, 3 of closure, noisy on vital with scratch'
    """

    place: PlaceKey
    agent: str
    seeds: tuple[int, ...]
    error: str | None

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.seeds)

    @property
    def sentence(self) -> str:
        """Sentence that the report has instead of a number."""
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        where = f"{seeds} of {self.agent}, {self.place.name}"
        return f"missing: {where}" if self.error is None else f"failed: {where}: {self.error}"


@dataclass(frozen=True)
class Results:
    """Results of a benchmark, as its report shows them.

    Args:
        folder: The benchmark's folder.
        rows: One row a cell, as `kgrl.benchmark.runner.read_rows` returns them.
        figures: One row for each agent in a place, as `kgrl.benchmark.comparison.compare` makes them of `rows`.
    """

    folder: Path
    rows: Sequence[Row]
    figures: Sequence[Row]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read the results in a folder.

        Raises:
            KgrlError: If the folder holds no results.
        """
        rows = read_rows(folder)
        return cls(folder, rows, compare(rows))

    @cached_property
    def cells(self) -> dict[PlaceKey, dict[str, dict[int, Row]]]:
        """Rows of cells, finished or failed, by place, agent and seed."""
        found: dict[PlaceKey, dict[str, dict[int, Row]]] = {}
        # A report begins with the learner that was measured most; the places of each are in the order of their names.
        most = Counter(row["learner"] for row in self.rows)
        for row in sorted(self.rows, key=lambda row: (-most[row["learner"]], PlaceKey.of(row))):
            found.setdefault(PlaceKey.of(row), {}).setdefault(row["agent"], {})[row["seed"]] = row
        return found

    @property
    def places(self) -> list[PlaceKey]:
        """All places by learner, the learner with the most cells first."""
        return list(self.cells)

    @cached_property
    def learners(self) -> dict[str, list[PlaceKey]]:
        """The learners, and the places of each."""
        found: dict[str, list[PlaceKey]] = {}
        for place in self.places:
            found.setdefault(place.learner, []).append(place)
        return found

    def finished(self, place: PlaceKey, agent: str) -> dict[int, Row]:
        """Return an agent's finished cells in a place, by seed."""
        seeds = self.cells[place].get(agent, {})
        return {seed: row for seed, row in sorted(seeds.items()) if row["status"] == "finished"}

    def agents(self, learner: str) -> list[str]:
        """Return a learner's agents: the baseline first, then from best to worst.

        The order is by the mean rank of the area under the learning curve over the places where an agent has one.
        Agents without any come last.
        """
        ranks: dict[str, list[float]] = {name: [] for place in self.learners[learner] for name in self.cells[place]}
        for place in self.learners[learner]:
            ranked = [row["agent"] for row in self.ranked(place)]
            for rank, agent in enumerate(ranked):
                # From 0 to 1, since places have different numbers of agents.
                ranks[agent].append(rank / max(1, len(ranked) - 1))

        def order(agent: str) -> tuple[bool, float, str]:
            # Mean ranks are between 0 and 1, so 2 is behind every agent that has one.
            return agent != BASELINE, sum(ranks[agent]) / len(ranks[agent]) if ranks[agent] else 2.0, agent

        return sorted(ranks, key=order)

    def seeds(self, learner: str) -> list[int]:
        """Return the seeds that a learner has anywhere."""
        places = self.learners[learner]
        return sorted({seed for place in places for cells in self.cells[place].values() for seed in cells})

    def ranked(self, place: PlaceKey) -> list[Row]:
        """Return the figures of a place's agents, the lowest area under the learning curve first."""
        return sorted(
            (row for row in self.figures if PlaceKey.of(row) == place), key=lambda row: float(row["aulc_iqm"])
        )

    @cached_property
    def gaps(self) -> list[Gap]:
        """The cells that failed or are missing, by place, agent and reason."""
        return [
            gap
            for place in self.places
            for agent in sorted(self.agents(place.learner))
            for gap in self._gaps(place, agent)
        ]

    def gaps_of(self, place: PlaceKey, agent: str | None = None) -> list[Gap]:
        """Return the gaps in a place, of one agent or of all."""
        return [gap for gap in self.gaps if gap.place == place and agent in (None, gap.agent)]

    def gaps_with(self, learner: str) -> list[Gap]:
        """Return the gaps in all places of a learner."""
        return [gap for gap in self.gaps if gap.place.learner == learner]

    def _gaps(self, place: PlaceKey, agent: str) -> list[Gap]:
        """One gap for each reason; seeds that failed with the same error are together."""
        cells, reasons = self.cells[place].get(agent, {}), dict[str | None, list[int]]()
        for seed in self.seeds(place.learner):
            row = cells.get(seed)
            if row is None or row["status"] != "finished":
                reasons.setdefault(None if row is None else str(row.get("error", row["status"])), []).append(seed)
        return [Gap(place, agent, tuple(seeds), error) for error, seeds in reasons.items()]


def curves(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return the interquartile mean of the exam's loss over tokens, with intervals point by point, for each agent.

    Args:
        results: The benchmark.
        place: The place.

    Returns:
        Rows of `agent`, `tokens`, and `loss`, `low` and `high` in nats per token; agents without a finished cell have
        no rows.
    """
    rows = []
    for agent in _agents(results, place):
        cells = list(results.finished(place, agent).values())
        # Cells overshoot the budget by different numbers of tokens; the longest one gives the axis.
        grid = np.linspace(0, max(cell["curve"][-1][0] for cell in cells), _CURVE_POINTS)
        for tokens, point in zip(grid, efficiency_curve([cell["curve"] for cell in cells], grid), strict=True):
            limits = {"loss": point.value, "low": point.low, "high": point.high}
            rows.append({"agent": agent, "tokens": float(tokens), **limits})
    return rows


def aggregates(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of `kgrl.benchmark.scores.rank_agents` by learner.

    Agents without a finished cell come last, in rows that have no key but `agent`.
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
        Rows of `agent`, `threshold` and `share`; agents without normalised scores have no rows.
    """
    mine = scores([row for row in results.rows if row["learner"] == learner])
    known = {agent: [list(seeds.values()) for seeds in places.values()] for agent, places in mine.items()}
    if not known:
        return []
    every = np.concatenate([run for runs in known.values() for run in runs])
    # One outlier would leave no room for the other runs, so the axis leaves out the outermost hundredth at each end.
    low, high = np.quantile(every, [0.01, 0.99])
    thresholds = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), _THRESHOLDS)
    return [
        {"agent": agent, "threshold": float(threshold), "share": float(share)}
        for agent, runs in known.items()
        for threshold, share in zip(thresholds, performance_profile(runs, thresholds), strict=True)
    ]


def costs(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return the mean cost of each agent's finished cells in a place.

    Returns:
        Rows of `agent`, `cells`, `tokens` (trained on), `probe_tokens` (measured), `flops`, `seconds`, `share_PHASE`
        for each of `PHASES`, and `overhead`, the share outside of the learner; None for a figure that no cell has.
    """
    rows = []
    for agent in _agents(results, place):
        cells = list(results.finished(place, agent).values())
        counted = {name: _mean(cell.get(name) for cell in cells) for name in ("tokens", "probe_tokens", "flops")}
        rows.append({"agent": agent, "cells": len(cells), **counted, **_seconds([cell["seconds"] for cell in cells])})
    return rows


def kept(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return forgetting and transfer: means over seeds with Student's intervals, in nats per token.

    Returns:
        Rows of `agent`, and for each of `KEPT` the mean and its limits; None for a figure that no cell has.
    """
    return [
        {"agent": agent, **_spread(results, place, agent, KEPT)}
        for agent in _agents(results, place)
        if any(cell.get(name) is not None for cell in results.finished(place, agent).values() for name in KEPT)
    ]


def noise(results: Results, place: PlaceKey) -> list[dict[str, Any]]:
    """Return the noise budget: the share of tokens spent on planted topics, its mean over seeds with an interval.

    Returns:
        Rows of `agent`, `noise_share` and its limits; no rows in places without planted topics.
    """
    return [
        {"agent": agent, **_spread(results, place, agent, ("noise_share",))}
        for agent in _agents(results, place)
        if any(cell.get("noise_share") is not None for cell in results.finished(place, agent).values())
    ]


def _agents(results: Results, place: PlaceKey) -> list[str]:
    return [row["agent"] for row in results.ranked(place)]


def _spread(results: Results, place: PlaceKey, agent: str, names: Sequence[str]) -> dict[str, float | None]:
    """Means over seeds of figures, and the limits of their intervals; None for a limit that is infinite."""
    cells, figures = results.finished(place, agent).values(), dict[str, float | None]()
    for name in names:
        values = [float(cell[name]) for cell in cells if cell.get(name) is not None]
        # The paired difference to 0 is the mean itself, with the same interval.
        told = paired_difference(values, [0.0] * len(values)) if values else None
        limits = (told.value, told.low, told.high) if told else (None, None, None)
        for key, limit in zip((name, f"{name}_low", f"{name}_high"), limits, strict=True):
            figures[key] = limit if limit is not None and np.isfinite(limit) else None
    return figures


def _seconds(cells: Sequence[Row]) -> dict[str, float]:
    """Mean seconds of cells, the shares of their phases, and the share outside of the learner."""
    mean = {name: float(np.mean([cell.get(name, 0.0) for cell in cells])) for name in ("all", *PHASES)}
    # Phases are measured, choosing is the remainder; rounding may make it slightly negative.
    mean["choose"] = max(0.0, mean["all"] - sum(mean[name] for name in PHASES if name != "choose"))
    shares = {f"share_{name}": mean[name] / max(mean["all"], 1e-9) for name in PHASES}
    return {"seconds": mean["all"], **shares, "overhead": 1 - sum(shares[f"share_{name}"] for name in _LEARNER)}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def by_agent(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by their agent, agents and rows in the order that they come in."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["agent"], []).append(row)
    return found
