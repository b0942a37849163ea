"""What the expansions of a vector environment are worth, and their records."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.loop import Curriculum
from kgrl.envs.features.arrays import Known
from kgrl.envs.vector.state import Courses, Lessons, Material, probe_names
from kgrl.expansion import Expansion, ExpansionBatch, Measurement
from kgrl.learners.simulated.kernels import CurveTables, style_drop
from kgrl.rewards.base import Reward, RewardError

__all__ = ["State", "VectorRewards", "scores_together"]

Rows = NDArray[np.int64]


class State(NamedTuple):
    """The arrays of a vector environment that say what was learned.

    Args:
        material: What is taught and measured.
        curves: The learners' curves.
        known: What observations are made from.
        courses: The rest of the curricula's state.
        lessons: Their latest expansions.
    """

    material: Material
    curves: CurveTables
    known: Known
    courses: Courses
    lessons: Lessons


def scores_together(reward: Reward) -> bool:
    """Whether a reward can score many expansions at once, without a record of each."""
    none = np.zeros(0, dtype=np.int64)
    gains = dict.fromkeys(("mean", "target", "self"), np.zeros(0))
    return reward.scores(ExpansionBatch(none, none[:, None], gains, _no_record)) is not None


def _no_record(at: int) -> Expansion:
    raise AssertionError("there are no expansions yet")


class VectorRewards:
    """Rewards the latest expansions of some curricula: all at once where the reward knows how, else one by one.

    Args:
        curriculum: What is grown; it has a reward.
        state: The arrays it is read from.
        counts_style: Whether what any text teaches is counted; see `kgrl.envs.vector.variety.Variety.style`.
    """

    def __init__(self, curriculum: Curriculum, state: State, *, counts_style: bool) -> None:
        assert curriculum.reward is not None
        self.curriculum, self.reward, self.state, self.counts_style = curriculum, curriculum.reward, state, counts_style
        self._named = list(enumerate(probe_names(curriculum)))
        apart, num_envs = not scores_together(curriculum.reward), len(state.courses.task)
        self._own = [copy.deepcopy(curriculum.reward) for _ in range(num_envs)] if apart else None

    def begin(self, rows: Rows) -> None:
        """Tell the rewards of some curricula what was learned of their nuclei."""
        if self._own is not None:
            for row in rows.tolist():
                self._own[row].begin(self.expansion(row))

    def of(self, rows: Rows) -> NDArray[np.float64]:
        """Return the rewards of the latest expansions of some curricula.

        Raises:
            RewardError: If one is not finite.
        """
        if self._own is not None:
            return np.array([self._own[row].evaluate(self.expansion(row))[0] for row in rows.tolist()])
        scores = self.reward.scores(self._expansions(rows))
        assert scores is not None
        if not np.isfinite(scores).all():
            row = int(rows[np.flatnonzero(~np.isfinite(scores))[0]])
            index = self.expansion(row).index
            raise RewardError(f"reward {self.reward.name!r} is not finite at expansion {index} of copy {row}")
        return scores

    def expansion(self, row: int) -> Expansion:
        """Return the record of a curriculum's latest expansion; it has no wall-clock and no cost of probing."""
        _, _, known, courses, lessons = self.state
        topics = lessons.topics[row, : lessons.n_topics[row]]
        return Expansion(
            index=int(known.step[row]) - 1,
            topic=int(topics[0]),
            title=self.curriculum.corpus.graph.titles[topics[0]],
            neighbourhood=tuple(topics.tolist()),
            passages=tuple(lessons.passages[row, : lessons.n_passages[row]].tolist()),
            tokens=int(lessons.tokens[row]),
            tokens_total=int(courses.tokens[row]),
            budget=self.curriculum.config.budget_tokens,
            train_loss=float(lessons.train_loss[row]),
            probes=self._measurements(row),
        )

    def _measurements(self, row: int) -> dict[str, Measurement]:
        lessons, probes = self.state.lessons, self.state.material.probes[self.state.courses.task[row]]
        groups = {name: (probes[at], lessons.before[row, at], lessons.after[row, at]) for at, name in self._named}
        groups["self"] = lessons.own[row], lessons.own_before[row], lessons.own_after[row]
        measured = {name: [part[topics >= 0].tolist() for part in (topics, before, after)]
                    for name, (topics, before, after) in groups.items()}  # fmt: skip
        return {name: Measurement(*map(tuple, parts)) for name, parts in measured.items() if parts[0]}

    def _expansions(self, rows: Rows) -> ExpansionBatch:
        lessons = self.state.lessons
        topics = np.where(np.arange(lessons.topics.shape[1]) < lessons.n_topics[rows, None], lessons.topics[rows], -1)
        pairs = {name: (lessons.before[rows, at], lessons.after[rows, at]) for at, name in self._named}
        if self.state.material.measure_own:
            pairs["self"] = lessons.own_before[rows], lessons.own_after[rows]
        gains = {name: _mean(before) - _mean(after) for name, (before, after) in pairs.items()}
        if not self.counts_style:
            gains = {name: gains[name] - self._taught_by_any_text(rows, at) for at, name in self._named}
        return ExpansionBatch(lessons.tokens[rows], topics, gains, lambda at: self.expansion(int(rows[at])))

    def _taught_by_any_text(self, rows: Rows, probe: int) -> NDArray[np.float64]:
        """How much the latest expansions lowered the mean loss of a fixed probe, whatever they were about."""
        material, curves, _, courses, lessons = self.state
        fit, tokens = courses.fit[rows], courses.tokens[rows]
        before = tokens - lessons.tokens[rows]
        dropped = [style_drop(curves.values[f], t) - style_drop(curves.values[f], b)
                   for f, t, b in zip(fit.tolist(), tokens.tolist(), before.tolist(), strict=True)]  # fmt: skip
        topics = material.probes[courses.task[rows], probe]
        response = np.where(topics >= 0, curves.response[fit[:, None], topics], np.nan)
        return np.array(dropped) * _mean(response)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean over the last axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1, dtype=np.float64)
    mean: NDArray[np.float64] = np.divide(
        total, known.sum(axis=-1), out=np.full(len(values), np.nan), where=known.any(-1)
    )
    return mean
