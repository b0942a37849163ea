"""Agents that work towards goals, against random ones with the same seeds: tokens to random's final exam loss.

    python benchmarks/goals.py --learner lora --agents random policies/ppo --json docs/results/goals-lora.json

Runs are kept in a folder and not repeated, so the script can be stopped and started again, and agents can be run one
after the other. None of the goals of `TASKS` is among those that agents are trained on. One thread.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kgrl.cache import write_json
from kgrl.cli.run import RunCommand


class Task(NamedTuple):
    """A goal, and how much is spent on it."""

    corpus: str
    goal: str | None
    budget_tokens: int
    expansion_tokens: int


LORA = (5_200, 400)
SCRATCH = (40_000, 1_000)
TASKS = {
    "lora": (
        Task("vital", "Mathematics", *LORA),
        Task("vital", "Technology", *LORA),
        Task("vital", "Philosophy and religion", *LORA),
        Task("vital", "Arts", *LORA),
        Task("wikispeedia", "Religion", *LORA),
        Task("wikispeedia", "Citizenship", *LORA),
    ),
    "scratch": (Task("wikispeedia", "Religion", *SCRATCH), Task("wikispeedia", "Citizenship", *SCRATCH)),
}
SEEDS = {"lora": range(5), "scratch": range(10)}
PROBED, EXAMINED = 24, 48
KEPT = ("exam_loss_before", "exam_loss_after", "aulc", "tokens", "probe_tokens", "expansions", "seconds", "curve")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learner", choices=sorted(TASKS), default="lora")
    parser.add_argument("--agents", nargs="+", default=["random"], help="names, or folders of trained policies")
    parser.add_argument("--corpus", help="only the tasks of this corpus")
    parser.add_argument("--runs", type=Path, default=Path("runs/goals"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="file for the figures of all runs in that folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [task for task in TASKS[arguments.learner] if arguments.corpus in (None, task.corpus)]
    for seed in SEEDS[arguments.learner]:
        for task in tasks:
            for agent in arguments.agents:
                folder = arguments.runs / arguments.learner / name_of(task, agent, seed)
                if not (folder / "result.json").exists():
                    carry_out(arguments.learner, task, agent, seed, folder)
    if arguments.json:
        write_json(arguments.json, rows_of(arguments.runs / arguments.learner))


def name_of(task: Task, agent: str, seed: int) -> str:
    """The folder of a run."""
    return "-".join([task.corpus, (task.goal or "all").replace(" ", "_"), Path(agent).name, str(seed)])


def carry_out(learner: str, task: Task, agent: str, seed: int, folder: Path) -> None:
    """Carry out one run, or go on with it."""
    reward = "target-prediction-gain" if task.goal else "mean-prediction-gain"
    sizes = {"probe_topics": PROBED, "exam_topics": EXAMINED, "exam_every": 2 if learner == "lora" else 4}
    command = RunCommand(**task._asdict(), **sizes, learner=learner, agent=agent, seed=seed, reward=reward, out=folder)
    if (folder / "checkpoint").exists():
        command = RunCommand(resume=folder)
    print(folder.name, round(command.run()["seconds"]), flush=True)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The figures of all finished runs."""
    rows = []
    for path in sorted(folder.glob("*/result.json")):
        config = RunCommand(resume=path.parent)._resumed()
        setting = {"corpus": config.corpus, "goal": config.goal, "agent": Path(config.agent).name, "seed": config.seed}
        figures = json.loads(path.read_text())
        rows.append({**setting, "budget_tokens": config.budget_tokens, **{name: figures[name] for name in KEPT}})
    return rows


if __name__ == "__main__":
    main()
