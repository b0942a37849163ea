"""The grown graph of a run as a tree, laid out for drawing."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["GrownTree"]

_CENTRE = -1


@dataclass(frozen=True)
class GrownTree:
    """Learned topics and their frontier as a tree that grows outward from the nucleus, with a place for each.

    A picked topic hangs on its first learned neighbour, its neighbourhood hangs on it, and a frontier topic on the
    neighbour learned last, so that the tree shows where growth came from. The layout is radial: a topic's distance from
    the centre is its depth, its sector is as wide as what it bears.

    Args:
        topics: The topics, parents before children, shape `[n]`.
        parents: Position in `topics` of each one's parent, -1 at the centre, shape `[n]`.
        steps: The expansion that learned each topic, -1 for the frontier, shape `[n]`.
        places: x and y of each topic, shape `[n, 2]`.
        frontier_size: Number of frontier topics, of which only the best linked are in `topics`.
    """

    topics: IntArray
    parents: IntArray
    steps: IntArray
    places: NDArray[np.float64]
    frontier_size: int

    @classmethod
    def grow(cls, graph: TopicGraph, expansions: Sequence[Expansion], most_frontier: int = 120) -> GrownTree:
        """Build the tree of a run.

        Args:
            graph: The topic graph.
            expansions: The run's records, the nucleus first.
            most_frontier: Most frontier topics to keep; those with the most learned neighbours are kept.

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
            for topic in dict.fromkeys(expansion.neighbourhood):
                if topic not in position:
                    parents.append(_parent(graph, expansion, topic, position))
                    steps.append(expansion.index)
                    position[topic] = len(position)
        frontier = Frontier(graph, position)
        shown = _best_linked(frontier, most_frontier)
        parents += [max(position[near] for near in _near(graph, topic, position)) for topic in shown]
        topics = np.array([*position, *shown], dtype=np.int32)
        tree = np.array(parents, dtype=np.int32)
        learned_by = np.array(steps + [-1] * len(shown), dtype=np.int32)
        return cls(topics, tree, learned_by, _radial(tree, _room(tree, learned_by)), len(frontier))


def _parent(graph: TopicGraph, expansion: Expansion, topic: int, position: dict[int, int]) -> int:
    """Position of what a learned topic hangs on; the nucleus, and topics off the frontier, hang on the centre."""
    if expansion.index == 0:
        return _CENTRE
    if topic != expansion.topic and expansion.topic in position:
        return position[expansion.topic]
    return min((position[near] for near in _near(graph, topic, position)), default=_CENTRE)


def _near(graph: TopicGraph, topic: int, learned: Container[int]) -> list[int]:
    return [near for near in graph.neighbours(topic).tolist() if near in learned]


def _best_linked(frontier: Frontier, most: int) -> list[int]:
    topics = frontier.topics
    ranked: list[int] = topics[np.argsort(-frontier.links_to_learned[topics], kind="stable")].tolist()
    return ranked[:most]


def _room(parents: IntArray, steps: IntArray) -> NDArray[np.float64]:
    """The least width of each topic's sector: frontier topics are small, and no root is squeezed by a busy one."""
    room = np.where(steps < 0, 1.0, 3.0)
    roots = parents < 0
    room[roots] = max(3.0, len(parents) / (2 * max(int(roots.sum()), 1)))
    return room


def _radial(parents: IntArray, room: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places on rings around the centre, shape `[n, 2]`; parents come before children."""
    n = len(parents)
    depth, inner, angle = np.ones(n), np.zeros(n), np.zeros(n)
    hanging = np.flatnonzero(parents >= 0).tolist()
    for child in hanging:
        depth[child] = depth[parents[child]] + 1
    for child in reversed(hanging):
        inner[parents[child]] += max(inner[child], room[child])
    width = np.maximum(inner, room)
    # The next free place in each topic's sector, its children in the middle. The centre's is the last, which -1 finds.
    free = np.zeros(n + 1)
    for child, parent in enumerate(parents.tolist()):
        start = free[parent]
        free[parent] += width[child]
        free[child] = start + (width[child] - inner[child]) / 2
        angle[child] = start + width[child] / 2
    angle *= 2 * np.pi / max(free[_CENTRE], 1.0)
    return np.column_stack([depth * np.cos(angle), depth * np.sin(angle)])
