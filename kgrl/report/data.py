"""Data of a report: the record of one run, and the tree of topics that it grew."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.loop import Curriculum
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.prerequisites import Prerequisites
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.probes.questions import Question
from kgrl.report.knowledge import RunKnowledge
from kgrl.runs.metrics import tokens_to_target
from kgrl.runs.result import RunResult

__all__ = ["GrownTree", "RunData"]

_CENTRE = -1
"""The parent of the topics that hang on no other topic."""

_READ_ROOM, _FRONTIER_ROOM = 3.0, 1.0
"""Least width of a topic's sector, in units of one frontier topic."""


@dataclass(frozen=True)
class RunData:
    """Record of one run, as a report shows it.

    Args:
        agent: The agent's name.
        curve: The learning curve: (tokens, exam loss in nats per token), from before any training.
        expansions: The expansions, the nucleus first.
        nucleus: The topics that the curriculum started from.
        goal: The goal's topics, or None where all topics count.
        summary: The figures that `RunResult.summary()` returns; a report reads `exam_loss_before`, `exam_loss_after`,
            `aulc` and `seconds_by_phase`.
        recalled: Answers to questions, by the name of the questions; see `RunResult.recalled`.
        questions: The questions, by their name.
        knowledge: What was read and known; None where what was read counts as known.
        prerequisites: The prerequisites that the frontier asked for; None for none.
    """

    agent: str
    curve: Sequence[tuple[int, float]]
    expansions: Sequence[Expansion]
    nucleus: Iterable[int]
    goal: Iterable[int] | None
    summary: Mapping[str, Any]
    recalled: Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]] = field(default_factory=dict)
    questions: Mapping[str, Sequence[Question]] = field(default_factory=dict)
    knowledge: RunKnowledge | None = None
    prerequisites: Prerequisites | None = None

    @classmethod
    def of(cls, agent: str, result: RunResult, curriculum: Curriculum) -> RunData:
        """Return the data of a run that is complete.

        Args:
            agent: The agent's name.
            result: The run's result.
            curriculum: The curriculum that was run.
        """
        goal = None if curriculum.goal is None else tuple(curriculum.goal.tolist())
        nucleus = tuple(curriculum.nucleus.tolist())
        known = RunKnowledge.of(curriculum, result.expansions)
        told = result.summary(), result.recalled, result.questions, known, curriculum.state.frontier.prerequisites
        return cls(agent, result.curve, result.expansions, nucleus, goal, *told)

    @property
    def goal_topics(self) -> frozenset[int]:
        """The goal's topics; none where all topics count."""
        return frozenset(() if self.goal is None else self.goal)

    @property
    def rewarded(self) -> bool:
        """True if any expansion has a reward with named parts."""
        return any(expansion.reward_components for expansion in self.expansions)

    @property
    def probe_share(self) -> float:
        """Share of the loop's seconds (research, learn, probe) that went into probing."""
        phases = self.summary["seconds_by_phase"]
        total = sum(phases[phase] for phase in ("research", "learn", "probe"))
        return float(phases["probe"] / total) if total else 0.0

    def tokens_to(self, target: float) -> float | None:
        """Return the tokens at which the exam loss first reached `target` nats per token, or None if it never did."""
        return tokens_to_target(self.curve, target)

    def last_probe(self, topic: int) -> float | None:
        """Return the last probe loss of a topic in nats per token, or None if it was never probed."""
        for expansion in reversed(self.expansions):
            for probe in expansion.probes.values():
                if topic in probe.topics:
                    return probe.after[probe.topics.index(topic)]
        return None


@dataclass(frozen=True)
class GrownTree:
    """Tree of the read topics and their frontier, which grows outward from the nucleus, with a place for each topic.

    A picked topic hangs on its first read neighbour and what was read with it hangs on it. A frontier topic hangs on
    the neighbour that was read last. Where topics have to be known, the frontier is that of the solid ones, and those
    of its topics that were read are among the read ones. The tree therefore shows where growth came from. The layout is
    radial: the distance from the centre is the depth in the tree, and a sector is as wide as the topics that hang on
    its topic need.

    Args:
        topics: The topics, parents before children, shape `[n]`.
        parents: Position in `topics` of each one's parent, -1 at the centre, shape `[n]`.
        steps: The expansion that first read each topic, -1 for the frontier, shape `[n]`.
        places: x and y of each topic, shape `[n, 2]`.
        frontier_size: Number of frontier topics that were not read; `topics` has the best linked ones.
    """

    topics: IntArray
    parents: IntArray
    steps: IntArray
    places: NDArray[np.float64]
    frontier_size: int

    @classmethod
    def grow(
        cls,
        graph: TopicGraph,
        expansions: Sequence[Expansion],
        most_frontier: int = 120,
        knowledge: RunKnowledge | None = None,
        prerequisites: Prerequisites | None = None,
    ) -> GrownTree:
        """Build the tree of a run.

        Args:
            graph: The topic graph.
            expansions: The run's expansions, the nucleus first.
            most_frontier: Most frontier topics to keep; those with the most solid neighbours are kept.
            knowledge: What was read and known; None where what was read counts as known.
            prerequisites: The prerequisites that the frontier asked for; None for none.

        Example:
            >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 2], [1, 2, 3])
            >>> steps = [Expansion(i, t, graph.titles[t], (t,), (), 9, 9, 90, 3.0) for i, t in enumerate([0, 1])]
            >>> tree = GrownTree.grow(graph, steps)
            >>> tree.topics.tolist(), tree.parents.tolist(), tree.steps.tolist()
            ([0, 1, 2], [-1, 0, 1], [0, 1, -1])
        """
        position: dict[int, int] = {}
        parents: list[int] = []
        steps: list[int] = []
        for expansion in expansions:
            first = () if knowledge is None else knowledge.first_read[expansion.index]
            for topic in dict.fromkeys((*expansion.neighbourhood, *first)):
                if topic not in position:
                    parents.append(_parent(graph, expansion, topic, position))
                    steps.append(expansion.index)
                    position[topic] = len(position)
        solid = position if knowledge is None else sorted(knowledge.solid)
        frontier = Frontier(graph, solid, prerequisites=prerequisites)
        candidates = np.array([t for t in frontier.topics.tolist() if t not in position], dtype=np.int32)
        # Stable, so that equally linked topics stay in the graph's order and the page is the same each time.
        ranked = candidates[np.argsort(-frontier.links_to_solid[candidates], kind="stable")].tolist()
        shown = ranked[:most_frontier]
        # A prerequisite of a linked topic may itself be linked with nothing that was read.
        hanging = ([position[near] for near in _near(graph, topic, position)] for topic in shown)
        parents += [max(near, default=_CENTRE) for near in hanging]
        topics = np.array([*position, *shown], dtype=np.int32)
        tree = np.array(parents, dtype=np.int32)
        read_by = np.array(steps + [-1] * len(shown), dtype=np.int32)
        return cls(topics, tree, read_by, _radial(tree, _room(tree, read_by)), len(candidates))

    @property
    def read(self) -> list[int]:
        """The read topics, in the order they were first read in; all of them are learned where reading is enough."""
        topics: list[int] = self.topics[self.steps >= 0].tolist()
        return topics


def _parent(graph: TopicGraph, expansion: Expansion, topic: int, position: dict[int, int]) -> int:
    """Position of a read topic's parent; the nucleus, and topics that were not on the frontier, get the centre."""
    if expansion.index == 0:
        return _CENTRE
    if topic != expansion.topic and expansion.topic in position:
        return position[expansion.topic]
    return min((position[near] for near in _near(graph, topic, position)), default=_CENTRE)


def _near(graph: TopicGraph, topic: int, read: Container[int]) -> list[int]:
    return [near for near in graph.neighbours(topic).tolist() if near in read]


def _room(parents: IntArray, steps: IntArray) -> NDArray[np.float64]:
    """Least width of each topic's sector, shape `[n]`."""
    room = np.where(steps < 0, _FRONTIER_ROOM, _READ_ROOM)
    # All roots together get at least half the circle, so that one with many descendants does not squeeze the others.
    roots = parents < 0
    room[roots] = max(_READ_ROOM, len(parents) / (2 * max(int(roots.sum()), 1)))
    return room


def _radial(parents: IntArray, room: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places on rings around the centre, shape `[n, 2]`; parents come before children."""
    n = len(parents)
    depth, inner, angle = np.ones(n), np.zeros(n), np.zeros(n)
    hanging = np.flatnonzero(parents >= 0).tolist()
    for child in hanging:
        depth[child] = depth[parents[child]] + 1
    # Children come after their parents, so in reverse order a topic's own width is final before its parent adds it.
    for child in reversed(hanging):
        inner[parents[child]] += max(inner[child], room[child])
    width = np.maximum(inner, room)
    # The next free place in each topic's sector, whose children are in the middle of it. The last entry is the
    # centre's, which the index -1 finds.
    free = np.zeros(n + 1)
    for child, parent in enumerate(parents.tolist()):
        start = free[parent]
        free[parent] += width[child]
        free[child] = start + (width[child] - inner[child]) / 2
        angle[child] = start + width[child] / 2
    # Until here angles are in units of one frontier topic.
    angle *= 2 * np.pi / max(free[_CENTRE], 1.0)
    return np.column_stack([depth * np.cos(angle), depth * np.sin(angle)])
