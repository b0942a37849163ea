"""Run SmolLM2 curricula with up to three seeds on both corpora, and tabulate their exam losses.

    python benchmarks/first_runs.py --json docs/results/first_runs.json

Finished runs are kept in the JSON file and not repeated, so the script can be stopped and started again. All of them
take about 50 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kgrl.cli.run import RunCommand
from kgrl.runs.metrics import tokens_to_target
from kgrl.system.files import write_json


class Task(NamedTuple):
    """A corpus, its goal (all topics if None), and the tokens of a run."""

    corpus: str
    goal: str | None
    budget_tokens: int


TASKS = (Task("vital", None, 6_000), Task("wikispeedia", None, 6_000))
SEEDS = {"random": (0, 1, 2), "closure": (0, 1, 2), "curiosity": (0,)}
"""The seeds of each agent, on every task."""
KEPT = (
    "exam_loss_before",
    "exam_loss_after",
    "aulc",
    "tokens",
    "probe_tokens",
    "expansions",
    "topics",
    "seconds",
    "curve",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    done = {(r["corpus"], r["goal"], r["agent"], r["seed"]) for r in rows}
    todo = [(seed, task, agent) for agent, seeds in SEEDS.items() for seed in seeds for task in TASKS]
    for seed, task, agent in sorted(todo, key=lambda run: (run[2] == "curiosity", run[0])):  # paired seeds first
        if (task.corpus, task.goal, agent, seed) not in done:
            rows.append(one_run(task, agent, seed))
            write_json(arguments.json, rows)
    print(table(rows))


def one_run(task: Task, agent: str, seed: int) -> dict[str, Any]:
    """Carry out one curriculum and return its setting and figures."""
    setting = {"corpus": task.corpus, "goal": task.goal, "agent": agent, "seed": seed}
    setting["budget_tokens"] = task.budget_tokens
    with tempfile.TemporaryDirectory() as folder:
        # None of these agents looks at rewards, so the reward is one that needs no probes.
        options = {"reward": "token-cost", "exam_every": 2 if task.goal else 4, "out": Path(folder) / "run"}
        figures = RunCommand(**setting, **options, expansion_tokens=task.budget_tokens // 12 + 1).run()
    return {**setting, **{name: figures[name] for name in KEPT}}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each task and agent: means over seeds, and paired differences from random."""
    lines = [
        "| corpus | goal | agent | seeds | before | after | AULC | after, less random's: mean (range) | speed-up |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        of_task = [r for r in rows if (r["corpus"], r["goal"]) == (task.corpus, task.goal)]
        random = {r["seed"]: r for r in of_task if r["agent"] == "random"}
        for agent in SEEDS:
            own = [r for r in of_task if r["agent"] == agent and r["seed"] in random]
            lines.append(f"| {task.corpus} | {task.goal or 'all'} | {agent} | {_cells(own, random)} |")
    return "\n".join(lines)


def _cells(own: list[dict[str, Any]], random: dict[int, dict[str, Any]]) -> str:
    means = [f"{np.mean([r[name] for r in own]):.3f}" for name in ("exam_loss_before", "exam_loss_after", "aulc")]
    # Paired by seed: the same seed gives both agents the same learner and exam.
    gaps = np.array([r["exam_loss_after"] - random[r["seed"]]["exam_loss_after"] for r in own])
    ratios = [_speed_up(r["curve"], random[r["seed"]]["curve"]) for r in own]
    reached = ", ".join("not reached" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
    gap = f"{gaps.mean():+.3f} ({gaps.min():+.3f} to {gaps.max():+.3f})"
    return " | ".join([str(len(own)), *means, gap, reached])


def _speed_up(curve: list[list[float]], random: list[list[float]]) -> float | None:
    """Return random's tokens to its final loss over this curve's tokens to it; None if it never reaches it."""
    target = random[-1][1]
    own, baseline = (tokens_to_target([(int(t), loss) for t, loss in c], target) for c in (curve, random))
    return None if own is None or baseline is None else baseline / own


if __name__ == "__main__":
    main()
