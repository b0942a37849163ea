"""Records of arrays that the kernels of observations read and write."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["GoalFeatures", "GraphTables", "LearnedState", "Observations", "Path", "Workspace"]

FloatArray = NDArray[np.float32]


class GraphTables(NamedTuple):
    """A graph's topics, links and clicks, which never change; see `kgrl.envs.features.walk_tables.WalkTables`.

    Args:
        out_starts: Row starts of the links, `[topics + 1]`.
        out: Their targets.
        near_starts: Row starts of the undirected neighbours, `[topics + 1]`.
        near: The neighbours.
        share: One over each topic's degree, `[topics]`.
        topics: Topic features, `[topics, 4]`.
        coherence: 5 times the coherence of each topic's text with its links, `[topics]`.
        links: Link features, the last row for pairs that are no link, `[links + 1, 13]`.
        transitions: Transition features in the same rows, `[links + 1, 7]`.
        categories: A number for each topic's category, `[topics]`.
        embeddings: Unit embeddings, `[topics, dimensions]`.
        mean_targets: Mean embedding of each topic's targets, `[topics, dimensions]`.
        projected: Embeddings in few dimensions, `[topics, PROJECTED]`.
        outlook: `mean_targets` in few dimensions.
        keys: Previous page times links plus link, ascending, of the clicks counted after a previous page.
        after: Their counts.
        contexts: Previous page times topics plus page, ascending.
        totals: Their counts.
    """

    out_starts: NDArray[np.int64]
    out: IntArray
    near_starts: NDArray[np.int64]
    near: IntArray
    share: FloatArray
    topics: FloatArray
    coherence: FloatArray
    links: FloatArray
    transitions: FloatArray
    categories: NDArray[np.int64]
    embeddings: FloatArray
    mean_targets: FloatArray
    projected: FloatArray
    outlook: FloatArray
    keys: NDArray[np.int64]
    after: FloatArray
    contexts: NDArray[np.int64]
    totals: FloatArray


class GoalFeatures(NamedTuple):
    """Relations of all topics to the aims of some curricula: each to its goal, or to its nucleus where it has no goal.

    Args:
        similarity: Cosine of each topic to the mean of the goal, or of the nucleus where there is no goal, `[aims,
            topics]`.
        goals: Features of topics towards the goal in the order of `kgrl.envs.features.names.TOPIC_GOAL_FEATURES`,
            `[aims, topics, 7]`, or `[aims, 0, 7]` where no aim has one.
        vectors: The goals' mean embeddings in few dimensions, `[aims, PROJECTED]`; zeros without one.
        has_goal: Whether there is a goal, `[aims]`.
    """

    similarity: FloatArray
    goals: FloatArray
    vectors: FloatArray
    has_goal: NDArray[np.bool_]


class Path(NamedTuple):
    """The way of one reader to the current page.

    Args:
        stack: Pages from the first to the current one, the last `STACK` of them at most, int32 `[pages]`.
        seen: Pages in the order they were opened, the last `SEEN` at most, int32 `[pages]`.
        left: Those of them that were left by a back click, int32 `[pages]`.
        start: The first page.
        depth: Pages on the stack.
    """

    stack: IntArray
    seen: IntArray
    left: IntArray
    start: np.int64
    depth: np.int64


class LearnedState(NamedTuple):
    """State of curricula that observations are made from: what is learned and measured so far, each `[curricula, ...]`.

    Args:
        learned: Learned topics in order, `[curricula, most]`.
        n_learned: How many, `[curricula]`.
        links_to_solid: Learned neighbours of each topic.
        level: Latest probe loss of each topic, NaN where not measured.
        previous: The one before.
        nearest_similarity: The largest of each topic's cosines to the learned topics it was compared with.
        compared: How many learned topics each was compared with.
        learned_sum: Sum of the learned topics' embeddings, `[curricula, dimensions]`.
        summed: How many learned topics are in that sum, `[curricula]`.
        seed: Seeds shortlists and orders, uint64 `[curricula]`.
        step: Number of the coming expansion, `[curricula]`.
        first_loss: Mean loss before the first expansion after the nucleus, nats per token.
        previous_loss: The same before the latest expansion.
        latest_loss: The same after it.
        budget_left: Share of the token budget that is left.
        aim: The row of each in `GoalFeatures`.
        exposures: Number of lessons that read each topic. Like the next four it has no column, `[curricula, 0]`, where
            topics are solid once they were read.
        last_read: Tokens trained on when each was last read.
        estimate: How well each is known by the measure of mastery, NaN where not estimated.
        estimate_before: The same at the estimate before.
        was_solid: Whether each is solid or was.
        solid_level: The level of the measure at which a topic is solid, `[curricula]`.
        tokens: Tokens trained on, `[curricula]`; not kept where topics are solid once they were read.
        n_unknown: Number of topics that were read and are not solid, `[curricula]`; 0 there.
    """

    learned: IntArray
    n_learned: NDArray[np.int64]
    links_to_solid: IntArray
    level: FloatArray
    previous: FloatArray
    nearest_similarity: FloatArray
    compared: IntArray
    learned_sum: FloatArray
    summed: NDArray[np.int64]
    seed: NDArray[np.uint64]
    step: NDArray[np.int64]
    first_loss: NDArray[np.float64]
    previous_loss: NDArray[np.float64]
    latest_loss: NDArray[np.float64]
    budget_left: NDArray[np.float64]
    aim: NDArray[np.int64]
    exposures: IntArray
    last_read: NDArray[np.int64]
    estimate: FloatArray
    estimate_before: FloatArray
    was_solid: NDArray[np.bool_]
    solid_level: NDArray[np.float64]
    tokens: NDArray[np.int64]
    n_unknown: NDArray[np.int64]


class Observations(NamedTuple):
    """Observations as `kgrl.envs.features.space.observation_space` says, and slots' topics; each `[curricula, ...]`."""

    candidates: FloatArray
    topics: FloatArray
    path: FloatArray
    goal: FloatArray
    overall: FloatArray
    mask: NDArray[np.int8]
    slots: IntArray


class Workspace(NamedTuple):
    """Arrays that kernels work in, one row for each thread.

    Args:
        slot_of: The slot of each topic, -1 where it has none, int16 `[threads, topics]`.
        pool: Room for lists of topics, `[threads, 2, topics]`.
    """

    slot_of: NDArray[np.int16]
    pool: IntArray
