"""The arrays that the kernels of observations work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["QUANTUM", "Aims", "Known", "Scratch", "Shown", "Tables"]

FloatArray = NDArray[np.float32]

QUANTUM = np.float32(1 / 32767)
"""The unit of kept cosines."""


class Tables(NamedTuple):
    """What never changes about a graph; see `kgrl.envs.features.walk_tables.WalkTables`.

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
        cosines: Cosines of all pairs in units of `QUANTUM`, int16 `[topics, topics]`; of shape `[0, 0]` where there
            are too many, and products of `embeddings` are made as they are needed.
        outlooks: Mean cosines of topics (columns) to the targets of pages (rows), likewise.
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
    cosines: NDArray[np.int16]
    outlooks: NDArray[np.int16]
    embeddings: FloatArray
    mean_targets: FloatArray
    projected: FloatArray
    outlook: FloatArray
    keys: NDArray[np.int64]
    after: FloatArray
    contexts: NDArray[np.int64]
    totals: FloatArray


class Aims(NamedTuple):
    """What some curricula work towards.

    Args:
        similarity: Cosine of each topic to the mean of the goal, or of the nucleus where there is no goal, `[aims,
            topics]`.
        goals: Features of topics towards the goal: cosine, links to it, is linked from it, ln(1 + common) / 4, ln(1 +
            paths) / 3, share of its category, is in it; `[aims, topics, 7]`, or `[aims, 0, 7]` where no aim has one.
        vectors: The goals' mean embeddings in few dimensions, `[aims, PROJECTED]`; zeros without one.
        has_goal: Whether there is a goal, `[aims]`.
    """

    similarity: FloatArray
    goals: FloatArray
    vectors: FloatArray
    has_goal: NDArray[np.bool_]


class Known(NamedTuple):
    """What is known of curricula as they are now, with a first axis `[curricula]`.

    Args:
        learned: Learned topics in order, `[curricula, most]`.
        n_learned: How many, `[curricula]`.
        links_to_learned: Learned neighbours of each topic.
        level: Latest probe loss of each topic, NaN where not measured.
        previous: The one before.
        total_similarity: Sum of each topic's cosines to the learned topics it was compared with.
        nearest_similarity: The largest of them.
        compared: How many learned topics each was compared with.
        learned_sum: Sum of the learned topics' embeddings, `[curricula, dimensions]`.
        summed: How many learned topics are in that sum, `[curricula]`.
        seed: Seeds shortlists and orders, uint64 `[curricula]`.
        step: Number of the coming expansion, `[curricula]`.
        state: First, previous and latest loss, and the share of the budget that is left, `[curricula, 4]`.
        aim: The row of each in `Aims`.
    """

    learned: IntArray
    n_learned: NDArray[np.int64]
    links_to_learned: IntArray
    level: FloatArray
    previous: FloatArray
    total_similarity: FloatArray
    nearest_similarity: FloatArray
    compared: IntArray
    learned_sum: FloatArray
    summed: NDArray[np.int64]
    seed: NDArray[np.uint64]
    step: NDArray[np.int64]
    state: NDArray[np.float64]
    aim: NDArray[np.int64]


class Shown(NamedTuple):
    """Observations as `kgrl.envs.features.space.observation_space` says, and slots' topics; each `[curricula, ...]`."""

    candidates: FloatArray
    topics: FloatArray
    path: FloatArray
    goal: FloatArray
    overall: FloatArray
    mask: NDArray[np.int8]
    slots: IntArray


class Scratch(NamedTuple):
    """Room to work in, one row for each thread.

    Args:
        slot_of: The slot of each topic, -1 where it has none, int16 `[threads, topics]`.
        pool: Room for lists of topics, `[threads, 2, topics]`.
    """

    slot_of: NDArray[np.int16]
    pool: IntArray
