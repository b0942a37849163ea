"""Fitting a calibration: learning curves by least squares, held-out errors, an ensemble by bootstrap.

Curves are fitted to changes of losses, not to losses: agents are rewarded and compared by changes, and the difficulty
of a topic's text cancels out in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.courses import Course
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.relatives import Relatives
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder

__all__ = ["LEAST_LESSONS", "Records", "fit", "fit_calibration", "fits_needed"]

FloatArray = NDArray[np.float64]

LEAST_LESSONS = 20
"""Fewest lessons with measured losses: twice the number of parameters, since folds and bootstrap leave some out."""

_LIMITS: Mapping[str, tuple[float, float]] = {
    "style": (1e-3, 20.0),
    "style_tokens": (10.0, 1e7),
    "style_power": (0.1, 30.0),
    "style_onset": (0.5, 2.0),
    "topic": (1e-3, 20.0),
    "topic_tokens": (10.0, 1e6),
    "topic_power": (0.01, 30.0),
    "link": (1e-4, 100.0),
    "similar": (1e-4, 100.0),
    "fading": (1e-8, 1e-2),
}
"""Limits of the parameters; all are positive, and their logarithms are fitted.

A power law with the exponent 30 is indistinguishable from an exponential, one with 0.01 from a logarithm. A later onset
than 2 would fit runs of `vital` a little better and rank its forks much worse.
"""
_STYLE = ("style", "style_tokens", "style_power", "style_onset")
_PULL = 0.3
"""Strength with which a parameter is held at its first guess, for parameters that the records say nothing about.

Leaving the guess by a factor of e costs as much as a change mispredicted by this many times the changes' spread.
"""

_LEAST_SPREAD = 1e-6
"""Least spread of measured changes, in nats per token, so that the pull is never zero."""

_DIGITS = 4
"""Decimals of numbers by topic: finer than any loss is known, and a calibration stays a small file."""


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
        """Depths of losses below the untaught ones before and after each lesson, nats per token, `[lessons, m]`."""
        added = self.own + curves.link * self.linked + curves.similar * self.similar
        tokens = self.course.tokens[:, None]
        if self.course.forks:
            return np.zeros_like(added), curves.drop(tokens, added)
        ends = np.cumsum(tokens, axis=0)
        # The share of each lesson's tokens (columns) that still counts after each lesson (rows), [lessons, lessons].
        kept = np.tril(np.exp(-curves.fading * np.maximum(ends - ends.T, 0.0)))
        after = curves.drop(ends, kept @ added)
        return np.vstack([np.zeros_like(after[:1]), after[:-1]]), after


class Records:
    """All measured changes of losses, with the lessons they belong to.

    The lessons of a course are known. So the tokens of own, linked and similar text that its topics have had at each
    moment are a matrix product for any parameters.

    Args:
        courses: Lessons of learners and the losses measured around each; all of one corpus.
        relatives: Relatives of the corpus's topics.

    Attributes:
        drops: The measured drops of losses in nats per token, one for each topic measured around a lesson, `[n]`.
        lesson: The number of the lesson of each, counted through all courses, `[n]`.
        topic: The topic of each, `[n]`.
        forked: True for lessons of forks, `[lessons]`.
        n_runs: Number of courses that are runs, not forks.
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
        """Return a fit's first guess: style explains the mean drop, and half of it comes in the first tenth."""
        longest = max((exposed.course for exposed in self._exposed), key=lambda course: course.length)
        lessons = 1 if longest.forks else len(longest.tokens)
        style = float(np.clip(mean_drop * lessons, 0.05, 10.0))
        return CurveParameters(style, longest.length / 10, 1.0, style / 2, 300.0, 1.0, 0.1, 0.1, 1e-5, 0.0)

    def untaught(self, curves: CurveParameters, response: ByTopic) -> ByTopic:
        """Return the losses before anything was learned: each topic's first measurement plus its drop by the curves."""
        found: dict[int, list[float]] = {}  # one loss for each course that measured the topic
        for exposed, measured in zip(self._exposed, self._measured, strict=True):
            levels, first = exposed.levels(curves)[0], measured.argmax(axis=0)
            for column, topic in enumerate(exposed.course.measured.tolist()):
                learned = response.topics[topic] * levels[first[column], column]
                found.setdefault(topic, []).append(float(exposed.course.before[first[column], column] + learned))
        losses = {topic: round(float(np.mean(values)), _DIGITS) for topic, values in sorted(found.items())}
        values = np.array(list(losses.values()))
        return ByTopic(float(values.mean()), float(values.std()), losses)

    def response(self, curves: CurveParameters, weights: FloatArray) -> ByTopic:
        """Return the response of topics: the slope of measured over predicted drops, shrunk towards 1.

        The variance of true slopes is that of the estimated ones beyond the variance that errors explain (the method of
        moments for random effects, DerSimonian and Laird 1986). A slope is shrunk by the error's share in its variance.

        Args:
            curves: The curves.
            weights: The weight of each lesson, `[lessons]`; 0 leaves it out.
        """
        predicted, weight = self.predict(curves), weights[self.lesson]
        wrong, size = self.drops - predicted, int(self.topic.max()) + 1
        told = np.bincount(self.topic, weight * predicted**2, size)  # information about each topic's slope
        known = np.flatnonzero(told > 0)
        off = np.bincount(self.topic, weight * predicted * wrong, size)[known] / told[known]
        error = float(np.average(wrong**2, weights=weight)) / told[known]
        spread = max(0.0, float(np.average(off**2 - error, weights=1 / error)))
        slopes = np.ones(size)
        slopes[known] += off * spread / (spread + error)
        found = {int(topic): round(float(slopes[topic]), _DIGITS) for topic in np.unique(self.topic)}
        return ByTopic(1.0, float(np.sqrt(spread)), found)


def fit(records: Records, weights: FloatArray, names: Sequence[str] = tuple(_LIMITS)) -> CurveParameters:
    """Fit parameters to measured drops by least squares, with response 1 for all topics.

    Args:
        records: The records.
        weights: The weight of each lesson, `[lessons]`; 0 leaves it out.
        names: The parameters to fit; nothing is learned of topics beyond style unless one of them is `"topic"`.
    """
    seen = records.drops[weights[records.lesson] > 0]
    first, pull = records.guess(float(seen.mean())), _PULL * max(float(seen.std()), _LEAST_SPREAD)
    if "topic" not in names:
        first = replace(first, topic=0.0)
    guess = np.log([getattr(first, name) for name in names])
    low, high = np.log([_LIMITS[name] for name in names]).T
    roots = np.sqrt(weights)[records.lesson]  # residuals are squared
    guess = np.clip(guess, low + 1e-3, high - 1e-3)  # least_squares wants to begin within the limits, not on them

    def named(logs: FloatArray) -> CurveParameters:
        return replace(first, **dict(zip(names, np.exp(logs).tolist(), strict=True)))

    def residuals(logs: FloatArray) -> FloatArray:
        wrong = roots * (records.predict(named(logs)) - records.drops)
        return np.concatenate([wrong, pull * (logs - guess)])

    return named(least_squares(residuals, guess, bounds=(low, high), x_scale=1.0).x)


def fit_calibration(
    corpus: Corpus,
    courses: Sequence[Course],
    *,
    learner: str,
    tokens_per_word: float,
    members: int = 8,
    held_out: float = 0.2,
    seed: int = 0,
    embeddings: NDArray[np.float32] | None = None,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    on_fit: Callable[[int, str], None] = lambda done, what: None,
) -> Calibration:
    """Fit a calibration, find its held-out errors and fit its ensemble.

    Args:
        corpus: The corpus of the courses.
        courses: Lessons of learners of one kind, and the losses measured around each.
        learner: The learner's name.
        tokens_per_word: Its tokens for each word.
        members: Size of the ensemble; each member is fitted to as many lessons, drawn with replacement (Efron 1979).
        held_out: The share of lessons left out at a time, for errors.
        seed: Seeds folds and bootstrap.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; those of the encoder if None.
        encoder: An encoder, or the name or folder of one.
        on_fit: Called after each fit with the number of fits done and the name of the next.

    Raises:
        SettingError: If there are too few lessons, or a setting is out of range.
    """
    _check(courses, members, held_out)
    records = Records(courses, Relatives.of(corpus, embeddings, encoder))
    rng = np.random.default_rng(seed)
    errors = _held_out_errors(records, held_out, rng, on_fit)
    done, noise = 2 * _folds(held_out), errors.fit / np.sqrt(2.0)  # a change is the difference of two measurements
    fitted: list[CurveParameters] = []
    for member in range(members + 1):
        on_fit(done + member, f"member {member}" if member else "all records")
        # The first fit has all records, and its draw is not used.
        drawn = np.bincount(rng.integers(len(records), size=len(records)), minlength=len(records))
        weights = drawn.astype(np.float64) if member else np.ones(len(records))
        fitted.append(replace(fit(records, weights), noise=float(noise)))
    on_fit(fits_needed(members, held_out), "done")
    response = records.response(fitted[0], np.ones(len(records)))
    forks = int(records.forked.sum())
    return Calibration(
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        learner=learner,
        tokens_per_word=tokens_per_word,
        untaught=records.untaught(fitted[0], response),
        response=response,
        parameters=fitted[0],
        members=tuple(fitted[1:]),
        fitted=Fitted(records.n_runs, len(records) - forks, forks, len(records.drops), seed),
        errors=errors,
    )


def fits_needed(members: int, held_out: float) -> int:
    """Return the number of fits that a calibration takes."""
    return 2 * _folds(held_out) + members + 1


def _folds(held_out: float) -> int:
    """Number of parts that lessons are divided into, each held out once."""
    return max(2, round(1 / held_out))


def _check(courses: Sequence[Course], members: int, held_out: float) -> None:
    """Refuse settings out of range, and too few lessons."""
    if members < 1 or not 0 < held_out <= 0.5:
        raise SettingError(f"members must be at least 1 and held_out in (0, 0.5], not {members} and {held_out}")
    forks, expansions = (sum(c.n_measured for c in courses if c.forks is kind) for kind in (True, False))
    if forks + expansions < LEAST_LESSONS:
        raise SettingError(
            f"found {expansions} expansions with probes and {forks} forks; a calibration needs at least "
            f"{LEAST_LESSONS} of them together. `kgrl run --reward mean-prediction-gain` records expansions with probes"
        )


def _held_out_errors(
    records: Records, held_out: float, rng: np.random.Generator, on_fit: Callable[[int, str], None]
) -> Errors:
    """Errors of fits on the lessons that they have not seen; two fits for each fold."""
    folds = _folds(held_out)
    fold = rng.permutation(len(records)) % folds
    predicted = {name: np.empty(len(records.drops)) for name in ("fit", "style_only", "mean_change")}
    for left_out in range(folds):
        hidden = (fold == left_out)[records.lesson]
        weights = (fold != left_out).astype(np.float64)
        for at, (name, free) in enumerate({"fit": tuple(_LIMITS), "style_only": _STYLE}.items()):
            on_fit(2 * left_out + at, f"fold {left_out + 1} of {folds}")
            curves = fit(records, weights, free)
            # Weights of 0 leave the held-out lessons out of the response too.
            response = records.response(curves, weights).values(int(records.topic.max()) + 1, 0)[records.topic]
            predicted[name][hidden] = (response * records.predict(curves))[hidden]
        predicted["mean_change"][hidden] = records.drops[~hidden].mean()
    wrong = {name: float(np.sqrt(np.mean((p - records.drops) ** 2))) for name, p in predicted.items()}
    no_change = float(np.sqrt(np.mean(records.drops**2)))
    return _with_ranks(Errors(held_out=held_out, no_change=no_change, **wrong), records, predicted["fit"])


def _with_ranks(errors: Errors, records: Records, predicted: FloatArray) -> Errors:
    """Errors with rank correlations over expansions, over forks, and within forks."""
    counts = np.bincount(records.lesson, minlength=len(records))
    means = [np.bincount(records.lesson, drops, len(records)) / counts for drops in (predicted, records.drops)]
    forks = np.flatnonzero(records.forked)
    within = [_rank(predicted[own], records.drops[own]) for own in (records.lesson == fork for fork in forks)]
    known = [rank for rank in within if rank is not None]
    return replace(
        errors,
        rank_expansions=_rank(*(mean[~records.forked] for mean in means)),
        rank_candidates=_rank(*(mean[records.forked] for mean in means)),
        rank_within=float(np.mean(known)) if known else None,
    )


def _rank(left: FloatArray, right: FloatArray) -> float | None:
    """Spearman's rank correlation; None for fewer than three values, or where one side is constant."""
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(spearmanr(left, right).statistic)


def _joined(parts: Sequence[NDArray[Any]]) -> FloatArray:
    """Arrays end to end; no array at all gives an empty one."""
    return np.concatenate(parts) if parts else np.empty(0)
