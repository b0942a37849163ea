"""Trials: measurements of a curriculum's learner in its present state, before training, and after a lesson on trial."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.state import CurriculumState
from kgrl.curriculum.teacher import Teacher
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.base import rewarded

__all__ = ["Trials"]

Losses = NDArray[np.float32]


class Trials:
    """The measurements that a view offers, and expansions on trial.

    All cost is booked on the coming expansion as probing, and the learner is put back afterwards.

    Args:
        state: The curriculum's state.
        teacher: Teaches the state's learner.
    """

    def __init__(self, state: CurriculumState, teacher: Teacher) -> None:
        self._state, self._teacher = state, teacher

    def measure(self, topics: IntArray) -> Losses:
        """Return the present probe losses of topics, and record them in the loss profile. See `View.measure`."""
        losses = self._state.prober.losses(topics)
        known = np.isfinite(losses)
        self._state.profile.update(np.asarray(topics)[known], losses[known])
        return losses

    def measure_initial(self, topics: IntArray) -> Losses:
        """Return the probe losses of topics before any training. See `View.measure_initial`."""
        with self._untrained():
            return self._state.prober.losses(topics)

    def teach_initial(self, taught: IntArray, measured: IntArray) -> Losses:
        """Return the probe losses of `measured` after a first expansion into `taught`. See `View.teach_initial`."""
        with self._booked():
            lesson = self._teacher.first_lesson(taught)
        with self._untrained():
            return self._teacher.losses_after(lesson, measured)

    @contextmanager
    def _untrained(self) -> Iterator[None]:
        """Put the learner into its initial state for a while."""
        learner = self._state.learner
        now = learner.snapshot()
        self._state.rewind()
        try:
            yield
        finally:
            learner.restore(now)

    @contextmanager
    def _booked(self) -> Iterator[None]:
        """Book the seconds of a block as probing."""
        began = time.perf_counter()
        yield
        self._state.prober.seconds += time.perf_counter() - began

    def try_topics(self, topics: IntArray) -> Losses:
        """Return the drop of the mean loss that expanding into each topic would bring. See `View.try_topics`."""
        aim, weights = self._teacher.aim
        before = self._state.prober.losses(aim)
        drops = np.empty(len(topics), dtype=np.float32)
        for row, topic in enumerate(topics.tolist()):
            with self._booked():
                lesson = self._teacher.lesson(topic)
            drops[row] = np.average(before - self._teacher.losses_after(lesson, aim), weights=weights or None)
        return drops

    def attempt(self, topic: int) -> Expansion:
        """Return the expansion into a topic on trial, with its reward. Views do not offer this.

        Raises:
            ValueError: If the topic is learned already or has no train passages.
            DivergedError: If a loss becomes NaN or infinite.
        """
        learner, prober = self._state.learner, self._state.prober
        began, snapshot = time.perf_counter(), learner.snapshot()
        # The teacher settles the prober's account for its record, so the account so far is kept aside.
        seconds, tokens = prober.settle()
        lesson = self._teacher.lesson(topic)
        try:
            expansion = self._teacher.teach(lesson)
        finally:
            learner.restore(snapshot)
        prober.seconds = seconds + time.perf_counter() - began
        prober.tokens = tokens + expansion.probe_tokens + expansion.tokens
        # By a copy of the reward, which may remember the expansions that it scores.
        return rewarded(expansion, copy.deepcopy(self._teacher.reward))
