"""Measure the agreement of the fidelity ladder: do simulated, scratch and LoRA learners rank agents alike?

    python benchmarks/ladder.py --rungs simulated scratch --json docs/results/ladder.json
    python benchmarks/ladder.py --rungs lora --corpus vital --seeds 1 --json docs/results/ladder.json

On each task every agent teaches every learner with the same budget and seeds. Spearman's rank correlation of the
agents' mean AULC of the exam is taken between each two learners; its 95% interval is a bootstrap over agents and seeds.
Runs are kept in a folder and not repeated, so the script can be stopped and started again, and rungs can be run one
after another; figures are of all runs in the folder. One thread. A run takes seconds with the simulated and the scratch
learner, and with SmolLM2 two minutes on `vital` and three and a half on `wikispeedia`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from kgrl.cli.run import RunCommand, run_recorded
from kgrl.curriculum import Curriculum
from kgrl.learners import make_learner
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json

AGENTS = ("random", "random-global", "closure", "bfs", "degree", "pagerank", "similarity", "curiosity")
RUNGS = ("simulated", "scratch", "lora")
PROBED, EXAMINED, EXAM_EVERY = 24, 48, 2
DRAWS = 2_000


class Task(NamedTuple):
    """A corpus, and a goal or all its topics."""

    corpus: str
    goal: str | None

    @property
    def name(self) -> str:
        """Its name in folders and results."""
        return f"{self.corpus}-{(self.goal or 'all').replace(' ', '_')}"


TASKS = (
    Task("vital", None),
    Task("vital", "Mathematics"),
    Task("wikispeedia", None),
    Task("wikispeedia", "Religion"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", nargs="+", choices=RUNGS, default=["simulated", "scratch"])
    parser.add_argument("--agents", nargs="+", default=AGENTS, help="names, or folders of trained policies")
    parser.add_argument("--corpus", help="only the tasks of this corpus")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--budget", type=int, default=3_000, help="tokens of a run")
    parser.add_argument("--expansion", type=int, default=250, help="tokens of an expansion")
    parser.add_argument("--runs", type=Path, default=Path("runs/ladder"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="file for the figures; those of other budgets are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {"budget_tokens": arguments.budget, "expansion_tokens": arguments.expansion}
    folder = arguments.runs / str(arguments.budget)
    for task in TASKS:
        if arguments.corpus in (None, task.corpus):
            carry_out(task, arguments.rungs, arguments.agents, range(arguments.seeds), sizes, folder)
    figures = figures_of(folder)
    print(json.dumps({name: task["agreement"] for name, task in figures.items()}, indent=2))
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        write_json(arguments.json, {**known, str(arguments.budget): figures})


def carry_out(
    task: Task, rungs: list[str], agents: list[str], seeds: range, sizes: dict[str, int], folder: Path
) -> None:
    """Carry out the missing runs of a task."""
    corpus = RunCommand(corpus=task.corpus).load_corpus()
    found = embed_corpus(corpus, Encoder())
    reward = "target-prediction-gain" if task.goal else "mean-prediction-gain"
    measured = {"probe_topics": PROBED, "exam_topics": EXAMINED, "exam_every": EXAM_EVERY, "reward": reward}
    for rung, seed, agent in itertools.product(rungs, seeds, agents):
        out = folder / task.name / rung / f"{Path(agent).name}-{seed}"
        if not (out / "result.json").exists():
            setting = {"learner": rung, "agent": agent, "seed": seed, **task._asdict(), **sizes}
            command = RunCommand(**setting, **measured)
            learner = make_learner(rung, corpus, seed=seed)
            run_recorded(command, out, Curriculum(corpus, learner, *found, reward, command.curriculum_config()))
            print(out, flush=True)


def figures_of(folder: Path) -> dict[str, Any]:
    """Return by task the agents' mean AULC at each rung, and the agreement of each two rungs."""
    figures = {}
    for task in sorted(path for path in folder.iterdir() if path.is_dir()):
        results = {rung: results_of(task / rung) for rung in RUNGS if (task / rung).is_dir()}
        pairs = itertools.combinations(results, 2)
        figures[task.name] = {
            "aulc": {rung: {a: float(np.mean(values)) for a, values in own.items()} for rung, own in results.items()},
            "seeds": {rung: len(next(iter(own.values()), ())) for rung, own in results.items()},
            "agreement": {f"{left} and {right}": agreement(results[left], results[right]) for left, right in pairs},
        }
    return figures


def results_of(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Return the AULC of each agent by seed, `[seeds]`, of the seeds that every agent has finished."""
    found: dict[str, dict[str, float]] = {}
    for path in folder.glob("*/result.json"):
        agent, seed = path.parent.name.rsplit("-", 1)
        found.setdefault(agent, {})[seed] = json.loads(path.read_text())["aulc"]
    # Only seeds that every agent has finished, so that all means are over the same seeds.
    seeds = sorted(set.intersection(*map(set, found.values()))) if found else []
    return {agent: np.array([own[seed] for seed in seeds]) for agent, own in sorted(found.items())}


def agreement(left: dict[str, NDArray[np.float64]], right: dict[str, NDArray[np.float64]]) -> dict[str, Any] | None:
    """Return Spearman's rank correlation over the agents of both rungs, with its interval; None for too few runs."""
    agents = sorted(set(left) & set(right))
    if len(agents) < 3 or not len(left[agents[0]]) or not len(right[agents[0]]):
        return None
    sides = [np.stack([side[agent] for agent in agents]) for side in (left, right)]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        # Agents and, for each learner separately, seeds are drawn again: both are samples.
        rows = rng.integers(len(agents), size=len(agents))
        means = [side[rows][:, rng.integers(side.shape[1], size=side.shape[1])].mean(axis=1) for side in sides]
        if all(np.ptp(mean) > 0 for mean in means):
            draws.append(spearmanr(*means).statistic)
    low, high = np.percentile(draws, [2.5, 97.5])
    rho = spearmanr(*(side.mean(axis=1) for side in sides)).statistic
    return {"spearman": float(rho), "low": float(low), "high": float(high), "agents": len(agents)}


if __name__ == "__main__":
    main()
