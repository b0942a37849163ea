"""Compare trained policies with random picks on graphs that they were not trained on, with the simulated learner.

    python benchmarks/held_out.py --policies policies/ppo-goals --json docs/results/held_out.json

Each of ten paired seeds plays the episodes of two recipes on their held-out regions, towards goals and without one.
Rewards count what any text teaches, which training leaves out. The tokens of the nucleus are not counted. It takes some
minutes for each policy.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from kgrl.agents.policy.network import load_policy
from kgrl.agents.training.evaluation import Comparison, greedy, play_episodes, random_picker
from kgrl.agents.training.recipe import read_recipe
from kgrl.agents.training.recipe_run import make_envs
from kgrl.builtin import FOLDER
from kgrl.system.files import write_json

RECIPES = ("ppo-goals", "ppo-coverage")
EPISODES, FIRST_SEED = 64, 5_000_000
"""Episodes of a seed, and the first seed: none of them is used to choose the best policy in training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policies", nargs="+", type=Path, required=True, help="folders; pretraining alone is added")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    policies = {folder.name: folder for folder in [*arguments.policies, FOLDER]}
    figures = {name: compare(name, policies, arguments.seeds) for name in RECIPES}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        write_json(arguments.json, figures)


def compare(name: str, policies: dict[str, Path], seeds: int) -> dict[str, Any]:
    """Return the figures of each policy on the held-out graphs of a recipe."""
    recipe = read_recipe(name)
    recipe = replace(
        recipe,
        variety=replace(recipe.variety, style=True),
        evaluation=replace(recipe.evaluation, envs=EPISODES),
    )
    env = make_envs(recipe, held_out=True)
    scorers = {policy: load_policy(folder)[0] for policy, folder in policies.items()}
    # All policies play the same episodes as random, seed by seed.
    rows: dict[str, list[Comparison]] = {policy: [] for policy in policies}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        random = play_episodes(env, random_picker(seed), seed)
        for policy, scorer in scorers.items():
            rows[policy].append(Comparison(play_episodes(env, greedy(scorer), seed), random))
    return {policy: summary(comparisons) for policy, comparisons in rows.items()}


def summary(comparisons: list[Comparison]) -> dict[str, Any]:
    """Return means over seeds with 95% bootstrap intervals.

    Episodes that never reach random's gain count as taking twice the budget.
    """
    speed_ups = [c.speed_ups for c in comparisons]
    logs = [float(np.log(np.where(s > 0, s, 0.5)).mean()) for s in speed_ups]
    return {
        "speed_up": [float(np.exp(value)) for value in interval(logs)],
        "gain": interval([c.gain for c in comparisons]),
        "reached": float(np.mean([(s > 0).mean() for s in speed_ups])),
        "won": float(np.mean([c.to_dict()["won"] for c in comparisons])),
        "episodes": sum(map(len, speed_ups)),
    }


def interval(values: list[float]) -> list[float]:
    """Return the mean over seeds and its 95% interval."""
    found = bootstrap((np.array(values),), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return [float(np.mean(values)), float(found.low), float(found.high)]


if __name__ == "__main__":
    main()
