"""Measure `kgrl/Curriculum-v0` on a graph of a million topics: making it, resetting it and stepping.

    PYTHONPATH=. python benchmarks/million_env.py --json docs/results/million_env.json

The graph is that of `benchmarks/scale.py`, with 20 links a topic. Every topic has an embedding, a random unit vector of
384 dimensions in a file that is mapped into memory, a train passage and a probe passage of a hundred words. The learner
is simulated, with made-up curves and similar topics drawn at random; retrieval finds passages drawn at random, since a
search for each of a million topics takes minutes of FAISS and no part of a step (`docs/results/index.md`).

**Making** is all that happens before the second reset: the graph, the curriculum, the nucleus, the tables of research
and of features. **Resets** are those that follow, **steps** pick a filled slot uniformly. Both are timed by the
processor's clock, since other jobs run on the machine; wall time is in the JSON.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale import draw_links, simulated, summary
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.config import DEFAULT_REWARD
from kgrl.envs import CurriculumEnv
from kgrl.graph import TopicGraph
from kgrl.graph.topic_graph import IntArray
from kgrl.system.files import write_json

TOPICS, LINKS, DIMENSIONS = 1_000_000, 20.0, 384
BUDGETS = 20_000, 100_000
"""Token budgets of episodes: the default, and ten times as much."""
MADE = "graph", f"curriculum of {BUDGETS[0]} tokens", f"first reset of {BUDGETS[0]} tokens"
"""What making an environment consists of."""
_ROWS_AT_ONCE = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--topics", type=int, default=TOPICS)
    parser.add_argument("--resets", type=int, default=6, help="episodes, for each budget")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments.topics, arguments.resets, Path(folder))
    print(figures)
    if arguments.json:
        write_json(arguments.json, figures)


class Clock:
    """Processor and wall seconds of named parts."""

    def __init__(self) -> None:
        self.processor: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part and say so."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = time.perf_counter() - wall
        self.processor[name] = time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {self.processor[name]:.1f} s ({self.wall[name]:.1f} s wall), peak {peak:.0f} MiB", flush=True)


def measure(topics: int, resets: int, folder: Path) -> dict[str, Any]:
    """Make environments and run episodes."""
    rng, clock = np.random.default_rng(0), Clock()
    with clock.part("draw"):
        ends = draw_links(topics, rng, LINKS)
        embeddings = unit_vectors(folder / "embeddings.npy", topics, rng)
    with clock.part("graph"):
        graph = TopicGraph.from_links([f"Topic {topic}" for topic in range(topics)], *ends)
        learner = simulated(graph, rng)
    figures: dict[str, Any] = {"topics": topics, "links": graph.n_links, "episodes": {}}
    tables = None
    for budget in BUDGETS:
        with clock.part(f"curriculum of {budget} tokens"):
            config = CurriculumConfig(budget_tokens=budget)
            retriever = RandomRetriever(topics)
            arguments = learner.corpus, learner, retriever, embeddings, DEFAULT_REWARD, config
            curriculum = Curriculum(*arguments, tables=tables)
            env = CurriculumEnv(curriculum)
        with clock.part(f"first reset of {budget} tokens"):
            tables = curriculum.state.research.tables
            env.reset(seed=0)
            env.step(int(np.flatnonzero(env.action_masks())[0]))
        figures["episodes"][str(budget)] = episodes(env, resets, rng)
        print(budget, figures["episodes"][str(budget)], flush=True)
        learner.restore(curriculum.state.initial)
    default = figures["episodes"][str(BUDGETS[0])]
    return {
        "env_step_ms": default["step_ms"]["median"],
        "env_reset_s": default["reset_s"]["median"],
        "make_s": sum(seconds for name, seconds in clock.processor.items() if name in MADE),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "processor_s": clock.processor,
        "wall_s": clock.wall,
        **figures,
    }


class RandomRetriever:
    """Retrieval that finds train passages drawn at random."""

    def __init__(self, topics: int) -> None:
        self._topics, self._rng = topics, np.random.default_rng(0)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[IntArray, NDArray[np.float32]]:
        """Return k passages for each query; even passages are for training."""
        found = 2 * self._rng.integers(self._topics, size=(len(queries), k), dtype=np.int32)
        return found, np.ones(found.shape, dtype=np.float32)


def unit_vectors(path: Path, topics: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Write random unit vectors to a file and map it into memory."""
    shape = topics, DIMENSIONS
    written = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, topics, _ROWS_AT_ONCE):
        rows = rng.standard_normal((min(_ROWS_AT_ONCE, topics - first), DIMENSIONS), dtype=np.float32)
        written[first : first + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    written.flush()
    return np.load(path, mmap_mode="r").view(np.ndarray)


def episodes(env: CurriculumEnv, resets: int, rng: np.random.Generator) -> dict[str, Any]:
    """Run episodes and return seconds of resets and milliseconds of steps."""
    starts, steps, wall = [], [], []
    for seed in range(1, resets + 1):
        began = time.process_time()
        env.reset(seed=seed)
        starts.append(time.process_time() - began)
        ended = False
        while not ended:
            slot = int(rng.choice(np.flatnonzero(env.action_masks())))
            began, clock = time.process_time(), time.perf_counter()
            _, _, terminated, truncated, _ = env.step(slot)
            steps.append(1e3 * (time.process_time() - began))
            wall.append(1e3 * (time.perf_counter() - clock))
            ended = terminated or truncated
    frontier = env.curriculum.state.frontier
    return {
        "steps": len(steps),
        "step_ms": summary(np.array(steps)),
        "step_wall_ms": summary(np.array(wall)),
        "reset_s": summary(np.array(starts)),
        "learned": len(frontier.solid),
        "frontier": len(frontier),
    }


if __name__ == "__main__":
    main()
