"""Combinators: wrappers that rescale one reward. Sums and products are in `kgrl.rewards.base`.

A combinator is named by the expression that makes it, `clip(self-prediction-gain, -1, 1)`, which
`kgrl.rewards.expression` reads again. It needs the measurements its part needs. Combinators that remember earlier
expansions forget them when a curriculum begins.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import Composed, Reward

__all__ = ["COMBINATORS", "Clip", "PerToken", "Percentile", "PotentialDifference", "Schedule", "ZScore"]


_LOW, _HIGH = 0.2, 0.8
"""The quantiles between which Graves et al. rescale."""


class Clip(Composed):
    """A reward clipped to a range: min(max(r, low), high). Unit: the reward's. Range: low to high.

    Args:
        reward: The reward.
        low: The lower end of the range.
        high: The upper end, above the lower.

    Raises:
        SettingError: If the range is empty.

    Example:
        >>> from kgrl.rewards import TokenCost
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
        >>> reward = Clip(TokenCost(), 0, 10)
        >>> reward
        clip(token-cost, 0, 10)
        >>> reward.evaluate(step)
        (10.0, {'token-cost': 50.0, 'clip(token-cost, 0, 10)': 10.0})
    """

    memoryless = True
    call = "clip"

    def __init__(self, reward: Reward, low: float, high: float) -> None:
        if not low < high:
            raise SettingError(f"a reward is clipped to a range from low to high, not from {low:g} to {high:g}")
        self.low, self.high = low, high
        super().__init__([reward])

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the value within the range."""
        return np.clip(values[0], self.low, self.high)


class PerToken(Composed):
    """A reward divided by the tokens trained on: r / tokens. Unit: the reward's per token.

    Args:
        reward: The reward.
    """

    memoryless = True
    call = "per-token"

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward])

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the value per token."""
        return values[0] / expansion.tokens


class Percentile(Composed):
    """A reward rescaled by its running 20th and 80th percentiles: 2 (r - q20) / (q80 - q20) - 1, clipped to [-1, 1].

    The percentiles are those of all the curriculum's values so far, the present one included, interpolated linearly.
    The result is 0 while they are equal. Unit: none. Range: -1 to 1. Source: Graves et al. 2017, section 3.3.

    Args:
        reward: The reward.
    """

    call = "percentile"

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward])

    def forget(self) -> None:
        """Forget all values."""
        self._sorted: list[float] = []

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the position of the value between the percentiles, -1 to 1."""
        value: float = values[0]
        insort(self._sorted, value)  # kept sorted: a percentile is then two look-ups
        low, high = self._quantile(_LOW), self._quantile(_HIGH)
        return 0.0 if low == high else min(max(2 * (value - low) / (high - low) - 1, -1.0), 1.0)

    def _quantile(self, share: float) -> float:
        place = share * (len(self._sorted) - 1)
        below = int(place)
        above = min(below + 1, len(self._sorted) - 1)
        return self._sorted[below] + (place - below) * (self._sorted[above] - self._sorted[below])


class ZScore(Composed):
    """A reward in units of its running standard deviation: (r - mean) / deviation, over the curriculum's values so far.

    The present value is included; the result is 0 while all values are equal. Unit: none. Range: at most sqrt(n - 1)
    in size for n values. Source: mean and deviation by the recurrence of Welford 1962.

    Args:
        reward: The reward.
    """

    call = "z-score"

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward])

    def forget(self) -> None:
        """Forget all values."""
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the distance of the value from the mean, in standard deviations."""
        off = values[0] - self._mean
        self._count += 1
        self._mean += off / self._count
        self._squares += off * (values[0] - self._mean)
        deviation = float(np.sqrt(self._squares / self._count))
        return (values[0] - self._mean) / deviation if deviation > 0 else 0.0


class PotentialDifference(Composed):
    """A reward taken as a potential: gamma phi(s') - phi(s).

    phi(s') is the reward's value for the expansion just made, phi(s) its value for the one before, and 0 after the
    nucleus. The reward should say how good a state is, not what a step was worth. Added to another reward, such a
    difference leaves the best policies unchanged if gamma is the agent's discount and episodes have no end; a
    curriculum that ends after T expansions keeps a remainder of gamma^T phi(s_T). Unit: the reward's. Range: unbounded.
    Source: Ng et al. 1999.

    Args:
        reward: The potential.
        gamma: The agent's discount, 0 to 1; by default that of kgrl's PPO.

    Raises:
        SettingError: If gamma is out of range.
    """

    call = "potential"

    def __init__(self, reward: Reward, gamma: float = 0.99) -> None:
        if not 0 <= gamma <= 1:
            raise SettingError(f"gamma is a discount from 0 to 1, not {gamma:g}")
        self.gamma = gamma
        super().__init__([reward])

    def forget(self) -> None:
        """Go back to the potential after the nucleus, 0."""
        self._before = 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the discounted potential now minus the potential before."""
        difference: float = self.gamma * values[0] - self._before
        self._before = values[0]
        return difference


class Schedule(Composed):
    """A reward with a weight that changes linearly from start to end over the token budget.

    (start + (end - start) min(1, tokens_total / budget)) r, where tokens_total includes the present expansion. Unit:
    the reward's.

    Args:
        reward: The reward.
        start: The weight when no token is spent.
        end: The weight when all tokens are spent.
    """

    call = "schedule"

    def __init__(self, reward: Reward, start: float, end: float) -> None:
        self.start, self.end = start, end
        super().__init__([reward])

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the value times the present weight."""
        assert isinstance(expansion, Expansion)  # only a memoryless combinator is given a batch
        spent = min(1.0, expansion.tokens_total / expansion.budget)
        weighted: float = (self.start + (self.end - self.start) * spent) * values[0]
        return weighted


COMBINATORS: dict[str, Callable[..., Reward]] = {
    kind.call: kind for kind in (Clip, PerToken, Percentile, PotentialDifference, Schedule, ZScore)
}
"""The combinators, by the names they have in expressions."""
