"""What the report of a benchmark is about: its cells by place, agent and seed, and those that are not there.

A place is a task on a corpus with a learner. Every agent and seed that a learner has anywhere is expected in each of
its places: what is not there is a gap, and a gap has a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kgrl.benchmark.comparison import BASELINE, compare
from kgrl.benchmark.runner import read_rows

__all__ = ["Gap", "Place", "Results", "Row"]

Row = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Place:
    """A task on a corpus with a learner, each by name."""

    learner: str
    task: str
    corpus: str

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"{self.task} on {self.corpus} with {self.learner}"

    @classmethod
    def of(cls, row: Row) -> Place:
        """Return the place of a cell or a figure."""
        return cls(row["learner"], row["task"], row["corpus"])


@dataclass(frozen=True)
class Gap:
    """Cells of one agent in one place that have no figures, for one reason.

    Args:
        place: Where.
        agent: Whose.
        seeds: Which, ascending.
        error: Why they failed, or None where they were not carried out.
    """

    place: Place
    agent: str
    seeds: tuple[int, ...]
    error: str | None

    @property
    def sentence(self) -> str:
        """What stands in place of a number."""
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        where = f"{seeds} of {self.agent}, {self.place.name}"
        return f"missing: {where}" if self.error is None else f"failed: {where}: {self.error}"


@dataclass(frozen=True)
class Results:
    """A benchmark's results, as its report shows them.

    Args:
        folder: Where they are kept.
        rows: What came of cells, as `kgrl.benchmark.runner.read_rows` returns it.
        figures: What `kgrl.benchmark.comparison.compare` makes of them.
    """

    folder: Path
    rows: Sequence[Row]
    figures: Sequence[Row]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read the results in a folder.

        Raises:
            KgrlError: If the folder holds none.
        """
        rows = read_rows(folder)
        return cls(folder, rows, compare(rows))

    @cached_property
    def cells(self) -> dict[Place, dict[str, dict[int, Row]]]:
        """What came of cells, finished or failed: by place, agent and seed."""
        found: dict[Place, dict[str, dict[int, Row]]] = {}
        most = Counter(row["learner"] for row in self.rows)
        for row in sorted(self.rows, key=lambda row: (-most[row["learner"]], Place.of(row))):
            found.setdefault(Place.of(row), {}).setdefault(row["agent"], {})[row["seed"]] = row
        return found

    @property
    def places(self) -> list[Place]:
        """All places, those of one learner together, and first of the learner with the most cells."""
        return list(self.cells)

    @cached_property
    def learners(self) -> dict[str, list[Place]]:
        """The learners, and the places of each."""
        found: dict[str, list[Place]] = {}
        for place in self.places:
            found.setdefault(place.learner, []).append(place)
        return found

    def finished(self, place: Place, agent: str) -> dict[int, Row]:
        """Return an agent's finished cells in a place, by seed."""
        seeds = self.cells[place].get(agent, {})
        return {seed: row for seed, row in sorted(seeds.items()) if row["status"] == "finished"}

    def agents(self, learner: str) -> list[str]:
        """Return a learner's agents: the baseline first, then from best to worst.

        The order is by the mean rank of the area under the learning curve over the places where an agent has one, and
        those that have none come last.
        """
        ranks: dict[str, list[float]] = {name: [] for place in self.learners[learner] for name in self.cells[place]}
        for place in self.learners[learner]:
            ranked = [row["agent"] for row in self.ranked(place)]
            for rank, agent in enumerate(ranked):
                ranks[agent].append(rank / max(1, len(ranked) - 1))

        def order(agent: str) -> tuple[bool, float, str]:
            return agent != BASELINE, sum(ranks[agent]) / len(ranks[agent]) if ranks[agent] else 2.0, agent

        return sorted(ranks, key=order)

    def seeds(self, learner: str) -> list[int]:
        """Return the seeds that a learner has anywhere."""
        places = self.learners[learner]
        return sorted({seed for place in places for cells in self.cells[place].values() for seed in cells})

    def ranked(self, place: Place) -> list[Row]:
        """Return the figures of a place's agents, the lowest area under the learning curve first."""
        return sorted((row for row in self.figures if Place.of(row) == place), key=lambda row: float(row["aulc_iqm"]))

    @cached_property
    def gaps(self) -> list[Gap]:
        """The cells that failed or are missing, by place, agent and reason."""
        return [
            gap
            for place in self.places
            for agent in sorted(self.agents(place.learner))
            for gap in self._gaps(place, agent)
        ]

    def gaps_of(self, place: Place, agent: str | None = None) -> list[Gap]:
        """Return the gaps in a place, of one agent or of all."""
        return [gap for gap in self.gaps if gap.place == place and agent in (None, gap.agent)]

    def _gaps(self, place: Place, agent: str) -> list[Gap]:
        cells, reasons = self.cells[place].get(agent, {}), dict[str | None, list[int]]()
        for seed in self.seeds(place.learner):
            row = cells.get(seed)
            if row is None or row["status"] != "finished":
                reasons.setdefault(None if row is None else str(row.get("error", row["status"])), []).append(seed)
        return [Gap(place, agent, tuple(seeds), error) for error, seeds in reasons.items()]
