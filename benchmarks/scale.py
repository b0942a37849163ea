"""Compare a step on seven million topics with one on ten thousand, and measure the memory of the graph.

    python benchmarks/scale.py --json docs/results/scale.json

It makes power-law graphs, saves them, opens them memory-mapped and grows curricula on them, each size in processes of
its own. That takes about a quarter of an hour, 9 GiB of memory and 3 GiB of disk.

**The graphs.** Every topic makes 28.9 links on average, from sources drawn uniformly to targets drawn in proportion to
`(rank + offset)^-0.77`, which gives in-degrees a tail with exponent 2.3; about 1% of links are repeats and dropped. The
offset is chosen so that the topic with the most in-links is linked from 5% of the others, as Wikipedia's is.

**A step** is the work of the simulated learner and the environment in one expansion, without text, embeddings or
features, which seven million topics do not have here: the shortlist of 64 from the frontier (`Frontier.sample`, then
the environment's own choice of slots); the neighbourhood of the pick, up to 8 topics; `SimulatedLearner.learn` of a
passage of 100 words for each and `SimulatedLearner.losses` of 24 probes; `Frontier.learn` of each. Similar topics are
drawn at random. An episode is 100 steps from a nucleus of 8; its start, which clears arrays of graph size, is timed
separately. Times are of the processor (`time.thread_time`), since other jobs run on the machine.

**Resident memory** is that of the whole process after all steps, when every page of the rows has been read, which is
the most it can be. Mapped pages are the part that the system may drop when memory is short.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.research_kernels import ResearchTables, neighbourhood_into
from kgrl.envs.features.arrays import GoalFeatures, GraphTables, LearnedState
from kgrl.envs.features.curriculum_features import blank_learned_state
from kgrl.envs.features.shortlist_kernels import shortlist_into
from kgrl.graph import Frontier, TopicGraph
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.relatives import NEAREST, Relatives
from kgrl.system.files import write_json

SIZES = (10_000, 1_000_000, 7_000_000)
DRAWN, EXPONENT, MOST_LINKED = 28.9, 2.3, 0.05
SLOTS, NEIGHBOURHOOD, PROBES, STEPS = 64, 8, 24, 100
CANDIDATES, ROUNDS = 4096, 3
USUAL = 250, 1000
"""Numbers of links that steps of every size have, to compare sizes without the effect of hubs."""
_CHUNK = 1 << 22
_PHASES = ("shortlist", "neighbourhood", "learn", "probe", "frontier")
_EVERY = 20
"""Steps between two looks at the whole frontier, for comparison."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="topics of each graph")
    parser.add_argument("--episodes", type=int, default=40, help="episodes of 100 steps")
    parser.add_argument("--part", choices=("build", "grow"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "build":
        print(json.dumps(build(arguments.sizes[0], arguments.folder)))
    elif arguments.part == "grow":
        print(json.dumps(grow(arguments.folder, arguments.episodes)))
    else:
        with tempfile.TemporaryDirectory() as parent:
            figures = compare(measure(arguments.sizes, arguments.episodes, Path(parent)))
        if arguments.json:
            write_json(arguments.json, figures)


def measure(sizes: Sequence[int], episodes: int, parent: Path) -> list[dict[str, Any]]:
    """Build all sizes, then grow each in turn a few times; the fastest round counts."""
    figures = [{"topics": size, **run("build", size, episodes, parent)} for size in sizes]
    rounds = [[run("grow", size, episodes, parent) for size in sizes] for _ in range(ROUNDS)]
    for size, tries in zip(figures, zip(*rounds, strict=True), strict=True):
        size |= min(tries, key=lambda figures: float(figures["step_us"]["median"]))
        size["step_us_medians"] = [figures["step_us"]["median"] for figures in tries]
    return figures


def run(part: str, size: int, episodes: int, parent: Path) -> dict[str, Any]:
    """Do a part in a process of its own, so that only its own memory is counted."""
    options = ["--sizes", str(size), "--episodes", str(episodes), "--folder", str(parent / str(size))]
    done = subprocess.run([sys.executable, __file__, "--part", part, *options], stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{part} {size}: {json.dumps(figures)}", flush=True)
    return figures


def compare(sizes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the largest size compared with the smallest."""
    small, large = sizes[0], sizes[-1]
    return {
        "step_ratio": large["step_us"]["median"] / small["step_us"]["median"],
        "step_ratio_mean": large["step_us"]["mean"] / small["step_us"]["mean"],
        "step_ratio_usual_links": large["step_us_usual_links"]["median"] / small["step_us_usual_links"]["median"],
        "resident_gib": large["resident_gib"],
        "sizes": sizes,
    }


def build(size: int, folder: Path) -> dict[str, Any]:
    """Draw a graph's links, make the graph and save it."""
    began = time.perf_counter()
    sources, targets = draw_links(size, np.random.default_rng(size))
    drawn = time.perf_counter()
    graph = TopicGraph.from_links([f"Topic {topic}" for topic in range(size)], sources, targets)
    del sources, targets
    joined = graph.undirected
    made = time.perf_counter()
    graph.save(folder)
    return {
        "links": graph.n_links,
        "neighbours": len(joined[1]),
        "mean_degree": graph.n_links / size,
        "most_in_links": int(np.bincount(graph.indices, minlength=size).max()),
        "draw_seconds": drawn - began,
        "build_seconds": made - drawn,
        "save_seconds": time.perf_counter() - made,
        "build_peak_gib": peak_gib(),
        "disk_gib": sum(path.stat().st_size for path in folder.iterdir()) / 2**30,
    }


def draw_links(size: int, rng: np.random.Generator, each: float = DRAWN) -> tuple[IntArray, IntArray]:
    """Return sources and targets of links, `each` a topic on average, drawn a few million at a time."""
    count, number = int(each * size), rng.permutation(size).astype(np.int32)
    sources, targets = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32)
    power = 1.0 - 1.0 / (EXPONENT - 1.0)  # ranks fall off as rank^(power - 1)
    offset = offset_of(size, power)
    low, high = offset**power, (size + offset) ** power
    for first in range(0, count, _CHUNK):
        part = slice(first, min(first + _CHUNK, count))
        sources[part] = rng.integers(size, size=part.stop - first, dtype=np.int32)
        # The inverse of the distribution function of a power law.
        ranks = (low + (high - low) * rng.random(part.stop - first)) ** (1.0 / power) - offset
        targets[part] = number[np.clip(ranks, 0, size - 1).astype(np.int32)]
    return sources, targets


def offset_of(size: int, power: float) -> float:
    """Return the offset of ranks with which the first rank gets its share of links, by bisection."""
    low, high = 1e-3, float(size)
    while high - low > 1e-6 * high:
        offset = (low + high) / 2
        first = ((1 + offset) ** power - offset**power) / ((size + offset) ** power - offset**power)
        low, high = (offset, high) if DRAWN * first > MOST_LINKED else (low, offset)
    return high


def grow(folder: Path, episodes: int) -> dict[str, Any]:
    """Open a graph and take steps on it."""
    empty = resident_gib()
    began = time.thread_time()
    graph = TopicGraph.open(folder, verify=False)
    opened = time.thread_time() - began
    began = time.thread_time()
    graph.index(f"Topic {len(graph) - 1}")
    looked_up = time.thread_time() - began
    opened_gib = resident_gib()
    walker = Walker(graph)
    for array in (graph.indptr, graph.indices, *graph.undirected):
        array.max()  # reads every page of it
    for _ in range(2):  # compiles, and fills the processor's caches
        walker.episode()
    walker.clear()
    for _ in range(episodes):
        walker.episode()
    return {
        "open_ms": 1e3 * opened,
        "index_ms": 1e3 * looked_up,
        "resident_before_gib": empty,
        "resident_opened_gib": opened_gib,
        "resident_gib": resident_gib(),
        "resident_mapped_gib": psutil.Process().memory_info().shared / 2**30,
        **walker.figures(),
    }


def resident_gib() -> float:
    """Return this process's resident memory, in GiB."""
    return psutil.Process().memory_info().rss / 2**30


def peak_gib() -> float:
    """Return this process's peak resident memory so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class SameText(Sequence[str]):
    """A sequence of passages, all of the same hundred words."""

    def __init__(self, count: int) -> None:
        self.count, self.text = count, "word " * 100

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        return [self.text] * len(range(self.count)[at]) if isinstance(at, slice) else self.text


@dataclass
class Walker:
    """A walker that takes steps on a graph and times them."""

    graph: TopicGraph
    times: list[list[float]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    frontiers: list[int] = field(default_factory=list)
    links: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        n = len(self.graph)
        self.trainable = np.ones(n, dtype=bool)
        self.learner = simulated(self.graph, self.rng)
        self.untaught = self.learner.snapshot()
        ends = self.graph.undirected
        nobody = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros((0, 1), dtype=np.int32)
        self.research = ResearchTables(*ends, *nobody)
        self.tables, self.goals = shortlist_tables(self.graph, self.rng)
        self.known = blank_learned_state(1, n, 1)
        self.probes = self.learner.corpus.select(2 * np.sort(self.rng.choice(n, PROBES, replace=False)) + 1)
        self.room = np.empty(NEIGHBOURHOOD, dtype=np.int32)
        self.chosen = np.empty(SLOTS, dtype=np.int64)

    def clear(self) -> None:
        """Forget the times so far."""
        for taken in (self.times, self.starts, self.whole, self.frontiers, self.links):
            taken.clear()

    def episode(self) -> None:
        """Take a hundred steps from a nucleus: a topic drawn uniformly and its neighbourhood."""
        began = time.thread_time()
        self.learner.restore(self.untaught)
        frontier = Frontier(self.graph)
        start = int(self.rng.choice(np.flatnonzero(self.graph.degree[self.rng.integers(len(self.graph), size=64)] > 0)))
        for topic in self.neighbourhood(start, frontier):
            frontier.solidify(topic)
        self.starts.append(time.thread_time() - began)
        for at in range(STEPS):
            if len(frontier) == 0:
                break
            self.step(frontier, at)

    def step(self, frontier: Frontier, index: int) -> None:
        """One step, timed by phase."""
        known = self.known._replace(learned=frontier.solid[None], links_to_solid=frontier.links_to_solid[None])
        if index % _EVERY == _EVERY - 1:
            began = time.thread_time()
            self.pick(frontier.topics[self.trainable[frontier.topics]], known)
            self.whole.append(time.thread_time() - began)
            self.frontiers.append(len(frontier))
        marks = [time.thread_time()]
        topic = self.pick(frontier.sample(CANDIDATES, self.rng, self.trainable), known)
        marks.append(time.thread_time())
        topics = self.neighbourhood(topic, frontier)
        marks.append(time.thread_time())
        self.learner.learn(self.learner.corpus.select(2 * topics), 1000)
        marks.append(time.thread_time())
        self.learner.losses(self.probes)
        marks.append(time.thread_time())
        for learned in topics.tolist():
            frontier.solidify(learned)
        marks.append(time.thread_time())
        self.times.append(np.diff(marks).tolist())
        self.links.append(int(self.graph.degree[topics].sum()))

    def pick(self, candidates: IntArray, known: LearnedState) -> int:
        """The topic in the first slot; slots are in random order."""
        pool = np.empty(len(candidates), dtype=np.int32)
        state = self.tables, self.goals, known, 0
        shortlist_into(*state, candidates, len(candidates), SLOTS, pool, self.chosen)
        known.step[0] += 1
        return int(candidates[self.chosen[0]])

    def neighbourhood(self, topic: int, frontier: Frontier) -> IntArray:
        """Return the topic and the first of its neighbours that are not learned."""
        count = neighbourhood_into(self.research, frontier.is_solid, self.trainable, topic, self.room)
        return self.room[:count].copy()

    def figures(self) -> dict[str, Any]:
        """Return microseconds of a step by phase, and figures that may explain them."""
        times, links = 1e6 * np.array(self.times), np.array(self.links)
        # The slope is the time per link: hubs, which only the large graphs have, explain most of the difference.
        cost = np.polyfit(links, times.sum(axis=1), 1)
        return {
            "steps": len(times),
            "step_us": summary(times.sum(axis=1)),
            "phases_us": {name: summary(times[:, at]) for at, name in enumerate(_PHASES)},
            "links_learned": summary(links),
            "nanoseconds_a_link": 1e3 * float(cost[0]),
            "step_us_usual_links": summary(times[(links >= USUAL[0]) & (links < USUAL[1])].sum(axis=1)),
            "usual_links_share": float(np.mean((links >= USUAL[0]) & (links < USUAL[1]))),
            "start_ms": 1e3 * float(np.median(self.starts)),
            "frontier": summary(np.array(self.frontiers)),
            "whole_frontier_shortlist_us": summary(1e6 * np.array(self.whole)),
        }


def summary(values: NDArray[Any]) -> dict[str, float]:
    """Return median, mean and 99th percentile."""
    return {
        "median": float(np.median(values)),
        "mean": float(np.mean(values)),
        "p99": float(np.quantile(values, 0.99)),
    }


def simulated(graph: TopicGraph, rng: np.random.Generator) -> SimulatedLearner:
    """Return a simulated learner with made-up curves, two passages for each topic, and random similar topics."""
    n = len(graph)
    topics = np.repeat(np.arange(n, dtype=np.int32), 2)
    splits = np.tile(np.array([Split.TRAIN, Split.PROBE], dtype=np.uint8), n)
    corpus = Corpus("scale", graph, SameText(2 * n), topics, splits)
    corpus.fingerprint = "made up"  # hashing fourteen million equal passages takes long and tells nothing
    curves = CurveParameters(0.5, 1000.0, 1.0, 0.5, 300.0, 1.0, 0.5, 0.2, 1e-5, 0.01)
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    levels = ByTopic(4.0, 0.3), ByTopic(1.0, 0.1)
    calibration = Calibration("scale", "made up", "none", 1.3, *levels, curves, (), *made_up)
    nearest = rng.integers(n, size=(n, NEAREST), dtype=np.int32)
    relatives = Relatives(graph, nearest, np.full(nearest.shape, 0.5, dtype=np.float32))
    # There are no embeddings of seven million topics; the learner needs only the relatives that follow from them.
    with patch("kgrl.learners.simulated.learner.Relatives.of", return_value=relatives):
        return SimulatedLearner(corpus, calibration=calibration)


def shortlist_tables(graph: TopicGraph, rng: np.random.Generator) -> tuple[GraphTables, GoalFeatures]:
    """The tables that shortlists read, the others empty; similarities to the aim are drawn at random."""
    n = len(graph)
    rows = np.zeros((0, 1), dtype=np.float32)
    places, floats = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    tables = GraphTables(
        out_starts=graph.indptr,
        out=graph.indices,
        near_starts=graph.undirected[0],
        near=graph.undirected[1],
        share=(1.0 / np.maximum(graph.degree, 1)).astype(np.float32),
        **dict.fromkeys(("topics", "links", "transitions", "embeddings", "mean_targets", "projected", "outlook"), rows),
        coherence=floats,
        categories=places,
        keys=places,
        after=floats,
        contexts=places,
        totals=floats,
    )
    nothing = np.zeros((1, 0, 7), dtype=np.float32), np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=bool)
    return tables, GoalFeatures(rng.random((1, n), dtype=np.float32), *nothing)


if __name__ == "__main__":
    main()
