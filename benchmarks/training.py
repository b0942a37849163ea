"""Measure whole trainings by `kgrl train`: this checkout beside a commit before, in turns.

    python benchmarks/training.py --before 5715c3e --json docs/results/training.json

A training is a process of its own with one thread, from start to end: imports, corpora, tables, environments,
comparisons with random picks, and the policy's files. `ratio` divides its processor seconds before by those of this
checkout, for each seed, and takes the mean; wall-clock beside it depends on what else runs. `steps_per_second` counts
the processor seconds of the whole process, too. `held_out_gain` is the lead over random picks on held-out regions of
the graphs, of the policy that is kept; the same seed plays the same episodes on both sides. Figures of policies from
other embeddings are not comparable: since the static encoder became the default, `first_gain` tells the two apart.

Each side first trains a little, all weights at once, so that kernels are compiled and corpora embedded. It needs git.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from kgrl.agents.training.recipe import read_recipe
from kgrl.system.files import write_json

ROOT = Path(__file__).resolve().parent.parent
LITTLE = ("--steps", "64", "--envs", "32")
"""What is trained before anything is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default="HEAD", help="the commit to compare with, or the folder of its checkout")
    parser.add_argument("--recipe", default="ppo")
    parser.add_argument("--corpus", nargs="*", default=[], help="the recipe's by default")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    corpora = ["--corpus", *arguments.corpus] if arguments.corpus else []
    given = ["--recipe", arguments.recipe, *corpora]
    with tempfile.TemporaryDirectory() as scratch, checkout(arguments.before, Path(scratch)) as before:
        sides, little = {"before": before, "after": ROOT}, Path(scratch) / "little.yaml"
        commit = subprocess.check_output(["git", "-C", str(before), "rev-parse", "--short", "HEAD"], text=True).strip()
        recipe = read_recipe(arguments.recipe)
        replace(recipe, ppo=replace(recipe.ppo, warm_up=0)).write(little)
        for side, root in sides.items():
            train(root, Path(scratch) / f"little-{side}", 0, ["--recipe", str(little), *corpora, *LITTLE])
        rows: list[dict[str, Any]] = []
        for seed in range(arguments.seeds):
            # The one that goes first changes, so that what grows or cools down meets both alike.
            for side in list(sides)[:: 1 if seed % 2 == 0 else -1]:
                folder = Path(scratch) / f"{side}-{seed}"
                row = train(sides[side], folder, seed, [*given, "--steps", str(arguments.steps)])
                rows.append({"side": side, "seed": seed, **row})
                print(json.dumps(rows[-1]), flush=True)
    figures = summary(rows)
    print(json.dumps(figures))
    if arguments.json:
        asked = {name: value for name, value in vars(arguments).items() if name != "json"}
        asked["before"] = commit
        write_json(arguments.json, {**asked, **figures, "trainings": rows})


@contextmanager
def checkout(commit: str, scratch: Path) -> Iterator[Path]:
    """Check a commit out in a temporary folder, and remove it again; a folder is used as it is, kernels included."""
    if Path(commit).is_dir():
        yield Path(commit).resolve()
        return
    folder = scratch / "checkout"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def train(root: Path, folder: Path, seed: int, options: list[str]) -> dict[str, float]:
    """Train by the code of a checkout; return the process's seconds and the figures of the policy."""
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "kgrl", "train", "--seed", str(seed), "--out", str(folder), *options]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    told = json.loads((folder / "policy.json").read_text(encoding="utf-8"))["training"]
    gains = [row["gain"] for row in told["evaluation"]]
    return {
        "steps": told["steps"],
        "wall_seconds": time.perf_counter() - began,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "gain": max(gains),
        "first_gain": gains[0],
        "last_gain": gains[-1],
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures over seeds, those of both sides paired by seed."""

    def of(side: str, name: str) -> np.ndarray:
        return np.array([row[name] for row in rows if row["side"] == side])

    processor, wall = (of("before", name) / of("after", name) for name in ("processor_seconds", "wall_seconds"))
    speeds = {side: float((of(side, "steps") / of(side, "processor_seconds")).mean()) for side in ("before", "after")}
    gains = {side: float(of(side, "gain").mean()) for side in ("before", "after")}
    difference = estimate(of("after", "gain") - of("before", "gain"))
    last = estimate(of("after", "last_gain") - of("before", "last_gain"))
    return {
        "ratio": float(processor.mean()),
        "ratios": processor.tolist(),
        "ratio_wall": float(wall.mean()),
        "steps_per_second": speeds["after"],
        "steps_per_second_before": speeds["before"],
        "held_out_gain": {**gains, "difference": difference, "difference_at_the_end": last},
    }


def estimate(differences: np.ndarray) -> dict[str, float]:
    """Return the mean over seeds and Student's 95% interval."""
    mean, count = float(differences.mean()), len(differences)
    half = float(stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5) if count > 1 else float("inf")
    return {"mean": mean, "low": mean - half, "high": mean + half}


if __name__ == "__main__":
    main()
