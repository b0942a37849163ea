"""Carry out the benchmark of docs/results/benchmark.md, seed by seed, and write its tables and pictures.

    python benchmarks/benchmark.py --out FOLDER --workers 2
    python benchmarks/benchmark.py --out FOLDER --figures

The first command starts from the cells in docs/results/benchmark_cells.parquet. After every seed of every part it
updates that file and benchmark.json beside it, so that it can be stopped at any time and continued on another machine.
At the end it draws the pictures in docs/results/benchmark/ and writes the tables of benchmark_tables.py into
benchmark.md, between comments that name them; the other text of the page holds no figure measured here. The second
command only draws and writes. `kgrl bench` makes the same cells, and the report, in the same folder.

Ten seeds of all scratch cells take five to eight hours of two cores, a cell of SmolLM2 two to nine minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import tyro
from benchmark_archive import read_archive, write_archive
from benchmark_tables import CONTROLS, CORPORA, TASKS, asked, gains, glance, measured, noise_worth, tables
from pages import fill

from kgrl.agents import agents
from kgrl.benchmark.comparison import across_goals, compare, missing
from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.report.computed import Computed
from kgrl.benchmark.report.pictures import draw_pictures
from kgrl.benchmark.report.results import Results
from kgrl.benchmark.runner import Cell, Pace, failures, read_rows, run_cells
from kgrl.benchmark.scores import CEILING, rank_agents
from kgrl.system.executors import Executor, executors
from kgrl.system.files import write_json, write_text

RESULTS = Path("docs/results")
CELLS, FIGURES = RESULTS / "benchmark_cells.parquet", RESULTS / "benchmark.json"
ENCODER = "minilm"
"""The default encoder when the benchmark began; cells of another would not be comparable with the archive's."""
PAGE, PICTURES = RESULTS / "benchmark.md", RESULTS / "benchmark"


@dataclass(frozen=True)
class Part:
    """A part of the benchmark: tasks and agents that are carried out together, one seed after another.

    Args:
        tasks: Tasks by name.
        corpora: Corpora by name.
        learner: The learner by name.
        agents: Agents by name.
        seeds: Number of seeds.
        budget: Most tokens of a curriculum, where the task's own budget is larger.
    """

    tasks: tuple[str, ...]
    corpora: tuple[str, ...]
    learner: str
    agents: tuple[str, ...]
    seeds: int
    budget: int | None = None

    def cells(self, seed: int) -> list[Cell]:
        """Return the cells of a seed."""
        places = product(self.tasks, self.corpora, self.agents)
        return [Cell(task, corpus, self.learner, agent, seed, self.budget, ENCODER) for task, corpus, agent in places]


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
PARTS = (
    Part(TASKS, CORPORA, "scratch", _CHEAP, seeds=10),
    Part(TASKS, CORPORA, "scratch", ("random", CEILING), seeds=10),
    Part(_GOALS, ("vital",), "scratch", ("random", "ppo", "interleaved"), seeds=10),
    Part(_GOALS, ("vital",), "lora", _LORA, seeds=5, budget=5_200),
    Part(("coverage", "noisy"), ("vital",), "lora", _LORA, seeds=5, budget=5_200),
    Part(("target", "coverage", "noisy"), ("wikispeedia",), "lora", _LORA, seeds=5, budget=5_200),
)
"""The parts, the expensive ones last: an oracle's cell takes as long as ten others, one of SmolLM2 minutes."""


@dataclass(frozen=True)
class Benchmark:
    """Carry out the benchmark.

    Args:
        out: Folder that keeps the result of each cell.
        workers: Cells carried out at a time.
        figures: Carry out no cell; only draw and write.
    """

    out: Path
    workers: int = 1
    figures: bool = False


def main(command: Benchmark) -> None:
    if CELLS.exists():  # the cells of other machines, too
        print(f"{read_archive(CELLS, command.out)} cells put back from {CELLS}", flush=True)
    if not command.figures:
        executor = executors.make("process", workers=command.workers)
        for part, seed in rounds():
            carry_out(part.cells(seed), command, executor)
            keep(command.out)  # after every seed, so that a stop loses no more than one
    keep(command.out)
    tell(command.out)


def rounds() -> Iterator[tuple[Part, int]]:
    """Give the parts in turn, each with one seed after another."""
    for part in PARTS:
        for seed in range(part.seeds):
            yield part, seed


def carry_out(cells: list[Cell], command: Benchmark, executor: Executor) -> None:
    """Carry out the cells that are not finished, and print a line for each."""
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
    told["noise_worth"] = noise_worth(rows)
    write_json(FIGURES, told | {"failed": failures(rows), "missing": missing(rows)})


def tell(out: Path) -> None:
    """Write the tables and draw the pictures."""
    computed = Computed.of(Results.read(out))
    page, results = PAGE.read_text(encoding="utf-8"), computed.results
    page = fill(page, "asked", asked(results))
    page = fill(page, "measured", measured(results))
    write_text(PAGE, fill(page, "tables", "\n".join([*glance(results), *tables(computed)])))
    draw_pictures(computed, out / "figures")
    PICTURES.mkdir(exist_ok=True)
    # Only the kinds that the page shows; the folder has more.
    for kind in ("verdicts", "curves", "aggregates"):
        for picture in (out / "figures").glob(f"{kind}-*.png"):
            shutil.copyfile(picture, PICTURES / picture.name)


if __name__ == "__main__":
    main(tyro.cli(Benchmark, description=__doc__))
