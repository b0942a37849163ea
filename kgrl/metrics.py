"""Figures of merit of a finished curriculum: area under the learning curve, tokens to a target, speed-up.

A learning curve is a sequence of (tokens trained on, exam loss in nats per token), starting before any training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

__all__ = ["Curve", "aulc", "tokens_to_target"]

Curve = Sequence[tuple[int, float]]


def aulc(curve: Curve, budget: int) -> float:
    """Return the area under the learning curve, (1/B) times the integral of the loss over tokens, in nats per token.

    The loss is linear between measurements; a curriculum that ended before its budget keeps its last loss.

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
    """Return the tokens after which a curve first reaches a loss, linear between measurements.

    Returns:
        Tokens, or None for a curve that never reaches it: a censored run, to be counted as one.

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
