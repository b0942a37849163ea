"""The benchmark of docs/results/benchmark.md: carries out its cells, seed by seed, and keeps all that is finished.

    python benchmarks/benchmark.py --out FOLDER --workers 2
    python benchmarks/benchmark.py --out FOLDER --figures

It begins with the cells in docs/results/benchmark_cells.parquet, and brings that file and benchmark.json beside it up
to date after every seed of every part. So it can be stopped at any time and go on on another machine. At the end it
draws the pictures in benchmark/ and writes the tables into benchmark.md, below the line "## Tables"; what is above is
written by hand. The second command does no more than that. `kgrl bench` makes the same cells, and the report, in the
same folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import tyro

from kgrl.agents import agents
from kgrl.benchmark.archive import read_archive, write_archive
from kgrl.benchmark.comparison import across_goals, compare, finished, missing
from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.pace import Pace
from kgrl.benchmark.runner import Cell, failures, read_rows, run_cells
from kgrl.benchmark.scores import CEILING, rank_agents
from kgrl.benchmark.statistics import paired_difference
from kgrl.cache import write_json, write_text
from kgrl.learners.executors import Executor, executors
from kgrl.report.benchmark_contents import aggregate_table, verdict_table
from kgrl.report.benchmark_data import Results
from kgrl.report.benchmark_files import Computed
from kgrl.report.benchmark_pictures import draw_pictures
from kgrl.report.benchmark_tables import Column, Table, share, span

RESULTS = Path("docs/results")
CELLS, FIGURES = RESULTS / "benchmark_cells.parquet", RESULTS / "benchmark.json"
PAGE, PICTURES, TABLES = RESULTS / "benchmark.md", RESULTS / "benchmark", "## Tables\n"
CORPORA = ("vital", "wikispeedia")
CONTROLS = {"interleaved": "random-interleaved", "coherent": "iid"}
"""Agents and what they are without their own idea: the policy, or the filter."""


@dataclass(frozen=True)
class Part:
    """A part of the benchmark: tasks and agents that are carried out together, one seed after another."""

    tasks: tuple[str, ...]
    corpora: tuple[str, ...]
    learner: str
    agents: tuple[str, ...]
    seeds: int
    budget: int | None = None

    def cells(self, seed: int) -> list[Cell]:
        """The cells of a seed."""
        places = product(self.tasks, self.corpora, self.agents)
        return [Cell(task, corpus, self.learner, agent, seed, self.budget) for task, corpus, agent in places]


_CHEAP = tuple(name for name in agents if name != CEILING)
_LORA = (
    "random",
    "iid",
    "closure",
    "similarity",
    "alp",
    "exp3s",
    "skill-it",
    "curiosity",
    "ppo",
    "interleaved",
    CEILING,
)
_GOALS = (
    "target",
    "target:Arts",
    "target:Technology",
    "target:Physical sciences",
    "target:Biology and health sciences",
    "target:Philosophy and religion",
)
_TASKS = ("target", "coverage", "limited", "forgetting", "deceptive", "noisy")
PARTS = (
    Part(_TASKS, CORPORA, "scratch", _CHEAP, seeds=10),
    Part(_TASKS, CORPORA, "scratch", ("random", CEILING), seeds=10),
    Part(_GOALS, ("vital",), "scratch", ("random", "ppo", "interleaved"), seeds=10),
    Part(_GOALS, ("vital",), "lora", _LORA, seeds=5, budget=5_200),
    Part(("coverage", "noisy"), ("vital",), "lora", _LORA, seeds=5, budget=5_200),
    Part(("target", "coverage", "noisy"), ("wikispeedia",), "lora", _LORA, seeds=5, budget=5_200),
)
"""The dear ones last: an oracle's cell takes as long as ten others, one of SmolLM2 minutes."""


@dataclass(frozen=True)
class Benchmark:
    """Carries out the benchmark.

    Args:
        out: Folder that keeps what came of each cell.
        workers: Cells carried out at a time.
        figures: Carry nothing out.
    """

    out: Path
    workers: int = 1
    figures: bool = False


def main(command: Benchmark) -> None:
    if CELLS.exists():
        print(f"{read_archive(CELLS, command.out)} cells put back from {CELLS}", flush=True)
    if not command.figures:
        executor = executors.make("process", workers=command.workers)
        for part, seed in rounds():
            carry_out(part.cells(seed), command, executor)
            keep(command.out)
    keep(command.out)
    tell(command.out)


def rounds() -> Iterator[tuple[Part, int]]:
    """Parts in turn, each seed after seed."""
    for part in PARTS:
        for seed in range(part.seeds):
            yield part, seed


def carry_out(cells: list[Cell], command: Benchmark, executor: Executor) -> None:
    """Carry cells out, those that are finished left out, and print a line for each."""
    check_folder(command.out, cells)
    pace = Pace(cells, command.workers)
    for done, row in enumerate(run_cells(cells, command.out, executor), start=1):
        pace.book(row)
        named = "/".join(str(row[name]) for name in ("task", "corpus", "learner", "agent", "seed"))
        print(f"{done}/{len(cells)} {named} {row['status']}, {(pace.left() or 0) / 60:.0f} minutes left", flush=True)


def keep(out: Path) -> None:
    """Bring the committed files up to date."""
    rows = read_rows(out)
    write_archive(out, CELLS)
    told = {"rows": compare(rows), "across_goals": across_goals(rows), "ranking": rank_agents(rows)}
    told["controls"] = {agent: gains(rows, agent, control) for agent, control in CONTROLS.items()}
    write_json(FIGURES, told | {"failed": failures(rows), "missing": missing(rows)})


def gains(rows: Sequence[Mapping[str, Any]], agent: str, control: str) -> list[dict[str, Any]]:
    """The area of an agent less that of its control, seed by seed, in each place."""
    found = []
    for (task, corpus, learner), cells in sorted(finished(rows).items()):
        ours, theirs = cells.get(agent, {}), cells.get(control, {})
        if seeds := sorted(ours.keys() & theirs.keys()):
            gain = paired_difference([ours[s]["aulc"] for s in seeds], [theirs[s]["aulc"] for s in seeds])
            place = {"task": task, "corpus": corpus, "learner": learner, "pairs": len(seeds)}
            limits = {"low": gain.low, "high": gain.high} if len(seeds) > 1 else {"low": None, "high": None}
            found.append({**place, "difference": gain.value, **limits})
    return found


def tell(out: Path) -> None:
    """Write the tables and draw the pictures."""
    computed = Computed.of(Results.read(out))
    by_hand = PAGE.read_text(encoding="utf-8").partition(TABLES)[0]
    write_text(PAGE, "\n".join([by_hand + TABLES, *tables(computed)]))
    draw_pictures(computed, out / "figures")
    PICTURES.mkdir(exist_ok=True)
    for kind in ("verdicts", "curves", "aggregates"):
        for picture in (out / "figures").glob(f"{kind}-*.png"):
            shutil.copyfile(picture, PICTURES / picture.name)


def tables(computed: Computed) -> Iterator[str]:
    """The aggregates of each learner, then the verdicts of each place: who has any cell, without sentences."""
    rows = computed.results.rows
    goals = [row for row in across_goals(rows) if row["goals"] >= _FEWEST_GOALS]
    yield "### Over all goals of target\n\n" + Table(_GOAL_COLUMNS, goals).markdown()
    for agent, control in CONTROLS.items():
        yield f"### {agent} less {control}\n\n" + Table(_GAIN_COLUMNS, gains(rows, agent, control)).markdown()
    for learner, places in computed.results.learners.items():
        yield f"### All tasks, {learner}\n\n{aggregate_table(computed.aggregates[learner], len(places)).markdown()}"
        for place in places:
            table = verdict_table(computed.results, place)
            columns = [column for column in table.columns if column.heading != "in words"]
            if computed.noise[place]:
                columns.append(Column("noise", lambda row: share(row["noise_share"]), "of tokens"))
            there = [row for row in table.rows if row["seeds"]]
            yield f"### {place.name}\n\n{Table(columns, there).markdown()}"


_FEWEST_GOALS = 3
_GOAL_COLUMNS = (
    *(Column(name, lambda row, name=name: str(row[name]), text=True) for name in ("learner", "agent")),
    *(Column(name, lambda row, name=name: str(row[name])) for name in ("goals", "pairs")),
    Column("speed-up", lambda row: f"{row['speedup']:.2f}", "times fewer tokens", lambda row: _limits(row, "speedup_")),
    Column("never there", lambda row: str(row["censored"]), "runs"),
)
_GAIN_COLUMNS = (
    *(Column(name, lambda row, name=name: str(row[name]), text=True) for name in ("task", "corpus", "learner")),
    Column("pairs", lambda row: str(row["pairs"])),
    Column("AULC", lambda row: f"{row['difference']:+.3f}", "nats per token", lambda row: _limits(row, "")),
)


def _limits(row: Mapping[str, Any], prefix: str) -> str:
    return span(row[f"{prefix}low"], row[f"{prefix}high"], ".3f")


if __name__ == "__main__":
    main(tyro.cli(Benchmark, description=__doc__))
