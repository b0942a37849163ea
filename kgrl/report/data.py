"""What a report is about: the record of one run, and what the pictures need of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgrl.expansion import Expansion
from kgrl.graph import Frontier, IntArray, TopicGraph

__all__ = ["GrownGraph", "RunData"]


@dataclass(frozen=True)
class RunData:
    """One run, as a report shows it.

    Args:
        agent: The agent's name.
        curve: The learning curve: (tokens, exam loss in nats per token), from before any training.
        expansions: The records, the nucleus first.
        nucleus: The topics the curriculum started from.
        goal: The goal's topics, or None where all topics count.
        summary: What `RunResult.summary()` returns; read are `exam_loss_before`, `exam_loss_after`, `aulc`, `seconds` and
            `seconds_by_phase`.
    """

    agent: str
    curve: Sequence[tuple[int, float]]
    expansions: Sequence[Expansion]
    nucleus: Iterable[int]
    goal: Iterable[int] | None
    summary: Mapping[str, Any]

    @property
    def probe_share(self) -> float:
        """Share of the loop's seconds (research, learn, probe) that went into probing."""
        phases = self.summary["seconds_by_phase"]
        total = sum(phases[phase] for phase in ("research", "learn", "probe"))
        return float(phases["probe"] / total) if total else 0.0


@dataclass(frozen=True)
class GrownGraph:
    """Learned topics and their frontier as a tree that grows outward from the nucleus, with a place for each.

    A picked topic hangs on its first learned neighbour, its neighbourhood hangs on it, and a frontier topic on the
    neighbour learned last, so that the tree shows where growth came from. The layout is radial: a topic's distance from
    the centre is its depth, its sector is as wide as the leaves it bears.

    Args:
        topics: The topics, parents before children, shape `[n]`.
        parents: Position in `topics` of each one's parent, -1 at the centre, shape `[n]`.
        expansions: The expansion that learned each topic, -1 for the frontier, shape `[n]`.
        places: x and y of each topic, shape `[n, 2]`.
        frontier_size: Number of frontier topics, of which only the best linked are in `topics`.
    """

    topics: IntArray
    parents: IntArray
    expansions: IntArray
    places: np.ndarray[Any, np.dtype[np.float64]]
    frontier_size: int

    @classmethod
    def grow(cls, graph: TopicGraph, expansions: Sequence[Expansion], most_frontier: int = 120) -> GrownGraph:
        """Build the tree of a run.

        Args:
            graph: The topic graph.
            expansions: The run's records, the nucleus first.
            most_frontier: Most frontier topics to keep; those with the most learned neighbours are kept.

        Example:
            >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 2], [1, 2, 3])
            >>> steps = [Expansion(i, t, graph.titles[t], (t,), (), 9, 9, 90, 3.0) for i, t in enumerate([0, 1])]
            >>> tree = GrownGraph.grow(graph, steps)
            >>> tree.topics.tolist(), tree.parents.tolist(), tree.expansions.tolist()
            ([0, 1, 2], [-1, 0, 1], [0, 1, -1])
        """
        step_of: dict[int, int] = {}
        parent_of: dict[int, int] = {}
        for expansion in expansions:
            for topic in expansion.neighbourhood:
                if topic not in step_of:
                    parent_of[topic] = _parent(graph, expansion, topic, step_of)
                    step_of[topic] = expansion.index
        frontier = Frontier(graph, step_of)
        shown = frontier.topics[np.argsort(-frontier.links_to_learned[frontier.topics], kind="stable")][:most_frontier]
        position = {topic: place for place, topic in enumerate(step_of)}
        for topic in shown.tolist():
            parent_of[topic] = max(_learned_near(graph, topic, position), key=position.__getitem__)
        position |= {topic: len(step_of) + place for place, topic in enumerate(shown.tolist())}
        parents = np.array([position.get(parent_of[topic], -1) for topic in position], dtype=np.int32)
        steps = np.array([step_of.get(topic, -1) for topic in position], dtype=np.int32)
        return cls(np.array(list(position), dtype=np.int32), parents, steps, _radial(parents), len(frontier))


def _parent(graph: TopicGraph, expansion: Expansion, topic: int, step_of: Mapping[int, int]) -> int:
    """The topic that `topic` hangs on, -1 at the centre; `step_of` is in order of learning."""
    if expansion.index == 0:
        return -1
    if topic != expansion.topic:
        return expansion.topic
    return next(iter(sorted(_learned_near(graph, topic, step_of), key=list(step_of).index)), -1)


def _learned_near(graph: TopicGraph, topic: int, learned: Mapping[int, int]) -> list[int]:
    return [near for near in graph.neighbours(topic).tolist() if near in learned]


def _radial(parents: IntArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Places on rings around the centre, shape `[n, 2]`; parents come before children."""
    n = len(parents)
    depth, leaves = np.ones(n), np.zeros(n)
    for child in range(n):
        depth[child] = 1 if parents[child] < 0 else depth[parents[child]] + 1
    for child in reversed(range(n)):
        leaves[child] = max(leaves[child], 1.0)
        if parents[child] >= 0:
            leaves[parents[child]] += leaves[child]
    turn = 2 * np.pi / max(leaves[parents < 0].sum(), 1.0)
    # The next free angle in each topic's sector, in leaves; the last entry is the centre's, found as index -1.
    free = np.zeros(n + 1)
    angle = np.zeros(n)
    for child in range(n):
        start = free[parents[child]]
        free[parents[child]] += leaves[child]
        free[child] = start
        angle[child] = (start + leaves[child] / 2) * turn
    return np.column_stack([depth * np.cos(angle), depth * np.sin(angle)])
