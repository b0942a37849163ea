"""Tunes the agents with equal budgets, and writes what is found to agents/tuned and docs/results/tuning.json.

    python benchmarks/tuning.py --out FOLDER --workers 1

It goes on where it was stopped, and with the same folder further agents cost their own trials alone.
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
    """Tunes agents.

    Args:
        out: Folder that keeps what came of each cell.
        agents: Agents by name; all that have something to tune if none is named.
        trials: Trials of each agent, the defaults among them.
        seeds: Curricula of a trial in each place.
        seed: Seeds the drawing of options.
        workers: Cells carried out at a time.
        tuned: Folder for the options that were found.
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
    """Write what was found for an agent; where all its trials failed, say so and leave it with its defaults."""
    try:
        path = write_tuned(tuned, search, repeat, folder)
    except KgrlError as error:
        print(error)
        return
    print(f"{path}: {tuned.best.options}, score {tuned.best.score:.2f}, of the defaults {tuned.outcomes[0].score}")


def as_row(tuned: Tuned) -> dict[str, Any]:
    """What the JSON file says of an agent."""
    return {"agent": tuned.agent, "cells": tuned.cells, "trials": [asdict(outcome) for outcome in tuned.outcomes]}


def repeated(command: Tuning) -> str:
    """The command that repeats the search."""
    options = f"--trials {command.trials} --seeds {command.seeds} --seed {command.seed}"
    return f"python benchmarks/tuning.py --out FOLDER --agents {shlex.join(command.agents)} {options}"


if __name__ == "__main__":
    main(tyro.cli(Tuning, description=__doc__))
