"""The arrays that the kernels of the vector environment work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["Courses", "Lessons", "Material"]

FloatArray = NDArray[np.float32]


class Material(NamedTuple):
    """What is taught and measured; the same for all curricula.

    Args:
        tokens: Tokens of each passage for the learners of each calibration, `[calibrations, passages]`.
        calibration: Which calibration each fit belongs to, `[fits]`.
        topics: The topic of each passage, `[passages]`.
        own_probe: Each topic's first probe passage, -1 where it has none, `[topics]`.
        measure_own: Whether neighbourhoods are measured.
        measure_training: Whether training losses are.
        trainable: Whether each topic can be learned, by task, `[tasks, topics]`.
        nuclei: The nucleus of each task, -1 beyond its end, `[tasks, most]`.
        probes: The topics of each task's fixed probes, -1 beyond their end, `[tasks, probes, most]`.
        budget: The token budget.
        lesson: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
    """

    tokens: NDArray[np.int64]
    calibration: NDArray[np.int64]
    topics: IntArray
    own_probe: IntArray
    measure_own: bool
    measure_training: bool
    trainable: NDArray[np.bool_]
    nuclei: IntArray
    probes: IntArray
    budget: int
    lesson: int
    neighbourhood: int


class Courses(NamedTuple):
    """The state of curricula beside what observations are made from, each with a first axis `[curricula]`.

    Args:
        task: The row of each curriculum's task.
        fit: The row of its learner's curves.
        noise: Seeds the noise of its learner's measurements.
        learned: Whether each topic is learned, `[curricula, topics]`.
        discovered: Frontier topics in order of discovery, among them some that were learned since.
        n_discovered: How many.
        n_candidates: How many candidates there were when it was last observed.
        used: Whether each passage was trained on, `[curricula, passages]`.
        effective: Effective tokens by topic before the common factor, `[curricula, topics]`.
        scale: That factor.
        tokens: Tokens trained on.
        stamp: The number of the expansion after which each topic was last measured, `[curricula, topics]`.
    """

    task: NDArray[np.int64]
    fit: NDArray[np.int64]
    noise: NDArray[np.int64]
    learned: NDArray[np.bool_]
    discovered: IntArray
    n_discovered: NDArray[np.int64]
    n_candidates: NDArray[np.int64]
    used: NDArray[np.bool_]
    effective: NDArray[np.float64]
    scale: NDArray[np.float64]
    tokens: NDArray[np.int64]
    stamp: IntArray


class Lessons(NamedTuple):
    """The latest expansion of each curriculum, each with a first axis `[curricula]`.

    Args:
        topics: The topics learned, the picked one first; before that the neighbourhood.
        n_topics: How many.
        passages: The passages trained on.
        n_passages: How many.
        tokens: Tokens trained on.
        train_loss: Mean loss of those tokens before they were; 0 where it is not measured.
        before: Losses of the fixed probes before, NaN beyond their end, `[curricula, probes, most]`.
        after: The same after.
        own: The neighbourhood, as far as it was measured, -1 elsewhere.
        own_before: Its losses before.
        own_after: The same after.
    """

    topics: IntArray
    n_topics: NDArray[np.int64]
    passages: IntArray
    n_passages: NDArray[np.int64]
    tokens: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    before: FloatArray
    after: FloatArray
    own: IntArray
    own_before: FloatArray
    own_after: FloatArray
