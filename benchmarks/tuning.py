"""Tune the agents with equal budgets, and write the options to agents/tuned and all trials to docs/results/tuning.json.

    python benchmarks/tuning.py --out FOLDER --workers 1

It continues where it was stopped, and in the same folder further agents cost only their own trials. Sixteen agents have
some 500 cells, of five to twenty seconds of a core each.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from tuning_search import Search, Tuned, write_tuned
from tuning_spaces import SPACES

from kgrl.agents.make import TUNED
from kgrl.benchmark.runner import Pace
from kgrl.errors import KgrlError
from kgrl.system.executors import executors
from kgrl.system.files import write_json


@dataclass(frozen=True)
class Tuning:
    """Tune agents.

    Args:
        out: Folder that keeps the result of each cell.
        agents: Agents by name; by default all that have options to tune.
        trials: Number of trials of each agent, the defaults among them.
        seeds: Number of curricula of a trial in each place.
        seed: Seeds the drawing of options.
        workers: Cells carried out at a time.
        tuned: Folder for the best options.
        json: File for all trials.
    """

    out: Path
    agents: tuple[str, ...] = tuple(SPACES)
    trials: int = 12
    seeds: int = 1
    seed: int = 0
    workers: int = 1
    tuned: Path = TUNED
    json: Path = Path("docs/results/tuning.json")


def main(command: Tuning) -> None:
    search = Search(command.agents, command.trials, command.seeds, command.seed)
    carry_out(search, command)
    results, repeat = search.results(command.out), repeated(command)
    for tuned in results:
        write_and_tell(tuned, search, repeat, command.tuned)
    write_json(command.json, {"command": repeat, **asdict(search), "rows": [as_row(tuned) for tuned in results]})


def carry_out(search: Search, command: Tuning) -> None:
    """Carry out the cells and print a line for each."""
    executor = executors.make("process" if command.workers > 1 else "serial", workers=command.workers)
    cells = search.cells()
    pace = Pace(cells, command.workers)
    for done, row in enumerate(search.run(command.out, executor), start=1):
        pace.book(row)
        named = "/".join(str(row[name]) for name in ("task", "corpus", "agent", "seed"))
        print(f"{done}/{len(cells)} {named} {row['status']}, {(pace.left() or 0) / 60:.0f} minutes left", flush=True)


def write_and_tell(tuned: Tuned, search: Search, repeat: str, folder: Path) -> None:
    """Write an agent's best options; if all its trials failed, print that and leave it with its defaults."""
    try:
        path = write_tuned(tuned, search, repeat, folder)
    except KgrlError as error:
        print(error)
        return
    print(f"{path}: {tuned.best.options}, score {tuned.best.score:.2f}, of the defaults {tuned.outcomes[0].score}")


def as_row(tuned: Tuned) -> dict[str, Any]:
    """Return an agent's row in the JSON file."""
    return {"agent": tuned.agent, "cells": tuned.cells, "trials": [asdict(outcome) for outcome in tuned.outcomes]}


def repeated(command: Tuning) -> str:
    """Return the command that repeats the search."""
    options = f"--trials {command.trials} --seeds {command.seeds} --seed {command.seed}"
    return f"python benchmarks/tuning.py --out FOLDER --agents {shlex.join(command.agents)} {options}"


if __name__ == "__main__":
    main(tyro.cli(Tuning, description=__doc__))
