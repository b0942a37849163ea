"""Rewards of the expansions of a vector environment, and their records."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.loop import Curriculum
from kgrl.envs.vector.state import SharedTables, VectorState, probe_names
from kgrl.expansion import Expansion, ExpansionBatch, Measurement
from kgrl.learners.simulated.kernels import style_drop
from kgrl.rewards.base import Reward, RewardError

__all__ = ["VectorRewards", "scores_together"]

Rows = NDArray[np.int64]


def scores_together(reward: Reward) -> bool:
    """Return whether a reward can score many expansions at once, without a record of each."""
    none = np.zeros(0, dtype=np.int64)
    gains = dict.fromkeys(("mean", "target", "self"), np.zeros(0))
    return reward.scores(ExpansionBatch(none, none[:, None], gains, _no_record)) is not None


def _no_record(at: int) -> Expansion:
    raise AssertionError("there are no expansions yet")


class VectorRewards:
    """Rewards the latest expansions of some curricula: all at once where the reward knows how, else one by one.

    Args:
        curriculum: What is grown; it has a reward.
        fixed: The tables of the environment.
        state: The arrays in which its expansions are.
        counts_style: Whether what any text teaches is counted; see `kgrl.envs.vector.variety.Variety.style`.
    """

    def __init__(self, curriculum: Curriculum, fixed: SharedTables, state: VectorState, *, counts_style: bool) -> None:
        assert curriculum.reward is not None
        self.curriculum, self.reward, self.counts_style = curriculum, curriculum.reward, counts_style
        self.fixed, self.state = fixed, state
        self._named = list(enumerate(probe_names(curriculum)))
        apart, num_envs = not scores_together(curriculum.reward), len(state.episodes.task)
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
        known, latest = self.state.known, self.state.latest
        topics = latest.topics[row, : latest.n_topics[row]]
        return Expansion(
            index=int(known.step[row]) - 1,
            topic=int(topics[0]),
            title=self.curriculum.corpus.graph.titles[topics[0]],
            neighbourhood=tuple(topics.tolist()),
            passages=tuple(latest.passages[row, : latest.n_passages[row]].tolist()),
            tokens=int(latest.tokens[row]),
            tokens_total=int(self.state.episodes.tokens[row]),
            budget=self.curriculum.config.budget_tokens,
            train_loss=float(latest.train_loss[row]),
            probes=self._measurements(row),
        )

    def _measurements(self, row: int) -> dict[str, Measurement]:
        latest, probes = self.state.latest, self.fixed.tasks.probes[self.state.episodes.task[row]]
        groups = {name: (probes[at], latest.before[row, at], latest.after[row, at]) for at, name in self._named}
        groups["self"] = latest.own[row], latest.own_before[row], latest.own_after[row]
        measured = {name: [part[topics >= 0].tolist() for part in (topics, before, after)]
                    for name, (topics, before, after) in groups.items()}  # fmt: skip
        return {name: Measurement(*map(tuple, parts)) for name, parts in measured.items() if parts[0]}

    def _expansions(self, rows: Rows) -> ExpansionBatch:
        latest = self.state.latest
        topics = np.where(np.arange(latest.topics.shape[1]) < latest.n_topics[rows, None], latest.topics[rows], -1)
        pairs = {name: (latest.before[rows, at], latest.after[rows, at]) for at, name in self._named}
        if self.fixed.tasks.measure_own:
            pairs["self"] = latest.own_before[rows], latest.own_after[rows]
        gains = {name: _mean(before) - _mean(after) for name, (before, after) in pairs.items()}
        if not self.counts_style:
            gains = {name: gains[name] - self._taught_by_any_text(rows, at) for at, name in self._named}
        return ExpansionBatch(latest.tokens[rows], topics, gains, lambda at: self.expansion(int(rows[at])))

    def _taught_by_any_text(self, rows: Rows, probe: int) -> NDArray[np.float64]:
        """Return the drop of a fixed probe's mean loss by the latest expansions that any text would have caused."""
        curves, episodes = self.fixed.curves, self.state.episodes
        fit, tokens = episodes.fit[rows], episodes.tokens[rows]
        before = tokens - self.state.latest.tokens[rows]
        dropped = [style_drop(curves.values[f], t) - style_drop(curves.values[f], b)
                   for f, t, b in zip(fit.tolist(), tokens.tolist(), before.tolist(), strict=True)]  # fmt: skip
        topics = self.fixed.tasks.probes[episodes.task[rows], probe]
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
