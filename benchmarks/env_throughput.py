"""Measure the environments' steps per second, beside MiniGrid's and CartPole's in the same run.

    python benchmarks/env_throughput.py --json docs/results/env_throughput.json

Actions are drawn uniformly among filled slots, as fast as possible; the time of drawing them is not counted. The vector
environment hands out its own arrays (`copy=False`), on as many threads as numba finds; `--copy` measures copies. The
single environment's time is that of a step without the simulated learner's `learn`, `losses` and `count_tokens`. It
takes a minute, and two more to compile the kernels the first time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401 - registers its environments
import numba
import numpy as np

from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.envs import make_curriculum_env, make_curriculum_vector_env
from kgrl.learners import SimulatedLearner
from kgrl.system.files import write_json

MEASURED = ("learn", "losses", "count_tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="vital")
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each, in turns; the best counts")
    parser.add_argument("--copy", action="store_true", help="let the vector environment copy its observations")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = load_corpus(arguments.corpus)
    options = {"slots": arguments.slots, "copy": arguments.copy}
    measures: dict[str, Callable[[float], float]] = {
        "vector_steps_per_second": Vector(make_curriculum_vector_env(arguments.envs, corpus, **options)).measure,
        "single_steps_per_second": Single(corpus, arguments.slots).measure,
        "minigrid_steps_per_second": lambda seconds: plain("MiniGrid-Empty-8x8-v0", seconds),
        "cartpole_steps_per_second": lambda seconds: plain("CartPole-v1", seconds),
    }
    for measure in measures.values():
        measure(0.2)  # so that nothing is compiled or looked up for the first time while it is measured
    best = dict.fromkeys(measures, 0.0)
    # In turns, and the best counts: other programs disturb all of them alike, and only ever slow one down.
    for _ in range(arguments.repeat):
        for name, measure in measures.items():
            best[name] = max(best[name], measure(arguments.seconds))
    figures = {
        **best,
        "single_step_microseconds": 1e6 / best["single_steps_per_second"],
        "minigrid_ratio": best["vector_steps_per_second"] / best["minigrid_steps_per_second"],
        "cartpole_ratio": best["vector_steps_per_second"] / best["cartpole_steps_per_second"],
        "corpus": arguments.corpus,
        "envs": arguments.envs,
        "slots": arguments.slots,
        "copy": arguments.copy,
        "threads": numba.config.NUMBA_NUM_THREADS,
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        write_json(arguments.json, figures)


class Vector:
    """Steps of the vector environment."""

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        self.env, self.rng = env, np.random.default_rng(0)
        self.info = env.reset(seed=0)[1]

    def measure(self, seconds: float) -> float:
        """Return the steps per second, measured for at least so many seconds."""
        spent, steps = 0.0, 0
        while spent < seconds:
            mask = self.info["action_mask"]
            # The argmax of uniform numbers over the filled slots is a uniform draw of one of them.
            actions = (self.rng.random(mask.shape, dtype=np.float32) * mask).argmax(axis=1)
            began = time.perf_counter()
            *_, self.info = self.env.step(actions)
            spent += time.perf_counter() - began
            steps += len(actions)
        return steps / spent


class Single:
    """Steps of the single environment, without the time of its learner."""

    def __init__(self, corpus: Corpus, slots: int) -> None:
        learner = SimulatedLearner(corpus)
        self.in_learner = 0.0
        for name in MEASURED:
            setattr(learner, name, self._timed(getattr(learner, name)))
        self.env, self.rng = make_curriculum_env(corpus, learner, slots=slots), np.random.default_rng(0)
        self.env.reset(seed=0)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments)
            self.in_learner += time.perf_counter() - began
            return result

        return timed

    def measure(self, seconds: float) -> float:
        """Return the steps per second, measured for at least so many seconds."""
        spent, steps = 0.0, 0
        while spent < seconds:
            action = int(self.rng.choice(np.flatnonzero(self.env.action_masks())))
            self.in_learner, began = 0.0, time.perf_counter()
            _, _, terminated, truncated, _ = self.env.step(action)
            spent += time.perf_counter() - began - self.in_learner
            steps += 1
            if terminated or truncated:
                self.env.reset()
        return steps / spent


def plain(name: str, seconds: float) -> float:
    """Return the steps per second of an environment by name, without the resets of episodes."""
    env = gym.make(name)
    env.reset(seed=0)
    env.action_space.seed(0)
    spent, steps = 0.0, 0
    while spent < seconds:
        action = env.action_space.sample()
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        spent += time.perf_counter() - began
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / spent


if __name__ == "__main__":
    main()
