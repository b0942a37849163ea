"""Skill-It: arms drawn by how much learning them lowers the losses that are still large (Chen et al. 2023)."""

from __future__ import annotations

import copy
from collections import deque

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.bandits.arms import ArmBandit, Arms, Floats, Mask, softmax
from kgrl.agents.base import agents, check_setting
from kgrl.curriculum.view import View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["SkillIt"]


@agents.register("skill-it")
class SkillIt(ArmBandit):
    """Skill-It (Chen et al. 2023, "Skill-it!"): an arm drawn in proportion to p_0 exp(eta sum_window A l).

    The skills are arms, see `Arms`; of the arm drawn, a candidate is picked uniformly. A[i, j] is the relative drop of
    arm j's loss after the untrained learner was taught arm i for one expansion. A is measured once, on forks, and
    booked as probing: one expansion's tokens for each arm. l holds the arms' mean losses in nats per token after each
    of the latest expansions. They are read from probes that the reward needs anyway, so they cost nothing more; with a
    reward for a goal these are the goal's topics, the evaluation skills of the paper. p_0 is uniform over the arms that
    have candidates.

    Args:
        eta: Step size of the multiplicative weights; 0 draws arms uniformly.
        window: Number of latest expansions whose losses are summed.
        taught: Most topics of an arm that are taught for its row of A.
        measured: Most topics of an arm that its loss is the mean of.

    Raises:
        SettingError: If an argument is out of range.
    """

    def __init__(self, eta: float = 0.2, window: int = 3, taught: int = 8, measured: int = 8) -> None:
        check_setting("eta", eta, 0)
        for name, value in (("window", window), ("taught", taught), ("measured", measured)):
            check_setting(name, value, 1)
        self.eta, self.window, self.taught, self.measured = eta, window, taught, measured

    def reset(self, view: View) -> None:
        """Find the arms and measure A."""
        super().reset(view)
        self._topics = _drawn(view, self._arms, np.isfinite(view.profile.level), self.measured)
        self._levels = view.profile.level.astype(np.float64)[self._topics]
        self._transfer = self._measure(view)
        self._losses = deque([self._by_arm(self._levels)], maxlen=self.window)

    def begin(self, n: int) -> None:
        """Do nothing: `reset` has measured A already."""

    def _measure(self, view: View) -> Floats:
        """The matrix A, `[arms taught, arms measured]`; zero where nothing could be taught or measured."""
        arms = self._arms.count
        transfer = np.zeros((arms, arms))
        before = view.measure_initial(self._topics).astype(np.float64)  # [measured topics]
        initial = self._by_arm(before)
        taught = _drawn(view, self._arms, view.trainable, self.taught)
        for arm in np.unique(self._arms.of_topic[taught]) if len(self._topics) else ():
            after = view.teach_initial(taught[self._arms.of_topic[taught] == arm], self._topics)
            transfer[arm] = np.divide(self._by_arm(before - after), initial, out=np.zeros(arms), where=initial > 0)
        return transfer

    def _by_arm(self, values: Floats) -> Floats:
        """The mean of the measured topics' values for each arm, `[arms]`; 0 where nothing was measured."""
        known = np.isfinite(values)
        of, arms = self._arms.of_topic[self._topics][known], self._arms.count
        return np.bincount(of, values[known], arms) / np.maximum(1, np.bincount(of, minlength=arms))

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Record the losses after an expansion.

        Raises:
            SettingError: If the record has no probe that is measured at every expansion.
        """
        probes = [expansion.probes[name] for name in ("mean", "target") if name in expansion.probes]
        if not probes:
            raise SettingError(
                "skill-it reads the losses that the reward reads at every expansion, and there are none; give the "
                "curriculum such a reward: mean-prediction-gain, or target-prediction-gain with a goal"
            )
        # Topics that this expansion did not measure keep their latest loss.
        latest = {topic: loss for probe in probes for topic, loss in zip(probe.topics, probe.after, strict=True)}
        self._levels = np.array(
            [latest.get(t, old) for t, old in zip(self._topics.tolist(), self._levels, strict=True)]
        )
        self._losses.append(self._by_arm(self._levels))

    def distribution(self, available: Mask) -> Floats:
        """Return the chance of each arm."""
        return softmax(np.where(available, self.eta * (self._transfer @ sum(self._losses)), -np.inf))


def _drawn(view: View, arms: Arms, eligible: NDArray[np.bool_], most: int) -> IntArray:
    """At most `most` eligible topics of each arm, drawn uniformly; ascending."""
    # From a copy of the generator, so that a run resumed right after its nucleus makes the same draws afterwards.
    topics = copy.deepcopy(view.rng).permutation(np.flatnonzero(eligible)).astype(np.int32)
    of = arms.of_topic[topics]
    kept = [topics[of == arm][:most] for arm in np.unique(of)]
    return np.sort(np.concatenate([topics[:0], *kept]))
