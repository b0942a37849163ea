"""Figures of a benchmark's report, computed once for its page, its pictures and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgrl.benchmark.report.figures import Look, looks
from kgrl.benchmark.report.known import known_rows, recall_curves
from kgrl.benchmark.report.results import PlaceKey, Results, Row, aggregates, costs, curves, kept, noise, profiles
from kgrl.benchmark.report.tables import Table, cost_rows, gaps_table, verdict_rows

__all__ = ["Computed", "csv_tables"]

Rows = Sequence[Row]


@dataclass(frozen=True)
class Computed:
    """Results of a benchmark with all rows that its report draws or lists.

    Args:
        results: The results.
        looks: Each agent's colour and dashes.
        verdicts: Verdicts by place, as `verdict_rows` returns them.
        curves: Sample-efficiency curves by place.
        costs: Mean costs of cells by place.
        kept: Forgetting and transfer by place.
        noise: Noise budgets by place.
        known: Facts known by place, agent and group of questions; no rows where none are asked for.
        recall: Facts recalled over tokens, likewise.
        aggregates: Aggregates by learner.
        profiles: Performance profiles by learner.
        mean_costs: Mean costs of cells by learner.
    """

    results: Results
    looks: Mapping[str, Look]
    verdicts: Mapping[PlaceKey, Rows]
    curves: Mapping[PlaceKey, Rows]
    costs: Mapping[PlaceKey, Rows]
    kept: Mapping[PlaceKey, Rows]
    noise: Mapping[PlaceKey, Rows]
    known: Mapping[PlaceKey, Rows]
    recall: Mapping[PlaceKey, Rows]
    aggregates: Mapping[str, Rows]
    profiles: Mapping[str, Rows]
    mean_costs: Mapping[str, Rows]

    @classmethod
    def of(cls, results: Results) -> Computed:
        """Compute all rows; 3,000 cells take a minute or two, most of it bootstraps."""
        places, learners = results.places, list(results.learners)
        return cls(
            results,
            looks(results),
            {place: verdict_rows(results, place) for place in places},
            {place: curves(results, place) for place in places},
            {place: costs(results, place) for place in places},
            {place: _with_missing(results, place, kept(results, place)) for place in places},
            {place: _with_missing(results, place, noise(results, place)) for place in places},
            {place: known_rows(results, place) for place in places},
            {place: recall_curves(results, place) for place in places},
            aggregates(results),
            {learner: profiles(results, learner) for learner in learners},
            {learner: cost_rows(results, learner) for learner in learners},
        )


def csv_tables(computed: Computed) -> dict[str, Table]:
    """Return every table by the name of its file; the tables hold rows only, since CSV has no columns to choose."""
    by_place = {
        "curves": computed.curves,
        "costs": computed.costs,
        "kept": computed.kept,
        "noise": computed.noise,
        "known": computed.known,
        "recall": computed.recall,
    }
    by_learner = {"aggregates": computed.aggregates, "profiles": computed.profiles}
    verdicts = [row for rows in computed.verdicts.values() for row in rows]
    return {
        "verdicts": Table((), verdicts),
        **{name: Table((), _with_places(found)) for name, found in by_place.items()},
        **{name: Table((), _with_learners(found)) for name, found in by_learner.items()},
        "gaps": gaps_table(computed.results),
    }


def _with_places(found: Mapping[PlaceKey, Rows]) -> list[Row]:
    names = {place: {"task": place.task, "corpus": place.corpus, "learner": place.learner} for place in found}
    return [{**names[place], **row} for place, rows in found.items() for row in rows]


def _with_learners(found: Mapping[str, Rows]) -> list[Row]:
    return [{"learner": learner, **row} for learner, rows in found.items() for row in rows]


def _with_missing(results: Results, place: PlaceKey, rows: list[dict[str, Any]]) -> Rows:
    """Rows of a figure, and a row without the figure for each agent without a finished cell.

    A place where no agent has the figure has no rows: the task does not measure it.
    """
    missing = [agent for agent in results.agents(place.learner) if not results.finished(place, agent)]
    return [*rows, *({"agent": agent} for agent in missing)] if rows else []
