"""Fitting a calibration: learning curves by least squares, errors held out, an ensemble by bootstrap.

What is fitted are changes of losses, not losses: agents are rewarded and compared by changes, and how hard a topic's
text is then drops out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.simulated.calibration import Calibration, Errors, Fitted
from kgrl.learners.simulated.courses import Course
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.records import Records
from kgrl.learners.simulated.relatives import Relatives

__all__ = ["LEAST_LESSONS", "fit", "fit_calibration", "fits_needed"]

FloatArray = NDArray[np.float64]

LEAST_LESSONS = 20
"""Lessons with measured losses: about twice as many as parameters, for each is held out once and drawn many times."""

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
"""Within which the parameters are looked for; all are positive, and their logarithms are fitted.

At 30 a power law cannot be told from an exponential, at 0.01 not from a logarithm. A later onset than 2 would fit runs
of `vital` a little better and rank its forks much worse.
"""
_STYLE = ("style", "style_tokens", "style_power", "style_onset")
_PULL = 0.3
"""How strongly a parameter that the records say nothing about is held at its first guess: leaving it by a factor of e
costs as much as a change mispredicted by this many times the changes' spread."""

_LEAST_SPREAD = 1e-6
"""In nats per token: less than this no two measured changes differ by."""


def fit(records: Records, weights: FloatArray, names: Sequence[str] = tuple(_LIMITS)) -> CurveParameters:
    """Fit parameters to measured drops by least squares, as if all topics had response 1.

    Args:
        records: The records.
        weights: The weight of each lesson, `[lessons]`; 0 leaves it out.
        names: The parameters that are fitted; what is learned of topics is 0 unless one of them is `"topic"`.
    """
    seen = records.drops[weights[records.lesson] > 0]
    first, pull = records.guess(float(seen.mean())), _PULL * max(float(seen.std()), _LEAST_SPREAD)
    if "topic" not in names:
        first = replace(first, topic=0.0)
    guess = np.log([getattr(first, name) for name in names])
    low, high = np.log([_LIMITS[name] for name in names]).T
    roots = np.sqrt(weights)[records.lesson]
    guess = np.clip(guess, low + 1e-3, high - 1e-3)

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
    on_fit: Callable[[int, str], None] = lambda done, what: None,
) -> Calibration:
    """Fit a calibration, find its held-out errors and fit its ensemble.

    Args:
        corpus: The corpus of the courses.
        courses: Lessons of learners of one kind, and the losses measured around each.
        learner: The learner's name.
        tokens_per_word: Its tokens for each word.
        members: Size of the ensemble; each is fitted to as many lessons, drawn with replacement.
        held_out: The share of lessons left out at a time, for errors.
        seed: Seeds folds and bootstrap.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; those of the default encoder if None.
        on_fit: Called after each fit with how many are done and what comes next.

    Raises:
        SettingError: If there are too few lessons, or a setting is out of range.
    """
    _check(courses, members, held_out)
    records = Records(courses, Relatives.of(corpus, embeddings))
    rng = np.random.default_rng(seed)
    errors = _held_out_errors(records, held_out, rng, on_fit)
    done, noise = 2 * _folds(held_out), errors.fit / np.sqrt(2.0)  # a change is the difference of two measurements
    fitted = []
    for member in range(members + 1):
        on_fit(done + member, f"member {member}" if member else "all records")
        drawn = np.bincount(rng.integers(len(records), size=len(records)), minlength=len(records))
        weights = drawn.astype(np.float64) if member else np.ones(len(records))
        fitted.append(replace(fit(records, weights), noise=float(noise)))
    on_fit(fits_needed(members, held_out), "done")
    response = records.response(fitted[0], np.ones(len(records)))
    return Calibration(
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        learner=learner,
        tokens_per_word=tokens_per_word,
        untaught=records.untaught(fitted[0], response),
        response=response,
        parameters=fitted[0],
        members=tuple(fitted[1:]),
        fitted=_fitted(records, seed),
        errors=errors,
    )


def fits_needed(members: int, held_out: float) -> int:
    """Return how many fits a calibration takes."""
    return 2 * _folds(held_out) + members + 1


def _folds(held_out: float) -> int:
    return max(2, round(1 / held_out))


def _check(courses: Sequence[Course], members: int, held_out: float) -> None:
    if members < 1 or not 0 < held_out <= 0.5:
        raise SettingError(f"members must be at least 1 and held_out in (0, 0.5], not {members} and {held_out}")
    forks, expansions = (sum(c.n_measured for c in courses if c.forks is kind) for kind in (True, False))
    if forks + expansions < LEAST_LESSONS:
        raise SettingError(
            f"found {expansions} expansions with probes and {forks} forks; a calibration needs at least "
            f"{LEAST_LESSONS} of them together. `kgrl run --reward mean-prediction-gain` records expansions with probes"
        )


def _fitted(records: Records, seed: int) -> Fitted:
    forks = int(records.forked.sum())
    return Fitted(records.n_runs, len(records) - forks, forks, len(records.drops), seed)


def _held_out_errors(
    records: Records, held_out: float, rng: np.random.Generator, on_fit: Callable[[int, str], None]
) -> Errors:
    folds = _folds(held_out)
    fold = rng.permutation(len(records)) % folds
    predicted = {name: np.empty(len(records.drops)) for name in ("fit", "style_only", "mean_change")}
    for left_out in range(folds):
        hidden = (fold == left_out)[records.lesson]
        weights = (fold != left_out).astype(np.float64)
        for at, (name, free) in enumerate({"fit": tuple(_LIMITS), "style_only": _STYLE}.items()):
            on_fit(2 * left_out + at, f"fold {left_out + 1} of {folds}")
            curves = fit(records, weights, free)
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
