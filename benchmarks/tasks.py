"""Compare trained agents with random picks on the tasks `noisy` and `target`, ten seeds each, on the scratch learner.

    python benchmarks/tasks.py --policies policies/tasks --goals policies/ppo-goals --json docs/results/tasks.json

The agent of `noisy` is trained first, unless its folder exists: on the simulated learner and on other planted topics
than those of the task, for four minutes per corpus. The agent of `target` is a policy trained by `kgrl train --recipe
ppo-goals`, whose goals are others. Finished episodes are kept in a folder and not repeated, so the script can be
stopped and started again. One thread; about half an hour in all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.agents.training.recipe import Aim, Recipe, read_recipe
from kgrl.agents.training.recipe_run import train_recipe
from kgrl.benchmark.traps import TrapEpisode, carry_out
from kgrl.curriculum.config import DEFAULT_REWARD
from kgrl.data import load_corpus, save_folder
from kgrl.data.traps.planted import plant
from kgrl.data.wikimedia.vital import find_leads, read_leads
from kgrl.learners.simulated.calibration import Calibration
from kgrl.runs.metrics import tokens_to_target
from kgrl.system.files import write_json

CORPORA = ("vital", "wikispeedia")
SEEDS = range(10)
PLANTED_FOR_TRAINING = 106
STEPS = 120_000
DRAWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policies", type=Path, required=True, help="folder of the agents of `noisy`")
    parser.add_argument("--goals", type=Path, help="folder of the agent of `target`; that task is left out without it")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"), help="folder of finished episodes")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for corpus in CORPORA:
        trained = arguments.policies / corpus / "ppo-noisy"
        if not (trained / "policy.json").exists():
            train(corpus, trained)
        rows += carry_out(cells("noisy", corpus, DEFAULT_REWARD, (trained,)), arguments.runs)
        if arguments.goals:
            agents = (arguments.goals, Path("similarity"))
            rows += carry_out(cells("target", corpus, "target-prediction-gain", agents), arguments.runs)
    figures = [compared(list(group)) for _, group in groupby(rows, lambda row: (row["task"], row["corpus"]))]
    print(json.dumps(figures, indent=2))
    if arguments.json:
        write_json(arguments.json, {"summary": figures, "episodes": rows})


def cells(task: str, corpus: str, reward: str, agents: Sequence[Path]) -> list[TrapEpisode]:
    """Return the episodes of a task: of random picks and of some agents, with the same seeds."""
    return [
        TrapEpisode(task, corpus, "scratch", str(agent), (reward,), seed)
        for agent in (Path("random"), *agents)
        for seed in SEEDS
    ]


def train(corpus: str, folder: Path) -> None:
    """Train an agent on a corpus with other planted topics than those of the task.

    The simulated learner's curves were fitted without planted topics, which therefore get curves like the others: the
    calibration does not give away that they teach nothing.
    """
    real = load_corpus(corpus)
    # French leads with another seed: the task's own planted topics are never seen in training.
    noisy = plant(real, read_leads(find_leads("fr")).texts, seed=PLANTED_FOR_TRAINING).corpus
    save_folder(noisy, folder / "corpus")
    calibration = replace(Calibration.builtin(real), corpus=noisy.name, fingerprint=noisy.fingerprint)
    written = folder / "calibration.json"
    calibration.write(written)
    train_recipe(recipe(folder), folder, learner_options={"calibration": str(written)}, progress=False)


def recipe(folder: Path) -> Recipe:
    """Return the recipe of the agent: from random weights, since pretrained ones keep to one field as readers do."""
    usual = read_recipe("ppo-coverage")
    one_topic = {"neighbourhood": 1, "budget_tokens": 20_000, "expansion_tokens": 1_000}
    return replace(
        usual,
        about="Spend nothing on planted topics.",
        aims=(Aim(str(folder / "corpus"), DEFAULT_REWARD),),
        steps=STEPS,
        init="random",
        environment=replace(usual.environment, envs=128, **one_topic),
        variety=replace(usual.variety, style=True, calibrations=(str(folder / "calibration.json"),)),
        evaluation=replace(usual.evaluation, every=40_000, envs=32),
        ppo=replace(usual.ppo, entropy=0.01),
    )


def compared(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of each agent of a task, compared with random picks with the same seeds."""
    random = {row["seed"]: row for row in rows if row["agent"] == "random"}
    names = dict.fromkeys(row["agent"] for row in rows)
    agents = {Path(name).name: against([row for row in rows if row["agent"] == name], random) for name in names}
    return {"task": rows[0]["task"], "corpus": rows[0]["corpus"], "agents": agents}


def against(rows: list[dict[str, Any]], random: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return means, and differences paired by seed with 95% bootstrap intervals.

    `speed_up` is the geometric mean of random's tokens to its final exam loss over the agent's tokens to the same loss.
    An agent that never reaches it counts as taking twice the budget.
    """
    pairs = [(row, random[row["seed"]]) for row in rows]
    ratios = [ratio(*pair) for pair in pairs]
    speed = [float(np.exp(value)) for value in interval([np.log(value) for value, _ in ratios])]
    return {
        "seeds": len(rows),
        "noise_share": float(np.mean([row["noise_share"] for row in rows])),
        "exam_aulc": float(np.mean([row["exam_aulc"] for row in rows])),
        "aulc_difference": interval([row["exam_aulc"] - other["exam_aulc"] for row, other in pairs]),
        "exam_difference": interval([row["exam_after"] - other["exam_after"] for row, other in pairs]),
        "speed_up": speed,
        "never_there": sum(censored for _, censored in ratios),
    }


def ratio(row: dict[str, Any], random: dict[str, Any]) -> tuple[float, bool]:
    """Return random's tokens over the agent's, and whether the agent never reached the loss."""
    target, budget = random["curve"][-1][1], random["curve"][-1][0]
    ours, theirs = (tokens_to_target([(int(t), loss) for t, loss in one["curve"]], target) for one in (row, random))
    assert theirs is not None
    return theirs / (2 * budget if ours is None else max(ours, 1.0)), ours is None


def interval(values: Sequence[float]) -> list[float]:
    """Return the mean and its 95% interval by a bootstrap."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (DRAWS, len(values))).mean(axis=1)
    return [float(np.mean(values)), *np.percentile(drawn, [2.5, 97.5]).tolist()]


if __name__ == "__main__":
    main()
