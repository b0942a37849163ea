"""What rewards are composed with: sums, products, and wrappers that rescale one reward.

A composition is named by the expression that makes it, `clip(self-prediction-gain, -1, 1)`, which
`kgrl.rewards.expression` reads again. Each needs what its parts need. Those that remember earlier expansions forget
them when a curriculum begins.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import Composed, Reward, call_text

__all__ = ["COMBINATORS", "Clip", "PerToken", "Percentile", "PotentialDifference", "Schedule", "ZScore"]


_LOW, _HIGH = 0.2, 0.8
"""The quantiles between which Graves et al. rescale."""


class Clip(Composed):
    """A reward cut off at both ends: min(max(r, low), high). Unit: the reward's. Range: low to high.

    Args:
        reward: The reward.
        low: The least it can be.
        high: The most.

    Example:
        >>> from kgrl.rewards import TokenCost
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
        >>> Clip(TokenCost(), 0, 10).evaluate(step)
        (10.0, {'token-cost': 50.0, 'clip(token-cost, 0, 10)': 10.0})
    """

    memoryless = True

    def __init__(self, reward: Reward, low: float, high: float) -> None:
        if not low < high:
            raise SettingError(f"a reward is clipped to a range from low to high, not from {low:g} to {high:g}")
        self.low, self.high = low, high
        super().__init__([reward], call_text("clip", reward, low, high))

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the value within the range."""
        return np.clip(values[0], self.low, self.high)


class PerToken(Composed):
    """A reward by the tokens trained on: r / tokens. Unit: the reward's per token. Range: the reward's, narrower.

    Args:
        reward: The reward.
    """

    memoryless = True

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward], call_text("per-token", reward))

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the value per token."""
        return values[0] / expansion.tokens


class Percentile(Composed):
    """A reward between its running 20th and 80th percentiles: 2 (r - q20) / (q80 - q20) - 1, clipped to [-1, 1].

    The percentiles are those of all the curriculum's values so far, the present one among them, interpolated linearly.
    0 while they are equal. Unit: none. Range: -1 to 1. Source: Graves et al. 2017, section 3.3.

    Args:
        reward: The reward.
    """

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward], call_text("percentile", reward))

    def forget(self) -> None:
        """Forget the values so far."""
        self._sorted: list[float] = []

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return where the value lies between the percentiles."""
        value: float = values[0]
        insort(self._sorted, value)
        low, high = self._quantile(_LOW), self._quantile(_HIGH)
        return 0.0 if low == high else min(max(2 * (value - low) / (high - low) - 1, -1.0), 1.0)

    def _quantile(self, share: float) -> float:
        place = share * (len(self._sorted) - 1)
        below = int(place)
        above = min(below + 1, len(self._sorted) - 1)
        return self._sorted[below] + (place - below) * (self._sorted[above] - self._sorted[below])


class ZScore(Composed):
    """A reward in its running standard deviations: (r - mean) / deviation, over the curriculum's values so far.

    The present value is among them; 0 while they do not differ. Unit: none. Range: at most the root of the number of
    values, less one. Mean and deviation by Welford's (1962) recurrence.

    Args:
        reward: The reward.
    """

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward], call_text("z-score", reward))

    def forget(self) -> None:
        """Forget the values so far."""
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return how far the value is from the mean."""
        off = values[0] - self._mean
        self._count += 1
        self._mean += off / self._count
        self._squares += off * (values[0] - self._mean)
        deviation = float(np.sqrt(self._squares / self._count))
        return (values[0] - self._mean) / deviation if deviation > 0 else 0.0


class PotentialDifference(Composed):
    """A reward taken as a potential: gamma phi(s') - phi(s).

    phi(s') is what the reward says of the expansion just made, phi(s) what it said of the one before it, and 0 after
    the nucleus. The reward should tell how good a state is, not what a step was worth. Added to another reward, such a
    difference leaves the best policies what they are where gamma is the agent's discount and episodes go on; what
    the end of a curriculum leaves over is gamma^T phi(s_T). Unit: the reward's. Range: unbounded. Source: Ng et al.
    1999.

    Args:
        reward: The potential.
        gamma: The agent's discount, 0 to 1; by default that of kgrl's PPO.
    """

    def __init__(self, reward: Reward, gamma: float = 0.99) -> None:
        if not 0 <= gamma <= 1:
            raise SettingError(f"gamma is a discount from 0 to 1, not {gamma:g}")
        self.gamma = gamma
        super().__init__([reward], call_text("potential", reward, gamma))

    def forget(self) -> None:
        """Go back to the potential after the nucleus, 0."""
        self._before = 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the discounted potential now, less the one before."""
        difference: float = self.gamma * values[0] - self._before
        self._before = values[0]
        return difference


class Schedule(Composed):
    """A reward with a weight that goes in a straight line from start to end over the token budget.

    (start + (end - start) min(1, tokens_total / budget)) r, tokens_total with the present expansion's. Unit: the
    reward's.

    Args:
        reward: The reward.
        start: The weight when no token is spent.
        end: The weight when all are.
    """

    def __init__(self, reward: Reward, start: float, end: float) -> None:
        self.start, self.end = start, end
        super().__init__([reward], call_text("schedule", reward, start, end))

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> float:
        """Return the value with the weight of now."""
        assert isinstance(expansion, Expansion)
        spent = min(1.0, expansion.tokens_total / expansion.budget)
        weighted: float = (self.start + (self.end - self.start) * spent) * values[0]
        return weighted


COMBINATORS: dict[str, Callable[..., Reward]] = {
    "clip": Clip,
    "per-token": PerToken,
    "percentile": Percentile,
    "potential": PotentialDifference,
    "schedule": Schedule,
    "z-score": ZScore,
}
"""The wrappers, by the names they have in expressions."""
