"""Fit the simulated learner that remembers and forgets to runs of a scratch learner, and measure how well it predicts.

    python benchmarks/remembering.py --runs runs/remembering --json docs/results/remembering.json --ship

Runs that the folder does not have are carried out first: agents on invented worlds that no result is reported for, with
the task `recall` at a rate of .0015, asking for links (`--mastery recall`) and measuring topics' probe passages. Errors
are those of fits that did not see any run on the same world. `--ship` writes the calibration that comes with kgrl.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.builtin import FOLDER
from kgrl.data import load_corpus
from kgrl.learners.simulated.courses import read_run, tokens_per_word
from kgrl.learners.simulated.memory_calibration import MemoryCalibration
from kgrl.learners.simulated.memory_fit import StudyRun, fit_memory_calibration
from kgrl.system.files import write_json

LEARNER = "scratch:learning_rate=0.0015"
RUNS = (
    ("invented:400:1", 0, ("iid", "random", "nucleated", "spaced"), 1_000_000),
    ("invented:400:2", 1, ("iid", "random", "nucleated", "spaced"), 1_000_000),
    ("invented:600:3", 0, ("iid", "nucleated"), 1_000_000),
)
"""World, seed, agents and tokens."""


@dataclass(frozen=True)
class Remembering:
    """Carry out the runs, fit, and report the errors.

    Args:
        runs: Folder of the runs; those that it holds already are read.
        json: File for the figures.
        ship: Write the calibration that comes with kgrl.
    """

    runs: Path
    json: Path
    ship: bool = False


def main(command: Remembering) -> None:
    read = []
    for world, seed, agents, tokens in RUNS:
        for agent in agents:
            folder = command.runs / f"{world.replace(':', '-')}-{agent}-{seed}"
            carry_out(folder, world, agent, seed, tokens)
            corpus = load_corpus(world)
            read.append((f"{world} {agent} {seed}", corpus, read_run(folder, corpus)))
    rate = float(np.mean([tokens_per_word(corpus, [expansions]) for _, corpus, expansions in read]))
    runs = [StudyRun.of(name, corpus, expansions, rate) for name, corpus, expansions in read]
    found = fit_memory_calibration(runs, learner=LEARNER, rate=rate, on_fit=lambda what: print(what, flush=True))
    write_json(command.json, {"errors": asdict(found.errors), "runs": [row(run, found) for run in runs]})
    if command.ship:
        found.write(FOLDER / "memory-scratch.json")


def carry_out(folder: Path, world: str, agent: str, seed: int, tokens: int) -> None:
    """Carry out a run, or finish it, unless the folder holds its result."""
    if (folder / "result.json").exists():
        return
    settings = {
        "--task": "recall",
        "--corpus": world,
        "--agent": agent,
        "--seed": seed,
        "--learner": LEARNER,
        "--mastery": "recall:0.5",
        "--reward": "mean-prediction-gain + knowledge-gain",
        "--budget-tokens": tokens,
        "--out": folder,
    }
    # An interrupted run that has a checkpoint goes on.
    words = ["--resume", folder] if (folder / "checkpoint" / "latest.json").exists() else sum(settings.items(), ())
    subprocess.run([sys.executable, "-c", "from kgrl.cli import main; main()", "run", *map(str, words)], check=True)


def row(run: StudyRun, found: MemoryCalibration) -> dict[str, Any]:
    """Return measured and predicted shares of links known, at ten moments of a run that the fit has seen."""
    predicted = run.predict(found.parameters)
    together = -(-len(run.ends) // 10)
    return {
        "run": run.name,
        "tokens": int(run.ends[-1]),
        "measured": run.mean_shares(run.shares, together).round(3).tolist(),
        "fitted": run.mean_shares(predicted.shares, together).round(3).tolist(),
    }


if __name__ == "__main__":
    main(tyro.cli(Remembering))
