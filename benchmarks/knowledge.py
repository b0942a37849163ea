"""Measure what curricula make known: facts recalled over tokens, agents beside shuffled passes with the same seeds.

    python benchmarks/knowledge.py --out runs/knowledge --seeds 10 --workers 2 --json docs/results/knowledge.json

The task is `recall`: an invented world is read again and again, and facts are asked for thirty times. `tokens_to_level`
are the tokens until the share of one-hop facts recalled, as the mean of two exams in a row, reaches `--level`; its
geometric mean counts runs that do not get there at the budget. `speedup` is the ratio to shuffled passes (`iid`),
paired by seed. `retained` is the last such mean as a share of the largest. Cells that were carried out are kept in the
folder, so an interrupted measurement goes on. Rows of other worlds and learners that are in the JSON file stay in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.benchmark.folder import check_folder
from kgrl.benchmark.runner import Cell, run_cells
from kgrl.benchmark.statistics import speedup
from kgrl.runs.metrics import RECALL_LEVEL, Curve, smooth, tokens_to_level
from kgrl.system.executors import executors
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

RIVAL = "iid"


@dataclass(frozen=True)
class Knowledge:
    """Carry out the cells and compare them.

    Args:
        out: Folder that keeps the result of each cell.
        json: File for the comparison.
        seeds: Number of seeds.
        agents: Agents to compare with shuffled passes.
        corpus: The invented world.
        learner: The learner, with options after its name.
        budget: Most tokens of a cell, if not the task's.
        level: Share of one-hop facts to reach.
        stop: End each cell at the level. What is known at the end is then not comparable, and left out.
        workers: Curricula at a time.
    """

    out: Path
    json: Path
    seeds: int = 10
    agents: tuple[str, ...] = ("nucleated", "random-nucleated")
    corpus: str = "invented:400"
    learner: str = "scratch"
    budget: int | None = None
    level: float = RECALL_LEVEL
    stop: bool = False
    workers: int = 1


def main(command: Knowledge) -> None:
    agents = (RIVAL, *command.agents)
    corpus, learner, budget = command.corpus, command.learner, command.budget
    until = command.level if command.stop else None
    seeds = range(command.seeds)
    cells = [Cell("recall", corpus, learner, agent, seed, budget, level=until) for seed in seeds for agent in agents]
    check_folder(command.out, cells)
    rows = dict[tuple[str, int], dict[str, Any]]()
    for row in run_cells(cells, command.out, executors.make("process", workers=command.workers)):
        reached = tokens_to_level(_curve(row), command.level) if row["status"] == "finished" else row["error"]
        print(row["agent"], row["seed"], row["status"], reached, flush=True)
        rows[row["agent"], row["seed"]] = row
        write_json(command.json, {"level": command.level, "rows": [*_others(command), *compare(rows, command)]})


def _others(command: Knowledge) -> list[dict[str, Any]]:
    """Return the rows in the file that are of other worlds or learners; they stay."""
    if not command.json.exists():
        return []
    ours = command.corpus, command.learner
    rows = read_json(command.json, dict[str, Any])["rows"]
    return [row for row in rows if (row["corpus"], row["learner"]) != ours]


def compare(rows: dict[tuple[str, int], dict[str, Any]], command: Knowledge) -> list[dict[str, Any]]:
    """Return a row for each agent, over the seeds that it and shuffled passes have finished."""
    found = []
    for agent in (RIVAL, *command.agents):
        own = [rows[agent, s] for s in range(command.seeds) if _finished(rows, agent, s) and _finished(rows, RIVAL, s)]
        if len(own):
            found.append(_row(agent, own, [rows[RIVAL, row["seed"]] for row in own], command))
    return found


def _finished(rows: dict[tuple[str, int], dict[str, Any]], agent: str, seed: int) -> bool:
    return rows.get((agent, seed), {}).get("status") == "finished"


def _row(agent: str, own: list[dict[str, Any]], rival: list[dict[str, Any]], command: Knowledge) -> dict[str, Any]:
    budget, level = own[0]["budget"], command.level
    tokens = [tokens_to_level(_curve(row), level) for row in own]
    ratio = speedup([tokens_to_level(_curve(row), level) for row in rival], tokens, budget)
    ends = [smooth(row["recalled"]["1"]) for row in own]
    return {
        "task": "recall",
        "corpus": command.corpus,
        "learner": command.learner,
        "agent": agent,
        "seeds": len(own),
        "recall_1": None if command.stop else float(np.mean([end[-1] for end in ends])),
        "recall_2": None if command.stop else float(np.mean([smooth(row["recalled"]["2"])[-1] for row in own])),
        "tokens_to_level": float(np.exp(np.mean(np.log([t or budget for t in tokens])))),
        "never": sum(t is None for t in tokens),
        "speedup": ratio.ratio.value,
        "speedup_low": ratio.ratio.low,
        "speedup_high": ratio.ratio.high if np.isfinite(ratio.ratio.high) else None,
        "retained": None if command.stop else float(np.mean([end[-1] / max(end) for end in ends])),
        "probing_share": float(np.mean([_probing(row) for row in own])),
        "by_seed": dict(zip([row["seed"] for row in own], tokens, strict=True)),
    }


def _probing(row: dict[str, Any]) -> float:
    """Return the share of a run's floating-point operations that is probing: 2 for each token read, 6 trained on."""
    return float(2 * row["probe_tokens"] / (6 * row["tokens"] + 2 * row["probe_tokens"]))


def _curve(row: dict[str, Any]) -> Curve:
    """Return the curve of recall of one-hop facts."""
    return [(tokens, share) for (tokens, _), share in zip(row["curve"], row["recalled"]["1"], strict=True)]


if __name__ == "__main__":
    main(tyro.cli(Knowledge))
