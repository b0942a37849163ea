"""Records of arrays that a vector environment keeps, made from the objects of a curriculum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.research_kernels import ResearchTables
from kgrl.envs.features.arrays import GoalFeatures, GraphTables, LearnedState, Observations, Workspace
from kgrl.envs.features.curriculum_features import blank_learned_state
from kgrl.envs.vector.variety import EpisodeTask
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.simulated.calibration import Calibration
from kgrl.learners.simulated.kernels import CurveTables, RelatedTopics
from kgrl.learners.simulated.learner import curves_of
from kgrl.learners.simulated.reader import tokens_of
from kgrl.probes.prober import sample_topics

__all__ = [
    "EpisodeState",
    "LatestExpansions",
    "LearnerFits",
    "SharedTables",
    "TaskTables",
    "VectorState",
    "blank_episodes",
    "blank_expansions",
    "blank_learned",
    "bytes_each",
    "learner_fits",
    "probe_names",
    "task_tables",
]


FloatArray = NDArray[np.float32]


class TaskTables(NamedTuple):
    """Tables of the tasks: passages, probes, nuclei and budgets; the same for all curricula.

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


class EpisodeState(NamedTuple):
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
        read: Whether any passage of each topic was, `[curricula, topics]`.
        n_read: How many topics that are.
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
    read: NDArray[np.bool_]
    n_read: NDArray[np.int64]
    effective: NDArray[np.float64]
    scale: NDArray[np.float64]
    tokens: NDArray[np.int64]
    stamp: IntArray


class LatestExpansions(NamedTuple):
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


class SharedTables(NamedTuple):
    """Everything that stays as it is while curricula are advanced; all of them share it.

    Args:
        graph: The graph.
        goals: Relations of topics to the tasks' goals.
        tasks: The tasks.
        research: Related topics and passages to choose lessons from.
        related: Topics that each topic teaches too.
        curves: The learners' curves.
    """

    graph: GraphTables
    goals: GoalFeatures
    tasks: TaskTables
    research: ResearchTables
    related: RelatedTopics
    curves: CurveTables


class VectorState(NamedTuple):
    """Everything that changes while curricula are advanced.

    Args:
        known: The part of their state that observations are made from.
        episodes: The rest of it.
        latest: Their latest expansions.
        workspace: Room to work in.
        shown: Their observations.
    """

    known: LearnedState
    episodes: EpisodeState
    latest: LatestExpansions
    workspace: Workspace
    shown: Observations


_SAMPLES = ("mean", "target")


class LearnerFits(NamedTuple):
    """Learning curves that the learners of episodes are drawn from.

    Args:
        curves: The curves, a row for each fit.
        calibration: Which calibration each is of, `[fits]`.
        rates: Tokens for each word, by calibration.
    """

    curves: CurveTables
    calibration: NDArray[np.int64]
    rates: list[float]


def learner_fits(
    calibrations: Sequence[Calibration], n_topics: int, members: Sequence[int | None] | None
) -> LearnerFits:
    """Return the fits of some calibrations.

    Args:
        calibrations: The calibrations, all of one corpus.
        n_topics: Its topics.
        members: The members of each one's ensemble; all members of each if None.
    """
    chosen = [list(range(len(c.members))) if members is None else list(members) for c in calibrations]
    curves = [curves_of(c, n_topics, which) for c, which in zip(calibrations, chosen, strict=True)]
    joined = CurveTables(*(np.concatenate(rows) for rows in zip(*curves, strict=True)))
    numbers = np.repeat(np.arange(len(calibrations)), [len(which) for which in chosen])
    return LearnerFits(joined, numbers.astype(np.int64), [c.tokens_per_word for c in calibrations])


def task_tables(
    curriculum: Curriculum, tasks: Sequence[EpisodeTask], nuclei: IntArray, fits: LearnerFits, *, records: bool
) -> TaskTables:
    """Return the tables of some tasks.

    Args:
        curriculum: The curriculum whose tasks they are.
        tasks: What episodes are about.
        nuclei: Their nuclei, `[tasks, most]`.
        fits: What learners are simulated with.
        records: Whether records of expansions are wanted, with their training losses.
    """
    corpus, config = curriculum.corpus, curriculum.config
    words = np.maximum(corpus.word_counts, 1).astype(np.int64)
    needs = curriculum.reward.needs if curriculum.reward else frozenset[str]()
    return TaskTables(
        tokens=np.stack([tokens_of(words, rate) for rate in fits.rates]),
        calibration=fits.calibration,
        topics=corpus.topics,
        own_probe=corpus.first_ids(Split.PROBE),
        measure_own="self" in needs,
        measure_training=records,
        trainable=np.stack([task.trainable for task in tasks]),
        nuclei=nuclei,
        probes=_fixed_probes(curriculum, tasks),
        budget=config.budget_tokens,
        lesson=config.expansion_tokens,
        neighbourhood=config.neighbourhood,
    )


def probe_names(curriculum: Curriculum) -> tuple[str, ...]:
    """Return the fixed probes that a curriculum's reward reads, in order."""
    needs = curriculum.reward.needs if curriculum.reward else frozenset[str]()
    return tuple(name for name in _SAMPLES if name in needs)


def _fixed_probes(curriculum: Curriculum, tasks: Sequence[EpisodeTask]) -> IntArray:
    size, seed, names = curriculum.config.probe_topics, curriculum.config.seed, probe_names(curriculum)
    probes = np.full((len(tasks), len(names), size), -1, dtype=np.int32)
    for row, task in enumerate(tasks):
        for at, name in enumerate(names):
            if name == "target" and task.goal is None:
                continue
            among = task.goal if name == "target" else None
            if not task.whole:
                shown = np.flatnonzero(task.trainable).astype(np.int32)
                among = shown if among is None else among[task.trainable[among]]
            drawn = sample_topics(curriculum.corpus, Split.PROBE, size, seed, among)
            probes[row, at, : len(drawn)] = drawn
    return probes


def blank_learned(curricula: int, topics: int, dimensions: int) -> LearnedState:
    """Return the state of curricula that have not begun, with room for all that observations are made from."""
    nan = np.full((curricula, topics), np.nan, dtype=np.float32)
    return blank_learned_state(curricula, topics, dimensions)._replace(
        learned=np.zeros((curricula, topics), dtype=np.int32),
        links_to_solid=np.zeros((curricula, topics), dtype=np.int32),
        level=nan,
        previous=nan.copy(),
    )


def blank_episodes(curricula: int, topics: int, passages: int) -> EpisodeState:
    """Return the rest of the state of curricula that have not begun."""
    numbers = (np.zeros(curricula, dtype=np.int64) for _ in range(7))
    task, fit, noise, n_discovered, n_candidates, n_read, tokens = numbers
    return EpisodeState(
        task=task,
        fit=fit,
        noise=noise,
        learned=np.zeros((curricula, topics), dtype=bool),
        discovered=np.zeros((curricula, topics), dtype=np.int32),
        n_discovered=n_discovered,
        n_candidates=n_candidates,
        used=np.zeros((curricula, passages), dtype=bool),
        read=np.zeros((curricula, topics), dtype=bool),
        n_read=n_read,
        effective=np.zeros((curricula, topics)),
        scale=np.ones(curricula),
        tokens=tokens,
        stamp=np.zeros((curricula, topics), dtype=np.int32),
    )


def blank_expansions(curricula: int, tasks: TaskTables) -> LatestExpansions:
    """Return room for the latest expansions."""
    most = max(tasks.neighbourhood, tasks.nuclei.shape[1])
    _, probes, size = tasks.probes.shape
    return LatestExpansions(
        topics=np.zeros((curricula, most), dtype=np.int32),
        n_topics=np.zeros(curricula, dtype=np.int64),
        passages=np.zeros((curricula, tasks.lesson + 1), dtype=np.int32),  # each has a token at least
        n_passages=np.zeros(curricula, dtype=np.int64),
        tokens=np.zeros(curricula, dtype=np.int64),
        train_loss=np.zeros(curricula),
        before=np.full((curricula, probes, size), np.nan, dtype=np.float32),
        after=np.full((curricula, probes, size), np.nan, dtype=np.float32),
        own=np.full((curricula, most), -1, dtype=np.int32),
        own_before=np.full((curricula, most), np.nan, dtype=np.float32),
        own_after=np.full((curricula, most), np.nan, dtype=np.float32),
    )


def bytes_each(topics: int, passages: int, slots_bytes: int, lesson: int) -> int:
    """Return about how many bytes of memory one curriculum takes.

    Args:
        topics: Topics of its graph.
        passages: Passages of its corpus.
        slots_bytes: Bytes of its observation, which is kept and copied, and whose space keeps bounds of each number.
        lesson: Most tokens of an expansion.
    """
    each_topic = sum(array.itemsize for array in _by_topic())
    return topics * each_topic + passages + 5 * slots_bytes + 4 * lesson


def _by_topic() -> Iterator[NDArray[np.generic]]:
    """One topic of every array that has them all."""
    for state in (blank_learned(1, 1, 1), blank_episodes(1, 1, 0)):
        yield from (array for array in state if array.ndim == 2 and array.shape[1] == 1)
