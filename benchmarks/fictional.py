r"""Measure what a pretrained model comes to know of invented articles: agents beside shuffled passes, seed by seed.

    python benchmarks/fictional.py --out runs/fictional --learner lora:learning_rate=0.001 \
        --json docs/results/fictional.json

The task is `recall:fictional`: SmolLM2 with LoRA reads the articles of `fictional`, which needs the data set in
`$KGRL_DATA`, and is asked cloze questions of three depths (`mem` word for word, `gen` in other words, `hard_gen` with
an inference) before and after, and on the way. Shares are means of two exams in a row. `mean` is the mean share over
all exams on the way, so it tells who knows more per token. `less` is the difference to shuffled passes (`iid`), paired
by seed. Cells that were carried out are kept in the folder. Rows of other learners that are in the JSON file stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.runner import Cell, run_cells
from kgrl.benchmark.statistics import paired_difference
from kgrl.runs.metrics import smooth
from kgrl.system.executors import executors
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

TASK, CORPUS, RIVAL = "recall:fictional", "fictional", "iid"


@dataclass(frozen=True)
class Fictional:
    """Carry out the cells and compare them.

    Args:
        out: Folder that keeps the result of each cell.
        json: File for the comparison.
        seeds: Number of seeds.
        first_seed: The first of the seeds: rates are chosen on others than they are shown on.
        agents: Agents to compare with shuffled passes.
        learner: The learner, with options after its name.
        budget: Most tokens of a cell.
        workers: Curricula at a time.
    """

    out: Path
    json: Path
    seeds: int = 5
    first_seed: int = 0
    agents: tuple[str, ...] = ("nucleated",)
    learner: str = "lora"
    budget: int = 120_000
    workers: int = 1


def main(command: Fictional) -> None:
    agents, seeds = (RIVAL, *command.agents), range(command.first_seed, command.first_seed + command.seeds)
    cells = [Cell(TASK, CORPUS, command.learner, a, s, command.budget) for s in seeds for a in agents]
    check_folder(command.out, cells)
    rows = dict[tuple[str, int], dict[str, Any]]()
    for row in run_cells(cells, command.out, executors.make("process", workers=command.workers)):
        told = row["error"] if row["status"] == "failed" else {g: s[-1] for g, s in row["recalled"].items()}
        print(row["agent"], row["seed"], row["status"], told, flush=True)
        if row["status"] == "finished":
            rows[row["agent"], row["seed"]] = row
        write_json(command.json, {"rows": [*_others(command), *compare(rows, command)]})


def _others(command: Fictional) -> list[dict[str, Any]]:
    """Return the rows in the file that are of other learners, budgets or seeds; they stay."""
    if not command.json.exists():
        return []
    ours = command.learner, command.budget, command.first_seed
    rows = read_json(command.json, dict[str, Any])["rows"]
    return [row for row in rows if (row["learner"], row["budget"], min(row["seeds"])) != ours]


def compare(rows: dict[tuple[str, int], dict[str, Any]], command: Fictional) -> list[dict[str, Any]]:
    """Return a row for each agent, over the seeds that it and shuffled passes have finished."""
    found = []
    for agent in (RIVAL, *command.agents):
        seeds = sorted(seed for name, seed in rows if name == agent and (RIVAL, seed) in rows)
        if seeds:
            own, rival = [rows[agent, seed] for seed in seeds], [rows[RIVAL, seed] for seed in seeds]
            found.append(
                {
                    "task": TASK,
                    "learner": command.learner,
                    "agent": agent,
                    "budget": command.budget,
                    "seeds": seeds,
                    "exam_loss": float(np.mean([row["curve"][-1][1] for row in own])),
                    "groups": {group: _shares(own, rival, group) for group in sorted(own[0]["recalled"])},
                    "all": _shares(own, rival, None),
                }
            )
    return found


def _shares(own: list[dict[str, Any]], rival: list[dict[str, Any]], group: str | None) -> dict[str, Any]:
    """Return the shares recalled of a group of questions, or of all, and the differences to shuffled passes."""
    ours, theirs = [_curve(row, group) for row in own], [_curve(row, group) for row in rival]
    moments = {"after": lambda curve: smooth(curve.tolist())[-1], "mean": lambda curve: curve[1:].mean()}
    shares: dict[str, Any] = {"before": float(np.mean([curve[0] for curve in ours]))}
    for name, taken in moments.items():
        mine, other = [float(taken(curve)) for curve in ours], [float(taken(curve)) for curve in theirs]
        less = paired_difference(mine, other)
        shares[name] = float(np.mean(mine))
        if len(mine) > 1 and own != rival:
            shares[f"{name}_less"] = [less.value, less.low, less.high]
    return shares


def _curve(row: dict[str, Any], group: str | None) -> NDArray[np.float64]:
    """Return the share recalled at each exam, of a group of questions or of all."""
    if group is not None:
        return np.array(row["recalled"][group])
    weights = np.array([row["asked"][name] for name in row["recalled"]])
    return np.average(np.array(list(row["recalled"].values())), axis=0, weights=weights)


if __name__ == "__main__":
    main(tyro.cli(Fictional))
