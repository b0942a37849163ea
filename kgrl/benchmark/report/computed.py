"""What a benchmark's report computes once, for its page, its pictures and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgrl.benchmark.report.figures import Look, looks
from kgrl.benchmark.report.results import PlaceKey, Results, Row, aggregates, costs, curves, kept, noise, profiles
from kgrl.benchmark.report.tables import Table, cost_rows, gaps_table, verdict_rows

__all__ = ["Computed", "csv_tables"]

Rows = Sequence[Row]


@dataclass(frozen=True)
class Computed:
    """A benchmark's results, and all that is drawn and listed of them.

    Args:
        results: The results.
        looks: How agents are drawn.
        verdicts: Rows of verdicts by place, as are `curves`, `costs`, `kept` and `noise`.
        curves: Sample-efficiency curves.
        costs: What cells took.
        kept: What was kept of what was learned.
        noise: Noise budgets.
        aggregates: Aggregates by learner, as are `profiles` and `mean_costs`.
        profiles: Performance profiles.
        mean_costs: What a cell takes on average.
    """

    results: Results
    looks: Mapping[str, Look]
    verdicts: Mapping[PlaceKey, Rows]
    curves: Mapping[PlaceKey, Rows]
    costs: Mapping[PlaceKey, Rows]
    kept: Mapping[PlaceKey, Rows]
    noise: Mapping[PlaceKey, Rows]
    aggregates: Mapping[str, Rows]
    profiles: Mapping[str, Rows]
    mean_costs: Mapping[str, Rows]

    @classmethod
    def of(cls, results: Results) -> Computed:
        """Compute it; a benchmark of 3,000 cells takes a minute or two, most of it bootstraps."""
        places, learners = results.places, list(results.learners)
        return cls(
            results,
            looks(results),
            {place: verdict_rows(results, place) for place in places},
            {place: curves(results, place) for place in places},
            {place: costs(results, place) for place in places},
            {place: _with_missing(results, place, kept(results, place)) for place in places},
            {place: _with_missing(results, place, noise(results, place)) for place in places},
            aggregates(results),
            {learner: profiles(results, learner) for learner in learners},
            {learner: cost_rows(results, learner) for learner in learners},
        )


def csv_tables(computed: Computed) -> dict[str, Table]:
    """Return every table by the name of its file, with all that its rows hold."""
    by_place = {"curves": computed.curves, "costs": computed.costs, "kept": computed.kept, "noise": computed.noise}
    by_learner = {"aggregates": computed.aggregates, "profiles": computed.profiles}
    verdicts = [row for rows in computed.verdicts.values() for row in rows]
    return {
        "verdicts": Table((), verdicts),
        **{name: Table((), list(_placed(rows))) for name, rows in by_place.items()},
        **{name: Table((), list(_of_learners(rows))) for name, rows in by_learner.items()},
        "gaps": gaps_table(computed.results),
    }


def _placed(found: Mapping[PlaceKey, Rows]) -> Iterator[dict[str, Any]]:
    for place, rows in found.items():
        where = {"task": place.task, "corpus": place.corpus, "learner": place.learner}
        yield from ({**where, **row} for row in rows)


def _of_learners(found: Mapping[str, Rows]) -> Iterator[dict[str, Any]]:
    for learner, rows in found.items():
        yield from ({"learner": learner, **row} for row in rows)


def _with_missing(results: Results, place: PlaceKey, rows: list[dict[str, Any]]) -> Rows:
    """Rows of a figure that is there for some, and a row that has no figure for each agent without a finished cell."""
    missing = [agent for agent in results.agents(place.learner) if not results.finished(place, agent)]
    return [*rows, *({"agent": agent} for agent in missing)] if rows else []
