"""Variety: the tasks that the episodes of a vector environment are drawn from.

A policy that is to work on any corpus, towards any goal and from any start is trained on many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from kgrl.errors import SettingError
from kgrl.graph.nucleus import grow_nucleus
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["EpisodeTask", "Variety", "draw_tasks", "regions"]

_REGIONS, _HELD_OUT = 12, 4
_SEED = 20_26


class EpisodeTask(NamedTuple):
    """Task of an episode: its goal, its nucleus and the topics that can be learned.

    Args:
        goal: The goal's topics, None where all topics count.
        nucleus: The topics it starts from.
        trainable: Whether each topic can be learned, `[topics]`.
        whole: Whether probes are drawn from hidden topics too.
    """

    goal: IntArray | None
    nucleus: IntArray
    trainable: NDArray[np.bool_]
    whole: bool = False


@dataclass(frozen=True)
class Variety:
    """Differences between episodes: their goals, starts, hidden topics and learners.

    A graph falls into twelve regions of similar topics. Four of them, always the same, are held out: tasks with
    `held_out` may only learn their topics, others never do. So policies are tried on graphs they were not trained on.

    Args:
        goals: Categories to work towards; None stands for all topics.
        tasks: Number of tasks drawn: a goal, a start, and what is hidden.
        hidden: Share of the regions at hand that each task hides; 0 shows all.
        held_out: Whether tasks lie in the regions that are held out; None ignores that split.
        members: Whether each episode's learner is another member of the calibrations' ensembles.
        calibrations: Names or files of the calibrations that learners are drawn from; the learner's own if empty.
        noise: Whether measurements are noisy. Noise in rewards only takes longer to average out, so that training does
            without it.
        style: Whether rewards count what any text teaches. That is the same whatever is picked, and most of what there
            is, so that training does without it too; fixed probes only.
        seed: Seeds the tasks.
    """

    goals: tuple[str | None, ...] = (None,)
    tasks: int = 32
    hidden: float = 0.25
    held_out: bool | None = False
    members: bool = True
    noise: bool = True
    style: bool = True
    calibrations: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tasks < 1 or not 0 <= self.hidden < 1 or not self.goals:
            raise SettingError("a variety needs a goal (None for all topics), a task, and a hidden share of 0 up to 1")


def draw_tasks(
    graph: TopicGraph,
    embeddings: NDArray[np.float32],
    variety: Variety,
    trainable: NDArray[np.bool_],
    nucleus_size: int,
) -> list[EpisodeTask]:
    """Draw the tasks of a variety, taking its goals in turn.

    What a task shows is connected: topics that cannot be reached from its start are hidden too.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, `[topics, dimensions]`.
        variety: How tasks differ.
        trainable: Whether each topic can be learned at all, `[topics]`.
        nucleus_size: Topics of a nucleus.

    Raises:
        SettingError: If a goal has no topic that can be learned.
        UnknownNameError: If a goal is no category of the graph.
    """
    rng, labels = np.random.default_rng([_SEED, variety.seed]), regions(embeddings)
    order = np.random.default_rng(_SEED).permutation(_REGIONS)
    if variety.held_out is not None:
        order = order[:_HELD_OUT] if variety.held_out else order[_HELD_OUT:]
    tasks = []
    for number in range(variety.tasks):
        goal = variety.goals[number % len(variety.goals)]
        shown = rng.permutation(order)[: max(1, round((1 - variety.hidden) * len(order)))]
        tasks.append(_task(graph, goal, trainable & np.isin(labels, shown), nucleus_size, rng))
    return tasks


def regions(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the region of each topic, from 0 to 11: which of twelve topics drawn at random it is nearest to.

    Args:
        embeddings: Unit topic embeddings, `[topics, dimensions]`.
    """
    n = len(embeddings)
    centres = np.random.default_rng(_SEED).choice(n, _REGIONS, replace=n < _REGIONS)
    nearest: NDArray[np.int64] = (embeddings @ embeddings[centres].T).argmax(axis=1)
    return nearest


def _task(
    graph: TopicGraph, category: str | None, shown: NDArray[np.bool_], nucleus_size: int, rng: np.random.Generator
) -> EpisodeTask:
    """A task that starts from a random topic of the goal and the topics with most links around it."""
    goal = None if category is None else graph.in_category(category)
    among = np.arange(len(graph), dtype=np.int32) if goal is None else goal
    pool: IntArray = among[shown[among]]
    if not len(pool):
        raise SettingError(
            f"nothing that can be learned is left of {category or 'the graph'!r}; hide less of the graph"
        )
    shown = _largest_part(graph, shown, pool)
    pool = pool[shown[pool]]
    links = graph.degree[pool] + 1e-9
    start = int(rng.choice(pool, p=links / links.sum()))
    return EpisodeTask(goal, grow_nucleus(graph, start, nucleus_size, goal, shown), shown)


def _largest_part(graph: TopicGraph, shown: NDArray[np.bool_], pool: IntArray) -> NDArray[np.bool_]:
    """The connected part of what is shown that has most topics of the pool."""
    topics = np.flatnonzero(shown)
    part = connected_components(graph.adjacency[topics][:, topics], directed=False)[1]
    largest = np.bincount(part[np.searchsorted(topics, pool)]).argmax()
    kept = np.zeros(len(shown), dtype=bool)
    kept[topics[part == largest]] = True
    return kept


def stack_nuclei(tasks: Sequence[EpisodeTask]) -> IntArray:
    """Return the nuclei as rows, -1 beyond their ends, `[tasks, most]`."""
    rows = np.full((len(tasks), max(len(task.nucleus) for task in tasks)), -1, dtype=np.int32)
    for row, task in zip(rows, tasks, strict=True):
        row[: len(task.nucleus)] = task.nucleus
    return rows
