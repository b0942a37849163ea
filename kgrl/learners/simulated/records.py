"""The measured changes of losses in courses, and what learning curves say they should have been.

A course's lessons are known, so what its topics have had of own, linked and similar text at each moment is a matrix
product for any parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.learners.simulated.calibration import ByTopic
from kgrl.learners.simulated.courses import Course
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.relatives import Relatives

__all__ = ["Records"]

FloatArray = NDArray[np.float64]

_DIGITS = 4
"""To which the numbers of topics are rounded: finer than any loss is known, and a calibration stays a small file."""


@dataclass(frozen=True)
class _Exposed:
    """A course with the tokens each lesson adds to what its measured topics have had, each `[lessons, m]`."""

    course: Course
    own: FloatArray
    linked: FloatArray
    similar: FloatArray

    @classmethod
    def of(cls, course: Course, relatives: Relatives) -> _Exposed:
        taught, measured = course.taught, course.measured
        linked, similar = taught @ relatives.link_matrix, taught @ relatives.similarity_matrix
        return cls(course, *(tokens.tocsc()[:, measured].toarray() for tokens in (taught, linked, similar)))

    def levels(self, curves: CurveParameters) -> tuple[FloatArray, FloatArray]:
        """How far losses are below the untaught ones before and after each lesson, nats per token, `[lessons, m]`."""
        added = self.own + curves.link * self.linked + curves.similar * self.similar
        tokens = self.course.tokens[:, None]
        if self.course.forks:
            return np.zeros_like(added), curves.drop(tokens, added)
        ends = np.cumsum(tokens, axis=0)
        kept = np.tril(np.exp(-curves.fading * np.maximum(ends - ends.T, 0.0)))
        after = curves.drop(ends, kept @ added)
        return np.vstack([np.zeros_like(after[:1]), after[:-1]]), after


class Records:
    """All measured changes of losses, with the lessons they belong to.

    Args:
        courses: Lessons of learners and the losses measured around each; all of one corpus.
        relatives: Whom the corpus's topics teach.

    Attributes:
        drops: The measured drops of losses in nats per token, one for each topic measured around a lesson, `[n]`.
        lesson: The number of the lesson of each, counted through all courses, `[n]`.
        topic: The topic of each, `[n]`.
        forked: Whether each lesson is a fork's, `[lessons]`.
        n_runs: Number of courses that are no forks.
    """

    def __init__(self, courses: Sequence[Course], relatives: Relatives) -> None:
        self._exposed = [_Exposed.of(course, relatives) for course in courses if course.drops.size]
        measured = [np.isfinite(e.course.drops) for e in self._exposed]
        counts = [len(m) for m in measured]
        firsts = np.cumsum([0, *counts])
        rows = [first + np.nonzero(m)[0] for first, m in zip(firsts, measured, strict=False)]
        self.drops: FloatArray = _joined([e.course.drops[m] for e, m in zip(self._exposed, measured, strict=True)])
        topics = [e.course.measured[np.nonzero(m)[1]] for e, m in zip(self._exposed, measured, strict=True)]
        self.topic: NDArray[np.intp] = _joined(topics).astype(np.intp)
        # Lessons around which nothing was measured move the curves too, but are not among those counted.
        lessons, self.lesson = np.unique(_joined(rows), return_inverse=True)
        forked = _joined([np.full(n, e.course.forks) for n, e in zip(counts, self._exposed, strict=True)])
        self.forked: NDArray[np.bool_] = forked.astype(bool)[lessons.astype(np.intp)]
        self.n_runs = sum(not e.course.forks for e in self._exposed)
        self._measured = measured

    def __len__(self) -> int:
        return len(self.forked)

    def predict(self, curves: CurveParameters) -> FloatArray:
        """Return the predicted drops of topics with response 1, in nats per token, `[n]`."""
        levels = (exposed.levels(curves) for exposed in self._exposed)
        return _joined([(after - before)[m] for (before, after), m in zip(levels, self._measured, strict=True)])

    def guess(self, mean_drop: float) -> CurveParameters:
        """Return where a fit starts: lessons lower losses by the mean drop, and come to half of all early on."""
        longest = max((exposed.course for exposed in self._exposed), key=lambda course: course.length)
        lessons = 1 if longest.forks else len(longest.tokens)
        style = float(np.clip(mean_drop * lessons, 0.05, 10.0))
        return CurveParameters(style, longest.length / 10, 1.0, style / 2, 300.0, 1.0, 0.1, 0.1, 1e-5, 0.0)

    def untaught(self, curves: CurveParameters, response: ByTopic) -> ByTopic:
        """Return the losses before anything was learned: each topic's first measurement, put back by the curves."""
        found: dict[int, list[float]] = {}
        for exposed, measured in zip(self._exposed, self._measured, strict=True):
            levels, first = exposed.levels(curves)[0], measured.argmax(axis=0)
            for column, topic in enumerate(exposed.course.measured.tolist()):
                learned = response.topics[topic] * levels[first[column], column]
                found.setdefault(topic, []).append(float(exposed.course.before[first[column], column] + learned))
        losses = {topic: round(float(np.mean(values)), _DIGITS) for topic, values in sorted(found.items())}
        values = np.array(list(losses.values()))
        return ByTopic(float(values.mean()), float(values.std()), losses)

    def response(self, curves: CurveParameters, weights: FloatArray) -> ByTopic:
        """Return how much topics respond: the slope of measured over predicted drops, shrunk towards 1.

        How much they differ in truth is what their slopes differ by beyond what errors explain (the method of moments
        for random effects, DerSimonian and Laird 1986); a slope is shrunk by what part of its variance is error.

        Args:
            curves: The curves.
            weights: The weight of each lesson, `[lessons]`; 0 leaves it out.
        """
        predicted, weight = self.predict(curves), weights[self.lesson]
        wrong, size = self.drops - predicted, int(self.topic.max()) + 1
        told = np.bincount(self.topic, weight * predicted**2, size)
        known = np.flatnonzero(told > 0)
        off = np.bincount(self.topic, weight * predicted * wrong, size)[known] / told[known]
        error = float(np.average(wrong**2, weights=weight)) / told[known]
        spread = max(0.0, float(np.average(off**2 - error, weights=1 / error)))
        slopes = np.ones(size)
        slopes[known] += off * spread / (spread + error)
        found = {int(topic): round(float(slopes[topic]), _DIGITS) for topic in np.unique(self.topic)}
        return ByTopic(1.0, float(np.sqrt(spread)), found)


def _joined(parts: Sequence[NDArray[Any]]) -> FloatArray:
    return np.concatenate(parts) if parts else np.empty(0)
