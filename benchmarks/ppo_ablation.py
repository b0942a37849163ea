"""Compare PPO from trace-pretrained weights, PPO from random weights, and pretraining alone, on held-out graphs.

    python benchmarks/ppo_ablation.py --json docs/results/ppo-ablation.json

Seeds run one after another; finished trainings are kept in a folder and not repeated. The learner is simulated.
Learning curves with 95% intervals over seeds go to a picture beside the JSON file. Every comparison plays the same
episodes. A training of 60,000 steps takes about two minutes; there are twenty.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

mpl.use("Agg")
from matplotlib import pyplot as plt

from kgrl.agents.training.recipe import Recipe, read_recipe
from kgrl.agents.training.recipe_run import train_recipe
from kgrl.system.files import replacing, write_json

ARMS = {"PPO from pretrained weights": "builtin", "PPO from random weights": "random"}
ALONE = "pretraining alone"
FIGURES = ("gain", "speed_up")
LABELS = {"gain": "area under the gain, over random's", "speed_up": "tokens to random's final loss, times fewer"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="ppo", help="name or file; its init and steps are not used")
    parser.add_argument("--steps", type=int, default=60_000, help="environment steps for each seed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=Path, default=Path("runs/ppo-ablation"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="file for the figures; the picture is put beside it")
    arguments = parser.parse_args()
    recipe = planned(read_recipe(arguments.recipe), arguments.steps)
    for seed in range(arguments.seeds):
        for arm, init in ARMS.items():
            carry_out(replace(recipe, init=init), seed, arguments.runs / f"{init}-{arguments.steps}-{seed}", arm)
    histories = {
        arm: [read(arguments.runs / f"{init}-{arguments.steps}-{seed}") for seed in range(arguments.seeds)]
        for arm, init in ARMS.items()
    }
    result = summary(histories)
    for arm, figures in result["final"].items():
        print(arm, {name: [round(value, 3) for value in figures[name].values()] for name in FIGURES})
    if arguments.json:
        write_json(arguments.json, {"recipe": arguments.recipe, "steps": arguments.steps, **result})
        draw(result["curves"], arguments.json.with_suffix(".png"))


def planned(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe for so many steps, with ten comparisons on the way."""
    return replace(recipe, steps=steps, evaluation=replace(recipe.evaluation, every=max(1, steps // 10)))


def carry_out(recipe: Recipe, seed: int, folder: Path, arm: str) -> None:
    """Carry out one training, unless the folder holds it."""
    if (folder / "history.json").exists():
        return
    training = train_recipe(recipe, folder, seed=seed, progress=False).training
    write_json(folder / "history.json", training["evaluation"])
    print(arm, seed, f"{training['seconds']:.0f} s", training["evaluation"][-1], flush=True)


def read(folder: Path) -> list[dict[str, float]]:
    """Return the comparisons of a training."""
    history: list[dict[str, float]] = json.loads((folder / "history.json").read_text())
    return history


def summary(histories: dict[str, list[list[dict[str, float]]]]) -> dict[str, Any]:
    """Return curves and final figures with intervals, and the paired differences of the arms.

    Args:
        histories: The comparisons of each arm and seed; the first is of the weights that training began with.
    """
    pretrained, scratch = histories.values()
    curves = {arm: curve_of(runs) for arm, runs in histories.items()}
    final = {
        arm: {name: estimate([run[-1][name] for run in runs]) for name in FIGURES} for arm, runs in histories.items()
    }
    final[ALONE] = {name: estimate([run[0][name] for run in pretrained]) for name in FIGURES}
    return {"curves": curves, "final": final, "differences": differences(pretrained, scratch)}


def curve_of(runs: list[list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return mean and interval over seeds of each comparison."""
    return [
        {"steps": rows[0]["steps"], **{name: estimate([row[name] for row in rows]) for name in FIGURES}}
        for rows in zip(*runs, strict=True)
    ]


def differences(pretrained: list[list[dict[str, float]]], scratch: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Return the final lead of PPO from pretrained weights over the two others, paired by seed."""
    others = {"PPO from random weights": [run[-1] for run in scratch], ALONE: [run[0] for run in pretrained]}
    ours = [run[-1] for run in pretrained]
    return {
        arm: {name: estimate([a[name] - b[name] for a, b in zip(ours, rows, strict=True)]) for name in FIGURES}
        for arm, rows in others.items()
    }


def estimate(values: Sequence[float]) -> dict[str, float]:
    """Return the mean over seeds and its 95% percentile bootstrap interval; equal values are their own interval."""
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if np.ptp(sample) == 0.0:  # SciPy's bootstrap refuses samples without spread
        return {"mean": float(sample[0]), "low": float(sample[0]), "high": float(sample[0])}
    found = bootstrap((sample,), np.mean, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return {"mean": float(sample.mean()), "low": float(found.low), "high": float(found.high)}


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw learning curves with their intervals; pretraining alone is the level where the first of them begins."""
    figure, axes = plt.subplots(1, len(FIGURES), figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, FIGURES, strict=True):
        for arm, rows in curves.items():
            steps = [row["steps"] for row in rows]
            axis.plot(steps, [row[name]["mean"] for row in rows], label=arm)
            axis.fill_between(steps, [row[name]["low"] for row in rows], [row[name]["high"] for row in rows], alpha=0.2)
        axis.axhline(next(iter(curves.values()))[0][name]["mean"], color="grey", linestyle="--", label=ALONE)
        axis.set_xlabel("environment steps")
        axis.set_ylabel(LABELS[name])
    axes[0].legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
