"""What rewards are composed with: sums, products, and wrappers that rescale one reward.

A composition is named by the expression that makes it, `clip(self-prediction-gain, -1, 1)`, which
`kgrl.rewards.expression` reads again. Each needs what its parts need. Those that remember earlier expansions forget
them when a curriculum begins.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Expansions
from kgrl.rewards.base import Parts, Reward
from kgrl.rewards.context import RewardContext

__all__ = [
    "COMBINATORS",
    "Clip",
    "Composed",
    "PerToken",
    "Percentile",
    "PotentialDifference",
    "Product",
    "Schedule",
    "WeightedSum",
    "ZScore",
]

_LOW, _HIGH = 0.2, 0.8
"""The quantiles between which Graves et al. rescale."""


class Composed(Reward):
    """A reward made of others, which are told whatever it is told. Subclasses define `combine`.

    Args:
        parts: The others.
        name: The expression that makes it.
    """

    memoryless: bool = False
    """Whether `combine` looks at nothing but its arguments, and of an expansion only at its tokens."""

    def __init__(self, parts: Sequence[Reward], name: str) -> None:
        self.parts, self.name = tuple(parts), name
        self.needs = frozenset[str]().union(*(part.needs for part in parts))
        self.forget()

    @abstractmethod
    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> Any:
        """Return the value made of the parts' values.

        Args:
            values: A number for each part; where `memoryless`, also an array for each, of many curricula.
            expansion: The expansion, or those of the many curricula.
        """

    def forget(self) -> None:
        """Forget what earlier expansions left behind in this reward itself; its parts see to themselves."""

    def bind(self, context: RewardContext) -> None:
        """Bind every part."""
        for part in self.parts:
            part.bind(context)

    def begin(self, nucleus: Expansion) -> None:
        """Begin every part."""
        for part in self.parts:
            part.begin(nucleus)
        self.forget()

    def reset(self) -> None:
        """Reset every part."""
        for part in self.parts:
            part.reset()
        self.forget()

    def score(self, expansion: Expansion) -> float:
        """Return the composed value of one expansion."""
        return self._evaluate_once(expansion, Parts())

    def scores(self, expansions: Expansions) -> NDArray[np.float64] | None:
        """Return the composed values of many curricula, if it is memoryless and every part can be had at once."""
        if not self.memoryless:
            return None
        values = [part.scores(expansions) for part in self.parts]
        if any(value is None for value in values):
            return None
        combined: NDArray[np.float64] = self.combine(values, expansions)
        return combined

    def _evaluate_once(self, expansion: Expansion, parts: Parts) -> float:
        value: float = self.combine([part._evaluate(expansion, parts) for part in self.parts], expansion)
        return value


class WeightedSum(Composed):
    """A sum of rewards, each with a weight: w_1 r_1 + w_2 r_2 + ...; nested sums are flattened.

    Its terms are logged before weighting, itself as the total. Unit and range follow from its terms.

    Args:
        terms: Pairs of weight and reward.
    """

    memoryless = True

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        self.terms: list[tuple[float, Reward]] = []
        for weight, reward in terms:
            inner = reward.terms if isinstance(reward, WeightedSum) else [(1.0, reward)]
            self.terms += [(weight * factor, part) for factor, part in inner]
        super().__init__([part for _, part in self.terms], _sum_name(self.terms))

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> Any:
        """Return the weighted sum of the parts."""
        return sum(weight * value for (weight, _), value in zip(self.terms, values, strict=True))

    def _log_part(self, parts: Parts, value: float) -> None:
        """Its terms are logged; it is their total."""


class Product(Composed):
    """The product of two rewards, which are both logged. Unit: the product of theirs.

    Args:
        left: One factor.
        right: The other.
    """

    memoryless = True

    def __init__(self, left: Reward, right: Reward) -> None:
        after = f"({right.name})" if isinstance(right, Product) else _factor(right)
        super().__init__([left, right], f"{_factor(left)}*{after}")

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> Any:
        """Return the product of the factors."""
        return values[0] * values[1]

    def _log_part(self, parts: Parts, value: float) -> None:
        """Its factors are logged."""


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
        super().__init__([reward], _call("clip", reward, low, high))

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> Any:
        """Return the value within the range."""
        return np.clip(values[0], self.low, self.high)


class PerToken(Composed):
    """A reward by the tokens trained on: r / tokens. Unit: the reward's per token. Range: the reward's, narrower.

    Args:
        reward: The reward.
    """

    memoryless = True

    def __init__(self, reward: Reward) -> None:
        super().__init__([reward], _call("per-token", reward))

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> Any:
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
        super().__init__([reward], _call("percentile", reward))

    def forget(self) -> None:
        """Forget the values so far."""
        self._sorted: list[float] = []

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> float:
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
        super().__init__([reward], _call("z-score", reward))

    def forget(self) -> None:
        """Forget the values so far."""
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> float:
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
        super().__init__([reward], _call("potential", reward, gamma))

    def forget(self) -> None:
        """Go back to the potential after the nucleus, 0."""
        self._before = 0.0

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> float:
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
        super().__init__([reward], _call("schedule", reward, start, end))

    def combine(self, values: Sequence[Any], expansion: Expansion | Expansions) -> float:
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


def _call(name: str, reward: Reward, *numbers: float) -> str:
    return f"{name}({', '.join([reward.name, *map(_number, numbers)])})"


def _sum_name(terms: Sequence[tuple[float, Reward]]) -> str:
    name = ""
    for weight, reward in terms:
        sign = ("-" if weight < 0 else "") if not name else (" - " if weight < 0 else " + ")
        factor = "" if abs(weight) == 1 else f"{_number(abs(weight))}*"
        name += f"{sign}{factor}{reward.name}"
    return name


def _factor(reward: Reward) -> str:
    return f"({reward.name})" if isinstance(reward, WeightedSum) else reward.name


def _number(value: float) -> str:
    """As short as it can be without a change of value."""
    return short if float(short := f"{value:g}") == value else repr(value)
