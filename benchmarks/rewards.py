"""Measure the cost of rewards: milliseconds per expansion at 1,000 learned topics, on real graphs with real embeddings.

    OMP_NUM_THREADS=1 KGRL_DATA=FOLDER python benchmarks/rewards.py --json docs/results/rewards_cost.json

Curricula grow from the usual nucleus along the frontier, with at most eight topics per expansion. A simulated learner
is taught, and topics are picked at random or by degree, which makes the learned subgraph dense. Every registered reward
that needs no measures of the lesson is taken, and `score` is timed on the expansions from 900 to 1,100 learned topics,
for which the probes are measured already. A naive way computes the same value anew from the links: information gap by
GUDHI, compression progress in NumPy, one entropy rate after another. These curricula have no goal, so the mean probe
stands in for the target probe. It takes about two minutes once the corpora are embedded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gudhi
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.agents import make_agent
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import SimulatedLearner
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.rewards import CompressionProgress, InformationGap, Reward, RewardContext, as_reward, rewards
from kgrl.rewards.base import MEASURES
from kgrl.system.files import write_json

FROM, TO = 900, 1_100
"""Learned topics after the first expansion that counts, and at most after the last."""
BUDGET_TOKENS, EXPANSION_TOKENS = 50_000_000, 100_000
"""Enough to read every topic of a neighbourhood."""


@dataclass(frozen=True)
class RewardCost:
    """Time rewards on expansions of recorded curricula.

    Args:
        corpora: The corpora.
        agents: The agents that pick the topics.
        seeds: Number of curricula of each corpus and agent.
        naive: Number of expansions of the first seed at which values are computed from the links alone, too.
        json: Write the figures to this file.
    """

    corpora: tuple[str, ...] = ("wikispeedia", "vital")
    agents: tuple[str, ...] = ("random", "degree")
    seeds: int = 4
    naive: int = 4
    json: Path | None = None


@dataclass(frozen=True)
class Course:
    """The expansions of a curriculum up to 1,100 learned topics.

    Args:
        context: The context of rewards: graph and embeddings.
        steps: The expansions, the nucleus first.
    """

    context: RewardContext
    steps: Sequence[Expansion]

    def late(self) -> list[bool]:
        """Return for each expansion but the nucleus whether it is timed."""
        learned = np.cumsum([len(step.neighbourhood) for step in self.steps])
        return [FROM <= n <= TO for n in learned[1:].tolist()]


def main(command: RewardCost) -> None:
    result: dict[str, Any] = {}
    for corpus in command.corpora:
        by_agent = courses(load_corpus(corpus), command)
        result[corpus] = {agent: figures(some, command.naive) for agent, some in by_agent.items()}
        for agent in command.agents:
            show(f"{corpus}, picked by {agent}", result[corpus][agent])
    if command.json:
        write_json(command.json, result)


def courses(corpus: Corpus, command: RewardCost) -> dict[str, list[Course]]:
    """Return the curricula of each agent."""
    retriever, embeddings = embed_corpus(corpus, Encoder())
    learner, context = SimulatedLearner(corpus), RewardContext(corpus.graph, embeddings)
    found: dict[str, list[Course]] = {agent: [] for agent in command.agents}
    for seed in range(command.seeds):
        config = CurriculumConfig(BUDGET_TOKENS, EXPANSION_TOKENS, seed=seed)
        for agent in command.agents:
            curriculum = Curriculum(corpus, learner, retriever, embeddings, Probed(), config)
            found[agent].append(Course(context, list(first_topics(curriculum, agent))))
            curriculum.state.rewind()  # all curricula share one learner
    return found


class Probed(Reward):
    """A reward that has all probes measured that need no goal, and pays nothing."""

    name, needs = "probed", frozenset({"mean", "self"})

    def score(self, expansion: Expansion) -> float:
        """Return 0."""
        return 0.0


def first_topics(curriculum: Curriculum, agent: str) -> Iterator[Expansion]:
    """Give the expansions until 1,100 topics are learned."""
    for step in curriculum.run(make_agent(agent)):
        if len(curriculum.state.frontier.solid) > TO:
            return
        # There is no goal; the mean probe in the place of the target's costs a reward the same.
        yield replace(step, probes={**step.probes, "target": step.probes["mean"]})


def figures(some: list[Course], naive: int) -> dict[str, Any]:
    """Return the times of each reward, and the size of the graphs that they were measured on."""
    times = {name: np.concatenate([scores(name, course) for course in some]) for name in timed_rewards()}
    found: dict[str, Any] = {name: summary(ms) for name, ms in times.items()}
    for name, recompute in (("information-gap", naive_gap), ("compression-progress", naive_compression)):
        ms = from_nothing(some[0], name, recompute, naive)
        found[name] |= {"naive_median_ms": ms, "ratio": ms / found[name]["median_ms"]}
    late = [len(s.neighbourhood) for c in some for s, counts in zip(c.steps[1:], c.late(), strict=True) if counts]
    return {
        "rewards": found,
        "expansions": len(late),
        "topics_an_expansion": float(np.mean(late)),
        "links": float(np.mean([len(inner_links(course.context.graph, learned_by(course))[0]) for course in some])),
    }


def timed_rewards() -> list[str]:
    """Return the names of the rewards that need no measures of the lesson."""
    return [name for name in rewards if not as_reward(name).needs & MEASURES]


def scores(name: str, course: Course) -> NDArray[np.float64]:
    """Return the milliseconds of `score` at each timed expansion."""
    reward = as_reward(name)
    reward.bind(course.context)
    reward.begin(course.steps[0])
    spent = []
    for step in course.steps[1:]:
        began = time.perf_counter()
        reward.score(step)
        spent.append(time.perf_counter() - began)
    return 1e3 * np.array(spent)[course.late()]


def summary(ms: NDArray[np.float64]) -> dict[str, float]:
    """Return the median and the 95th percentile of some milliseconds."""
    return {"median_ms": float(np.median(ms)), "p95_ms": float(np.percentile(ms, 95))}


def from_nothing(course: Course, name: str, recompute: Callable[[int, IntArray, IntArray], float], n: int) -> float:
    """Return the median milliseconds to compute a reward's value at some expansions from the links alone.

    Raises:
        AssertionError: If the value differs from the reward's.
    """
    reward = {"information-gap": InformationGap, "compression-progress": CompressionProgress}[name]()
    reward.bind(course.context)
    reward.learn(course.steps[0].neighbourhood)
    counted = np.flatnonzero(course.late())
    chosen, spent = set(counted[np.linspace(0, len(counted) - 1, n).astype(int)].tolist()), []
    for at, step in enumerate(course.steps[1:]):
        reward.learn(step.neighbourhood)
        if at in chosen:
            learned = np.flatnonzero(reward.is_learned)
            began = time.perf_counter()
            value = recompute(len(learned), *inner_links(course.context.graph, learned))
            spent.append(time.perf_counter() - began)
            assert np.isclose(value, reward.value()), (name, value, reward.value())
    return 1e3 * float(np.median(spent))


def learned_by(course: Course) -> IntArray:
    """Return all topics of a curriculum in order of their numbers."""
    return np.unique([topic for step in course.steps for topic in step.neighbourhood]).astype(np.int32)


def inner_links(graph: TopicGraph, topics: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Return the links among some topics, as places in their list, each pair once."""
    starts, ends = graph.undirected
    place = np.full(len(graph), -1, dtype=np.int32)
    place[topics] = np.arange(len(topics))
    rows = [place[ends[starts[topic] : starts[topic + 1]]] for topic in topics]
    sources, targets = (
        np.repeat(np.arange(len(topics), dtype=np.int32), [len(row) for row in rows]),
        np.concatenate(rows),
    )
    once = targets > sources  # each pair is found from both ends; topics outside have place -1
    return sources[once], targets[once]


def naive_gap(n: int, sources: IntArray, targets: IntArray) -> float:
    """Return the first Betti number of the clique complex, by GUDHI."""
    tree = gudhi.SimplexTree()
    tree.insert_batch(np.arange(n, dtype=np.int32)[None], np.zeros(n))
    tree.insert_batch(np.stack([sources, targets]), np.zeros(len(sources)))
    tree.expansion(2)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    return float(tree.betti_numbers()[1])


def naive_compression(n: int, sources: IntArray, targets: IntArray) -> float:
    """Return the compressibility as its docstring defines it: from every clustering and its entropy rate."""
    ends = np.concatenate([np.stack([sources, targets]), np.stack([targets, sources])], axis=1)
    curves = [[rate(n, ends, cluster) for cluster in growing(n, ends, by_share)] for by_share in (False, True)]
    curve = np.min(curves, axis=0)
    return float(np.mean(curve[0] - curve))


def growing(n: int, ends: IntArray, by_share: bool) -> Iterator[NDArray[np.bool_]]:
    """Give for each size of the growing cluster, from one topic to all, which topics are in it, bool `[n]`."""
    degree, cluster = np.bincount(ends[0], minlength=n), np.zeros(n, dtype=bool)
    for _ in range(n):
        inside = np.bincount(ends[0], cluster[ends[1]], minlength=n)
        links = inside / np.maximum(degree, 1) if by_share else inside
        links[cluster] = -1  # topics in the cluster are not taken again
        best = np.flatnonzero(links == links.max())
        cluster[best[np.argmax(degree[best])]] = True
        yield cluster


def rate(n: int, ends: IntArray, cluster: NDArray[np.bool_]) -> float:
    """Return the entropy rate of the walk between the cluster and the single topics outside of it, in bits."""
    labels = np.where(cluster, 0, np.arange(1, n + 1))
    visits = np.bincount(labels[ends[0]], minlength=n + 1) / ends.shape[1]
    pairs, counts = np.unique(labels[ends[0]] * (n + 1) + labels[ends[1]], return_counts=True)
    steps = counts / ends.shape[1]
    return float(-(steps * np.log2(steps / visits[pairs // (n + 1)])).sum())


def show(title: str, found: dict[str, Any]) -> None:
    """Print the milliseconds of each reward per expansion."""
    links, topics = found["links"], found["topics_an_expansion"]
    table = Table("reward", "median ms", "95% ms", "naive ms", title=f"{title}: {links:.0f} links, {topics:.1f} topics")
    for name, row in found["rewards"].items():
        naive = f"{row['naive_median_ms']:.0f}" if "naive_median_ms" in row else ""
        table.add_row(name, f"{row['median_ms']:.3f}", f"{row['p95_ms']:.3f}", naive)
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(RewardCost, description=__doc__))
