"""Findings: effects with their intervals, p-values and sentences. The hypothesis predicts positive effects.

p-values serve the correction for the number of findings: of forty intervals of no effect, two exclude 0 by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kgrl.benchmark.statistics import Interval, paired_difference

__all__ = ["Finding", "finding", "finding_of", "with_holm"]

Word = Literal["supported", "contradicted", "not distinguishable"]

_Z = 1.959964
"""The 97.5% quantile of the standard normal distribution."""
_FEW = 30
"""Units below which `paired_difference` gives Student's interval, so that p-values are Student's too."""


@dataclass(frozen=True)
class Finding:
    """A finding on one question.

    Args:
        question: `"transfer"`, `"order"` or `"recall"`.
        measure: The comparison in words, and its unit.
        corpus: The corpus.
        learner: The learner, with its state or its agent.
        n: Number of units that the interval is over.
        unit: Kind of the units: topics, seeds or questions.
        effect: The mean difference, in the unit that `measure` names; the hypothesis predicts a positive one.
        low: The lower limit of its 95% interval.
        high: The upper limit.
        standardised: The mean difference over the standard deviation of the differences (Cohen's d for paired data);
            None where units have no difference of their own.
        p: Two-sided p-value, by the normal or Student's distribution with the interval's width.
        holm: The p-value corrected for all findings of a report (Holm 1979).
        word: `"supported"` or `"contradicted"` where the interval excludes 0, else `"not distinguishable"`.
        sentence: The finding in plain words.
    """

    question: str
    measure: str
    corpus: str
    learner: str
    n: int
    unit: str
    effect: float
    low: float
    high: float
    standardised: float | None
    p: float
    holm: float
    word: Word
    sentence: str

    def figures(self) -> dict[str, Any]:
        """Return the finding ready for JSON."""
        return asdict(self)


def finding(
    differences: ArrayLike, question: str, measure: str, corpus: str, learner: str, unit: str
) -> Finding | None:
    """Return the finding of paired differences; None where there are fewer than two.

    Args:
        differences: One for each unit, positive as the hypothesis predicts, shape `[n]`.
        question: The question.
        measure: The comparison, and the unit of the differences.
        corpus: The corpus.
        learner: The learner.
        unit: Kind of the units: topics, seeds or questions.

    Example:
        >>> found = finding([1.0, 1.2, 0.9], "order", "loss", "vital", "scratch", "seeds")
        >>> found.sentence
        'Supported: loss, +1.03 (95% interval +0.654 to +1.41, 3 seeds, d = 6.76).'
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    spread = float(values.std(ddof=1))
    standardised = float(values.mean()) / spread if spread else None
    interval = paired_difference(values, np.zeros(len(values)))
    return finding_of(interval, standardised, len(values), question, measure, corpus, learner, unit)


def finding_of(
    interval: Interval,
    standardised: float | None,
    n: int,
    question: str,
    measure: str,
    corpus: str,
    learner: str,
    unit: str,
) -> Finding:
    """Return the finding of an interval; the arguments are those of `finding`."""
    above, below = interval.low > 0, interval.high < 0
    word: Word = "supported" if above else "contradicted" if below else "not distinguishable"
    size = "" if standardised is None else f", d = {standardised:.3g}"
    limits = f"95% interval {interval.low:+.3g} to {interval.high:+.3g}"
    sentence = f"{word.capitalize()}: {measure}, {interval.value:+.3g} ({limits}, {n} {unit}{size})."
    p = _p(interval, n)
    return Finding(
        question, measure, corpus, learner, n, unit, interval.value, interval.low, interval.high, standardised, p, p,
        word, sentence,
    )  # fmt: skip


def _p(interval: Interval, n: int) -> float:
    """Return the two-sided p-value of no effect that an interval's width implies.

    A bootstrap of 2,000 draws tells no p-value below 0.001, which a correction by Holm needs.
    """
    reach = (interval.high - interval.low) / 2
    if reach == 0:
        return 0.0 if interval.value else 1.0
    few = n < _FEW
    # The interval reaches `width` standard errors to either side, which gives the effect in standard errors.
    width = float(stats.t.ppf(0.975, n - 1)) if few else _Z
    score = abs(interval.value) / reach * width
    return float(2 * (stats.t.sf(score, n - 1) if few else stats.norm.sf(score)))


def with_holm(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with p-values corrected for their number, by the step-down method of Holm (1979).

    It bounds the probability of any false finding, as Bonferroni's method does, and is never weaker.

    Example:
        >>> one = finding([1.0, 1.2, 0.9], "order", "loss", "vital", "scratch", "seeds")
        >>> two = finding([1.0, -1.2, 0.9], "order", "loss", "vital", "scratch", "seeds")
        >>> [round(found.holm / found.p, 3) for found in with_holm([one, two])]
        [2.0, 1.0]
    """
    p: NDArray[np.float64] = np.array([found.p for found in findings])
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    # The smallest p-value counts n times, the next n - 1 times; none may become smaller than one before it.
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return [replace(found, holm=float(value)) for found, value in zip(findings, corrected, strict=True)]
