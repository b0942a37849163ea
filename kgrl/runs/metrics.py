"""Figures of merit: area under the learning curve, tokens to a target, recall, and continual-learning metrics.

A learning curve is a sequence of (tokens trained on, exam loss in nats per token), starting before any training. A
curve of recall has the share of questions answered rightly in the place of the loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "RECALL_LEVEL",
    "Continual",
    "Curve",
    "Known",
    "aulc",
    "continual_metrics",
    "known",
    "smooth",
    "tokens_to_level",
    "tokens_to_target",
]

Curve = Sequence[tuple[int, float]]
"""A learning curve: pairs of tokens trained on and exam loss in nats per token, or share of questions recalled."""

RECALL_LEVEL = 0.3
"""The share of questions that `Known.tokens_to_level` counts to. Guessing among 16 statements is right in .06."""


def aulc(curve: Curve, budget: int) -> float:
    """Return the area under the learning curve, (1/B) times the integral of the loss over tokens, in nats per token.

    The loss is interpolated linearly between measurements. A curriculum that ended before its budget keeps its last
    loss.

    Args:
        curve: The learning curve, tokens ascending from 0.
        budget: The token budget B.

    Raises:
        ValueError: If the curve is empty or does not start at 0 tokens.

    Example:
        >>> aulc([(0, 4.0), (100, 3.0)], budget=200)
        3.25
    """
    if not curve or curve[0][0] != 0:
        raise ValueError("a learning curve starts with the loss at 0 tokens")
    tokens = np.array([t for t, _ in curve] + [max(budget, curve[-1][0])], dtype=np.float64)
    losses = np.array([loss for _, loss in curve] + [curve[-1][1]])
    return float(np.trapezoid(losses, tokens) / tokens[-1])


def tokens_to_target(curve: Curve, target: float) -> float | None:
    """Return the tokens after which a curve first reaches a loss, interpolated linearly between measurements.

    Args:
        curve: The learning curve.
        target: The loss, in nats per token.

    Returns:
        Tokens, or None for a curve that never reaches it: a censored observation, not a missing one.

    Example:
        >>> tokens_to_target([(0, 4.0), (100, 3.0)], 3.5), tokens_to_target([(0, 4.0), (100, 3.0)], 2.0)
        (50.0, None)
    """
    if curve and curve[0][1] <= target:
        return float(curve[0][0])
    for (t0, l0), (t1, l1) in itertools.pairwise(curve):
        if l1 <= target:
            return t0 + (t1 - t0) * ((l0 - target) / (l0 - l1))
    return None


def smooth(shares: Sequence[float]) -> list[float]:
    """Return the mean of each share and the one before it: what was right in one exam alone may have been guessed.

    Example:
        >>> smooth([0.0, 0.5, 0.25])
        [0.0, 0.25, 0.375]
    """
    return [float(np.mean(shares[max(0, at - 1) : at + 1])) for at in range(len(shares))]


def tokens_to_level(curve: Curve, level: float) -> float | None:
    """Return the tokens after which a share of questions is recalled, as the mean of two exams in a row.

    Args:
        curve: The curve of recall.
        level: The share.

    Returns:
        Tokens, interpolated linearly between exams; None if the share is never reached.

    Example:
        >>> tokens_to_level([(0, 0.0), (100, 0.25), (200, 0.75)], 0.5), tokens_to_level([(0, 0.0), (100, 0.9)], 0.5)
        (200.0, None)
    """
    shares = smooth([share for _, share in curve])
    # The share that is not recalled falls, as a loss does.
    missing = [(tokens, 1 - share) for (tokens, _), share in zip(curve, shares, strict=True)]
    return tokens_to_target(missing, 1 - level)


@dataclass(frozen=True)
class Known:
    """Figures of merit of what a curriculum made known. Shares are means of two exams in a row, of all questions asked.

    Args:
        recall: Share recalled at the end.
        tokens_to_level: Tokens until the share reached a level; None if it never did.
        area: Area under the curve of recall over the budget, divided by the budget: the mean share on the way.
        per_million: Questions recalled at the end for each million tokens trained on; None without training.
        retained: Share recalled at the end as a part of the largest share on the way; None if nothing was recalled.
    """

    recall: float
    tokens_to_level: float | None
    area: float
    per_million: float | None
    retained: float | None


def known(curve: Curve, budget: int, asked: int, level: float = RECALL_LEVEL) -> Known:
    """Return the figures of a curve of recall.

    Args:
        curve: The curve, tokens ascending from 0.
        budget: The token budget.
        asked: Number of questions that the shares are of.
        level: The share that tokens are counted to.

    Raises:
        ValueError: If the curve is empty or does not start at 0 tokens.

    Example:
        >>> found = known([(0, 0.0), (500_000, 1.0), (1_000_000, 0.5)], budget=1_000_000, asked=100, level=0.25)
        >>> found.recall, found.tokens_to_level, found.area, found.per_million, found.retained
        (0.75, 250000.0, 0.4375, 75.0, 1.0)
    """
    shares = smooth([share for _, share in curve])
    smoothed = [(tokens, share) for (tokens, _), share in zip(curve, shares, strict=True)]
    area, tokens = aulc(smoothed, budget), curve[-1][0]
    return Known(
        recall=shares[-1],
        tokens_to_level=tokens_to_level(curve, level),
        area=area,
        per_million=1e6 * asked * shares[-1] / tokens if tokens else None,
        retained=shares[-1] / max(shares) if max(shares) > 0 else None,
    )


@dataclass(frozen=True)
class Continual:
    """Continual-learning metrics of tasks learned one after the other (Lopez-Paz and Ranzato 2017), in nats per token.

    Scores are negative losses, so larger is better.

    Args:
        acc: ACC: mean score of the learned tasks at the end.
        bwt: BWT, backward transfer: mean change of a task's score since it was learned, negative if later lessons
            harmed it; None if no task was learned before the last row.
        fwt: FWT, forward transfer: mean change of a task's score from before any training to right before it was
            learned; None if no task was learned after the first row.
        forgetting: Distance of each learned task's score from the best it had after any lesson, at least 0, shape
            `[learned tasks]` (Chaudhry et al. 2018).
    """

    acc: float
    bwt: float | None
    fwt: float | None
    forgetting: NDArray[np.float64]


def continual_metrics(losses: ArrayLike, learned_at: ArrayLike) -> Continual:
    """Return ACC, BWT, FWT and forgetting of a sequence of lessons.

    Args:
        losses: Loss of every task before any training and after each lesson, in nats per token, shape
            `[lessons + 1, tasks]`.
        learned_at: The row of `losses` right after each task was learned, from 1, or 0 for tasks that were not learned,
            shape `[tasks]`.

    Raises:
        ValueError: If no task was learned, or a row does not exist.

    Example:
        >>> result = continual_metrics([[4.0, 4.0], [3.0, 3.8], [3.5, 2.0]], learned_at=[1, 2])
        >>> result.acc, result.bwt, round(result.fwt, 3), result.forgetting.tolist()
        (-2.75, -0.5, 0.2, [0.5, 0.0])
    """
    scores, rows = -np.asarray(losses, dtype=np.float64), np.asarray(learned_at)
    last, tasks = len(scores) - 1, np.flatnonzero(rows)
    rows = rows[tasks]
    if not len(tasks) or rows.min() < 0 or rows.max() > last:
        raise ValueError(f"tasks are learned in rows 1 to {last}, and at least one is; not in {np.unique(learned_at)}")
    now, learned = scores[last, tasks], scores[rows, tasks]
    # A task of the last lesson has no later lesson to be changed by, one of the first no earlier lesson.
    earlier, later = rows < last, rows > 1
    ahead = scores[rows - 1, tasks] - scores[0, tasks]
    return Continual(
        acc=float(now.mean()),
        bwt=float((now - learned)[earlier].mean()) if earlier.any() else None,
        fwt=float(ahead[later].mean()) if later.any() else None,
        forgetting=scores[1:, tasks].max(axis=0) - now,
    )
