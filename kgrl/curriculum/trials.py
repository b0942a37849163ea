"""What can be tried: a curriculum's learner as it is, as it was at first, and as it would be after a lesson."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.base import rewarded

if TYPE_CHECKING:
    from kgrl.curriculum.loop import Curriculum

__all__ = ["Trials"]

Losses = NDArray[np.float32]


class Trials:
    """The measurements behind a view, and expansions on trial.

    All cost is booked on the coming expansion as probing, and the learner is put back.

    Args:
        curriculum: The curriculum whose learner is measured.
    """

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum

    def measure(self, topics: IntArray) -> Losses:
        """Return the probe losses of topics now; the loss profile takes note of them. See `View.measure`."""
        losses = self._curriculum.prober.losses(topics)
        known = np.isfinite(losses)
        self._curriculum.profile.update(np.asarray(topics)[known], losses[known])
        return losses

    def measure_initial(self, topics: IntArray) -> Losses:
        """Return the probe losses of topics before any training. See `View.measure_initial`."""
        with self._untrained():
            return self._curriculum.prober.losses(topics)

    def teach_initial(self, taught: IntArray, measured: IntArray) -> Losses:
        """Return the probe losses of topics after a first expansion into others. See `View.teach_initial`."""
        curriculum, began = self._curriculum, time.perf_counter()
        lesson = curriculum.teacher.lesson(taught, np.zeros_like(curriculum.used), 0)
        curriculum.prober.seconds += time.perf_counter() - began
        with self._untrained(), curriculum.named(lesson):
            return curriculum.teacher.losses_after(lesson, measured)

    @contextmanager
    def _untrained(self) -> Iterator[None]:
        now = self._curriculum.learner.snapshot()
        self._curriculum.rewind()
        try:
            yield
        finally:
            self._curriculum.learner.restore(now)

    def try_topics(self, topics: IntArray) -> Losses:
        """Return by how much expanding into each topic would lower the mean loss. See `View.try_topics`."""
        curriculum = self._curriculum
        aim = curriculum.teacher.aim
        before = curriculum.prober.losses(aim)
        drops = np.empty(len(topics), dtype=np.float32)
        for row, topic in enumerate(topics.tolist()):
            began = time.perf_counter()
            lesson = curriculum.lesson(topic)
            curriculum.prober.seconds += time.perf_counter() - began
            with curriculum.named(lesson):
                drops[row] = np.mean(before - curriculum.teacher.losses_after(lesson, aim))
        return drops

    def attempt(self, topic: int) -> Expansion:
        """Return the expansion that a topic would give now, its reward included. No view offers it.

        Raises:
            ValueError: If the topic is learned already or has no train passages.
            DivergedError: If a loss becomes NaN or infinite.
        """
        curriculum, prober = self._curriculum, self._curriculum.prober
        began, snapshot = time.perf_counter(), curriculum.learner.snapshot()
        seconds, tokens = prober.settle()
        lesson = curriculum.lesson(topic)
        try:
            with curriculum.named(lesson):
                expansion = curriculum.teach(lesson)
        finally:
            curriculum.learner.restore(snapshot)
        prober.seconds = seconds + time.perf_counter() - began
        prober.tokens = tokens + expansion.probe_tokens + expansion.tokens
        return rewarded(expansion, copy.deepcopy(curriculum.reward))
