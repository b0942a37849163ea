"""Compare agents that work towards goals with random ones with the same seeds: tokens to random's final exam loss.

    python benchmarks/goals.py --tasks lora --agents random policies/ppo --json docs/results/goals_lora.json

Runs are kept in a folder and not repeated, so the script can be stopped and started again, and agents can be run one
after another. None of the goals of `TASKS` is among those that agents are trained on. One thread. A run takes about
two minutes with SmolLM2 (on `wikispeedia` up to four) and 15 seconds with the scratch learner.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from kgrl.cli.run import RunCommand
from kgrl.runs.metrics import tokens_to_target
from kgrl.system.files import write_json


class Task(NamedTuple):
    """A goal, and the tokens that are spent on it."""

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
    "coverage": (Task("vital", None, *SCRATCH), Task("wikispeedia", None, *SCRATCH)),
}
LEARNERS = {"lora": "lora", "scratch": "scratch", "coverage": "scratch"}
SEEDS = {"lora": range(5), "scratch": range(10), "coverage": range(5)}
PROBED, EXAMINED = 24, 48
DRAWS = 4_000
KEPT = ("exam_loss_before", "exam_loss_after", "aulc", "tokens", "probe_tokens", "expansions", "seconds", "curve")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", choices=sorted(TASKS), default="lora")
    parser.add_argument("--agents", nargs="+", default=["random"], help="names, or folders of trained policies")
    parser.add_argument("--corpus", help="only the tasks of this corpus")
    parser.add_argument("--runs", type=Path, default=Path("runs/goals"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="file for the figures of all runs in that folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = [task for task in TASKS[arguments.tasks] if arguments.corpus in (None, task.corpus)]
    # Seeds outermost, so that a stopped script has complete pairs.
    for seed in SEEDS[arguments.tasks]:
        for task in tasks:
            for agent in arguments.agents:
                folder = arguments.runs / arguments.tasks / name_of(task, agent, seed)
                if not (folder / "result.json").exists():
                    carry_out(LEARNERS[arguments.tasks], task, agent, seed, folder)
    rows = rows_of(arguments.runs / arguments.tasks)
    figures = {agent: summary(rows, agent) for agent in sorted({row["agent"] for row in rows} - {"random"})}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        write_json(arguments.json, {"summary": figures, "runs": rows})


def name_of(task: Task, agent: str, seed: int) -> str:
    """Return the name of a run's folder."""
    return "-".join([task.corpus, (task.goal or "all").replace(" ", "_"), Path(agent).name, str(seed)])


def carry_out(learner: str, task: Task, agent: str, seed: int, folder: Path) -> None:
    """Carry out one run, or continue it."""
    reward = "target-prediction-gain" if task.goal else "mean-prediction-gain"
    sizes = {"probe_topics": PROBED, "exam_topics": EXAMINED, "exam_every": 2 if learner == "lora" else 4}
    command = RunCommand(**task._asdict(), **sizes, learner=learner, agent=agent, seed=seed, reward=reward, out=folder)
    if (folder / "checkpoint").exists():
        command = RunCommand(resume=folder)
    print(folder.name, round(command.run()["seconds"]), flush=True)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of all finished runs."""
    rows = []
    for path in sorted(folder.glob("*/result.json")):
        config = RunCommand(resume=path.parent).resumed()
        setting = {"corpus": config.corpus, "goal": config.goal, "agent": Path(config.agent).name, "seed": config.seed}
        figures = json.loads(path.read_text())
        rows.append({**setting, "budget_tokens": config.budget_tokens, **{name: figures[name] for name in KEPT}})
    return rows


def summary(rows: list[dict[str, Any]], agent: str) -> dict[str, Any]:
    """Return an agent's speed-ups to random's final loss, as geometric means with 95% bootstrap intervals, and areas.

    A run that never reaches the loss counts as one that takes twice the budget, and is counted as censored, too.
    Bootstrap samples draw pairs within each task. A pair is won where the area under the learning curve is smaller.
    """
    random = {(row["corpus"], row["goal"], row["seed"]): row for row in rows if row["agent"] == "random"}
    pairs: dict[str, list[tuple[float, bool, float]]] = {}
    for row in rows:
        key = row["corpus"], row["goal"], row["seed"]
        if row["agent"] == agent and key in random:
            pairs.setdefault(f"{row['corpus']}, {row['goal'] or 'all topics'}", []).append(pair(row, random[key]))
    # Ratios are averaged as logarithms, in which twice and half as many tokens are equally far from 1.
    logs = [np.log([ratio for ratio, _, _ in of_task]) for of_task in pairs.values()]
    gaps = [np.array([gap for _, _, gap in of_task]) for of_task in pairs.values()]
    return {
        "pairs": sum(map(len, gaps)),
        "censored": sum(censored for of_task in pairs.values() for _, censored, _ in of_task),
        "speed_up": [float(np.exp(value)) for value in interval(logs)],
        "aulc_difference": interval(gaps),
        "probability_of_improvement": float(np.mean([np.mean(gap < 0) for gap in gaps])),
        "speed_up_by_task": {task: float(np.exp(log.mean())) for task, log in zip(pairs, logs, strict=True)},
    }


def pair(row: dict[str, Any], random: dict[str, Any]) -> tuple[float, bool, float]:
    """Return the ratio of tokens, whether the agent is censored, and the difference of areas, in nats per token."""
    target, budget = random["curve"][-1][1], row["budget_tokens"]
    ours, theirs = (tokens_to_target([(int(t), loss) for t, loss in r["curve"]], target) for r in (row, random))
    assert theirs is not None
    return theirs / (2 * budget if ours is None else max(ours, 1.0)), ours is None, row["aulc"] - random["aulc"]


def interval(groups: list[Any]) -> list[float]:
    """Return the mean over groups' means, and its 95% interval by a bootstrap within groups."""
    rng = np.random.default_rng(0)
    drawn = [np.mean([rng.choice(group, len(group)).mean() for group in groups]) for _ in range(DRAWS)]
    return [float(np.mean([group.mean() for group in groups])), *np.percentile(drawn, [2.5, 97.5]).tolist()]


if __name__ == "__main__":
    main()
