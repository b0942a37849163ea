"""Statistics over tasks and seeds: every figure comes with an interval, and every comparison with a verdict.

Aggregates are those of Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice":
strata are tasks, and the bootstrap draws runs within each. Larger scores are better (negate others), and so are lower
losses. `level` is the confidence of an interval, between 0 and 1. All functions raise ValueError for arrays that are
empty, not finite or not paired, and for a level out of range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kgrl.runs.metrics import Curve

__all__ = [
    "Interval",
    "Speedup",
    "Verdict",
    "bootstrap_interval",
    "efficiency_curve",
    "interquartile_mean",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "speedup",
    "verdict",
]

Runs = NDArray[np.float64]
Tokens = Sequence[float | None]
Word = Literal["better", "worse", "not distinguishable"]

_LEVEL = 0.95
_DRAWS = 2000
"""Bootstrap draws, as in Agarwal et al. (2021): enough for the limits of a 95% interval to be steady."""
_TRIMMED = 0.25
"""Share of the runs that the interquartile mean leaves out at each end."""
_FEW = 30
"""Seeds below which an interval is Student's; see `paired_difference`."""
_ROUNDING = 1e-12
"""Spread, relative to the numbers compared, that is no more than rounding."""
_MOST_SEEDS = 10_000
"""More seeds than that are not feasible."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, in the unit of what was estimated.

    Args:
        value: The estimate.
        low: The lower limit, at most `value`; may be infinite.
        high: The upper limit, at least `value`; may be infinite.
    """

    value: float
    low: float
    high: float


def interquartile_mean(scores: Sequence[ArrayLike]) -> float:
    """Return the mean of the middle half of all runs of all tasks together.

    A quarter of the runs, rounded down, is left out at each end; of three runs or fewer, none. It withstands a few
    outliers, as the median does, and is more efficient than the median (Agarwal et al. 2021).

    Args:
        scores: Scores of each task's runs, one array of shape `[runs]` for each task.

    Example:
        >>> interquartile_mean([[0.0, 2.0], [4.0, 1000.0]])
        3.0
    """
    return float(_trimmed_mean(np.concatenate(_strata(scores))))


def bootstrap_interval(
    scores: Sequence[ArrayLike],
    statistic: Callable[[Sequence[Runs]], float] = interquartile_mean,
    *,
    level: float = _LEVEL,
    draws: int = _DRAWS,
    seed: int = 0,
) -> Interval:
    """Return a statistic of runs and its percentile interval by the stratified bootstrap.

    Each draw takes as many runs as a stratum has from each stratum, with replacement. In the rare case that the
    percentiles do not hold the statistic itself, the interval is widened. A stratum of one run adds no spread: use
    several.

    Args:
        scores: Scores of each stratum's runs, one array of shape `[runs]` for each task.
        statistic: A function from such a sequence to a number.
        level: Confidence.
        draws: Number of draws.
        seed: Seeds the draws.

    Raises:
        ValueError: If there are no tasks, a task has no runs, a score is not finite, or the level is out of range.

    Example:
        >>> bootstrap_interval([[1.0, 1.0], [3.0, 3.0]])
        Interval(value=2.0, low=2.0, high=2.0)
    """
    strata, rng = _strata(scores), np.random.default_rng(seed)
    # Indices of all draws at once, [draws, runs] for each stratum.
    picks = [rng.integers(len(runs), size=(draws, len(runs))) for runs in strata]
    # One draw at a time, since a statistic may be any function of the strata.
    drawn = [statistic([runs[pick[i]] for runs, pick in zip(strata, picks, strict=True)]) for i in range(draws)]
    return _percentiles(statistic(strata), np.array(drawn), level)


def performance_profile(scores: Sequence[ArrayLike], thresholds: ArrayLike) -> Runs:
    """Return the share of runs that score above each threshold; tasks weigh the same however many runs they have.

    Args:
        scores: Scores of each task's runs, one array of shape `[runs]` for each task.
        thresholds: The thresholds, shape `[thresholds]`.

    Returns:
        Shares from 0 to 1, shape `[thresholds]`.

    Example:
        >>> performance_profile([[0.0, 1.0], [2.0]], [0.0, 0.5, 1.0, 2.0]).tolist()
        [0.75, 0.75, 0.5, 0.0]
    """
    # [runs, thresholds] for each task, averaged over runs before tasks.
    shares = [(runs[:, None] > np.asarray(thresholds)).mean(axis=0) for runs in _strata(scores)]
    return np.asarray(np.mean(shares, axis=0))


def probability_of_improvement(x: Sequence[ArrayLike], y: Sequence[ArrayLike], *, level: float = _LEVEL) -> Interval:
    """Return the probability that a run of X scores above a run of Y on the same task, averaged over tasks.

    On one task it is the share of pairs of runs in which X is above, where ties count one half: the Mann-Whitney U
    statistic over the number of pairs. The interval is the stratified bootstrap's, with X and Y drawn separately.

    Args:
        x: Scores of X, larger is better, one array of shape `[runs]` for each task.
        y: Scores of Y on the same tasks in the same order; the number of runs may differ.
        level: Confidence.

    Example:
        >>> probability_of_improvement([[3.0, 4.0]], [[1.0, 2.0]])
        Interval(value=1.0, low=1.0, high=1.0)
    """
    tasks = len(x)
    if tasks != len(y):
        raise ValueError(f"X has {tasks} tasks and Y has {len(y)}; give both the same tasks in the same order")

    def mean_share(strata: Sequence[Runs]) -> float:
        # The sign is 1, 0 or -1 for each pair, so that half of 1 plus its mean counts ties one half.
        pairs = (np.sign(a[:, None] - b) for a, b in zip(strata[:tasks], strata[tasks:], strict=True))
        return float(np.mean([(1 + signs.mean()) / 2 for signs in pairs]))

    return bootstrap_interval([*x, *y], mean_share, level=level)


def paired_difference(ours: ArrayLike, baseline: ArrayLike, *, level: float = _LEVEL) -> Interval:
    """Return the mean over seeds of ours minus the baseline, with an interval.

    Below 30 seeds the interval is Student's, since the percentile bootstrap is too narrow there: its spread is short by
    a factor of sqrt((n - 1) / n), and its tails are not Student's. For 5 normal differences, its 95% interval covers
    the mean in about 83% of cases. From 30 seeds on it is the bootstrap's, which assumes no distribution. One seed
    shows no spread, so its interval is infinite.

    Args:
        ours: One number for each seed, shape `[seeds]`.
        baseline: The same seeds in the same order, shape `[seeds]`.
        level: Confidence.

    Example:
        >>> paired_difference([1.0, 3.0], [2.0, 2.0], level=0.5)
        Interval(value=0.0, low=-1.0..., high=1.0...)
    """
    (mine,), (theirs,) = _strata([ours]), _strata([baseline])
    if len(mine) != len(theirs):
        raise ValueError(f"{len(mine)} seeds of ours and {len(theirs)} of the baseline; give both for the same seeds")
    differences = mine - theirs
    # Pairs, not the two samples, are the unit: what a seed does to both sides cancels.
    if len(differences) >= _FEW:
        return bootstrap_interval([differences], lambda strata: float(strata[0].mean()), level=level)
    mean, reach = float(differences.mean()), float(_reach(differences, np.array([len(differences)]), level)[0])
    return Interval(mean, mean - reach, mean + reach)


@dataclass(frozen=True)
class Speedup:
    """The ratio of the baseline's tokens to a target and ours.

    Args:
        ratio: Geometric mean over seeds of T_baseline / T_ours; above 1, ours is faster.
        censored_baseline: Seeds on which the baseline never reached the target.
        censored_ours: Seeds on which ours never did.
        bound: The true ratio compared with `ratio.value`: `"equal"`, `"at least"` (the baseline was censored),
            `"at most"` (ours was), or `"unknown"` (both were).
    """

    ratio: Interval
    censored_baseline: int
    censored_ours: int
    bound: Literal["equal", "at least", "at most", "unknown"]


def speedup(baseline: Tokens, ours: Tokens, budget: float, *, level: float = _LEVEL) -> Speedup:
    """Return the speed-up in tokens to a target; runs that never reach it count as reaching it at the budget.

    Such a run takes the budget or more. So a censored baseline makes the ratio a lower bound and opens the interval
    upwards, to infinity; a censored run of ours makes it an upper bound and opens the interval downwards, to 0. The
    other limit is that of the ratios as filled in, and understates the spread of censored runs. The interval is that of
    `paired_difference` on logarithms, in which twice and half as many tokens are equally far from 1.

    Args:
        baseline: Tokens to the target for each seed, or None for never, as `kgrl.runs.metrics.tokens_to_target`
            returns.
        ours: The same seeds in the same order.
        budget: Tokens that every run had.
        level: Confidence.

    Raises:
        ValueError: If tokens are not above 0 and within the budget, or the seeds are not paired.

    Example:
        >>> result = speedup([400, None], [200, 500], budget=1000, level=0.5)
        >>> round(result.ratio.value, 6), result.ratio.high, result.censored_baseline, result.bound
        (2.0, inf, 1, 'at least')
    """
    logs = paired_difference(_log_tokens(baseline, budget), _log_tokens(ours, budget), level=level)
    slow, fast = sum(t is None for t in baseline), sum(t is None for t in ours)
    with np.errstate(over="ignore"):  # the interval of two very different seeds can exceed a float
        value, low, high = (float(np.exp(log)) for log in (logs.value, logs.low, logs.high))
    ratio = Interval(value, 0.0 if fast else low, np.inf if slow else high)
    return Speedup(ratio, slow, fast, ("unknown" if fast else "at least") if slow else "at most" if fast else "equal")


def efficiency_curve(curves: Sequence[Curve], grid: ArrayLike, *, level: float = _LEVEL) -> list[Interval]:
    """Return the interquartile mean over seeds of the loss at some numbers of tokens, with pointwise intervals.

    The loss is linear between measurements, and a curve that ended keeps its last one. A draw of the bootstrap takes
    whole curves, since the points of one curve are not independent.

    Args:
        curves: One learning curve for each seed, tokens ascending from 0.
        grid: Numbers of tokens, shape `[points]`.
        level: Confidence.

    Example:
        >>> [point.value for point in efficiency_curve([[(0, 4.0), (100, 2.0)], [(0, 4.0), (50, 3.0)]], [0, 50, 200])]
        [4.0, 3.0, 2.5]
    """
    if not curves or any(not curve or curve[0][0] != 0 for curve in curves):
        raise ValueError("give one learning curve or more, each starting with the loss at 0 tokens")
    # Interpolated to a common grid, as each run takes its exams after whole expansions: [curves, points].
    points = np.asarray(grid, dtype=np.float64)
    losses = np.array(_strata([np.interp(points, [t for t, _ in curve], [x for _, x in curve]) for curve in curves]))
    picks = np.random.default_rng(0).integers(len(curves), size=(_DRAWS, len(curves)))
    drawn = _trimmed_mean(losses[picks], axis=1)  # [draws, curves, points] to [draws, points]
    values = _trimmed_mean(losses)
    return [_percentiles(float(value), column, level) for value, column in zip(values, drawn.T, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """The verdict on ours against a baseline, by seeds.

    Args:
        word: `"better"` or `"worse"` where the interval excludes 0, and `"not distinguishable"` otherwise.
        difference: Mean loss of ours minus that of the baseline; negative is better. Its interval is infinite where
            all seeds differ by the same but for rounding, since they show no spread then.
        more_seeds: Number of further paired seeds that would make the interval exclude 0 if mean and spread stayed as
            they are; 0 if it excludes 0 already. New seeds change both, so the number is for planning, not a promise.
            None where the mean is 0, where over 10,000 would be needed, and for a single seed, which shows no spread.
        sentence: The verdict in plain words.
    """

    word: Word
    difference: Interval
    more_seeds: int | None
    sentence: str


def verdict(ours: ArrayLike, baseline: ArrayLike, level: float = _LEVEL) -> Verdict:
    """Return the verdict on ours against the baseline, on losses paired by seed.

    Args:
        ours: One loss for each seed, lower is better, shape `[seeds]`.
        baseline: The same seeds in the same order, shape `[seeds]`.
        level: Confidence.

    Example:
        >>> print(verdict([2.0, 2.1, 1.9], [3.0, 3.2, 2.8]).sentence)
        Better (difference -1, 95% interval -1.25 to -0.752, 3 paired seeds): the loss is lower by 1.
    """
    difference = paired_difference(ours, baseline, level=level)
    spread = _spread(np.asarray(ours, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
    if difference.value != 0 and not spread:
        # An interval without width would call any difference certain, that of rounding included.
        difference = Interval(difference.value, -np.inf, np.inf)
    clear = not difference.low <= 0 <= difference.high
    more = 0 if clear else _more_seeds(np.subtract(ours, baseline), level) if spread else None
    word: Word = ("better" if difference.value < 0 else "worse") if clear else "not distinguishable"
    return Verdict(word, difference, more, _sentence(word, difference, more, np.size(ours), level))


def _sentence(word: str, difference: Interval, more: int | None, seeds: int, level: float) -> str:
    mean = f"difference {difference.value:.3g}"
    if seeds == 1:
        return f"Not distinguishable: {mean}, but one seed shows no spread; two seeds are needed."
    if np.isinf(difference.low):
        return f"Not distinguishable: {mean} on each of {seeds} seeds, which show no spread; others are needed."
    limits = f"{100 * level:g}% interval {difference.low:.3g} to {difference.high:.3g}"
    found = f"{word.capitalize()} ({mean}, {limits}, {seeds} paired seeds)"
    if more == 0:
        return f"{found}: the loss is {'lower' if word == 'better' else 'higher'} by {abs(difference.value):.3g}."
    if more is None:
        why = "the mean is 0" if difference.value == 0 else f"over {_MOST_SEEDS:,} more would be needed"
        return f"{found}: no feasible number of seeds would tell them apart, since {why}."
    return f"{found}: about {more:,} more seeds would tell them apart if mean and spread stayed as they are."


def _spread(ours: Runs, baseline: Runs) -> bool:
    """Return True if the differences of two or more pairs differ from one another by more than rounding."""
    differences = ours - baseline
    largest = max(float(np.abs(ours).max(initial=0.0)), float(np.abs(baseline).max(initial=0.0)))
    return len(differences) > 1 and float(np.ptp(differences)) > _ROUNDING * largest


def _more_seeds(differences: Runs, level: float) -> int | None:
    """Return the least number of seeds to add at which Student's interval excludes 0, or None."""
    # The width shrinks with every seed, so the first number that suffices is the least.
    more = np.arange(1, _MOST_SEEDS + 1)
    enough = np.flatnonzero(_reach(differences, len(differences) + more, level) < abs(differences.mean()))
    return int(more[enough[0]]) if len(enough) else None


def _reach(differences: Runs, seeds: NDArray[np.int64], level: float) -> Runs:
    """Return half the width of Student's interval for numbers of seeds with the spread of these; infinite for one."""
    tail = _tail(level)
    if len(differences) == 1:
        return np.full(len(seeds), np.inf)
    return np.asarray(stats.t.ppf(1 - tail, seeds - 1) * differences.std(ddof=1) / np.sqrt(seeds))


def _log_tokens(tokens: Tokens, budget: float) -> list[float]:
    filled = [budget if t is None else t for t in tokens]
    if not all(0 < t <= budget for t in filled):
        raise ValueError(f"tokens to a target lie above 0 and within the budget of {budget}, not {filled}")
    return [float(np.log(t)) for t in filled]


def _trimmed_mean(runs: Runs, axis: int = 0) -> Runs:
    """Return the mean of the middle half, as `scipy.stats.trim_mean` does in ten times the time."""
    ranked = np.moveaxis(np.sort(runs, axis=axis), axis, 0)
    cut = int(_TRIMMED * len(ranked))
    return np.asarray(ranked[cut : len(ranked) - cut].mean(axis=0))


def _percentiles(value: float, drawn: Runs, level: float) -> Interval:
    low, high = np.quantile(drawn, [_tail(level), 1 - _tail(level)])
    return Interval(value, min(float(low), value), max(float(high), value))


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a level of confidence lies between 0 and 1, not {level}; 0.95 is usual")
    return (1 - level) / 2


def _strata(scores: Sequence[ArrayLike]) -> list[Runs]:
    strata = [np.asarray(runs, dtype=np.float64) for runs in scores]
    if not strata or any(runs.ndim != 1 or not len(runs) for runs in strata):
        raise ValueError("give one array of shape [runs] for each task, none of them empty")
    if not all(np.isfinite(runs).all() for runs in strata):
        raise ValueError("scores have to be finite; score runs that diverged, or report them apart")
    return strata
