"""Reward functions: objects that score an expansion, and can be added and multiplied.

A reward declares in `needs` what has to be measured or known for it, so that nothing is measured in vain, and a
curriculum that cannot give it says so before anything is learned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError
from kgrl.expansion import Expansion, Expansions, Measurement
from kgrl.registry import Registry
from kgrl.rewards.context import RewardContext

__all__ = [
    "FunctionReward",
    "Product",
    "Reward",
    "RewardError",
    "RewardFunction",
    "WeightedSum",
    "as_reward",
    "measure_of",
    "probe_of",
    "rewards",
]

T = TypeVar("T")

PROBES = frozenset({"mean", "target", "self"})
"""Every probe a curriculum can measure: a sample of all topics, of the goal's, of the neighbourhood's."""

MEASURES = frozenset({"trained", "reference", "gradient", "alignment", "weights", "flops"})
"""What else a curriculum can measure, into `Expansion.measures`; some of it only where learners have gradients."""

KNOWLEDGE = frozenset({"graph", "embeddings", "goal"})
"""What a reward can be told by `Reward.bind`; a goal only where there is one."""


class RewardError(KgrlError, ValueError):
    """A reward that did not return a finite number, or reads what was not measured."""


@runtime_checkable
class RewardFunction(Protocol):
    """The least that a reward is: something that scores an expansion and can start over."""

    def __call__(self, expansion: Expansion) -> float:
        """Return the reward of one expansion."""
        ...

    def reset(self) -> None:
        """Forget what earlier expansions left behind; called at the start of each curriculum."""
        ...


class Reward(ABC):
    """Base class of kgrl's rewards: subclasses define `score`, and compose with `+`, `-` and `*`.

    Attributes:
        name: The name it is registered and logged under.
        needs: What it reads, of `PROBES`, `MEASURES` and `KNOWLEDGE`.

    Example:
        >>> from kgrl.rewards import SelfPredictionGain, TokenCost
        >>> reward = SelfPredictionGain() - 1e-4 * TokenCost()
        >>> sorted(reward.needs)
        ['self']
    """

    name: str = "reward"
    needs: frozenset[str] = frozenset()

    @abstractmethod
    def score(self, expansion: Expansion) -> float:
        """Return the reward of one expansion; a subclass may keep state and clears it in `reset`."""

    def scores(self, expansions: Expansions) -> NDArray[np.float64] | None:
        """Return the rewards of the expansions of many curricula, `[n]`; None where they must be had one by one.

        What rewards return here is the same as `score` returns for each; they need not define it, and are fast in
        vector environments where they do. Rewards that remember something cannot.
        """
        return None

    def bind(self, context: RewardContext) -> None:  # noqa: B027 - most rewards look at nothing but expansions
        """Take note of what stays the same over all curricula; called once, before anything is learned."""

    def begin(self, nucleus: Expansion) -> None:
        """Begin a curriculum that has just learned its nucleus, whose expansion is rewarded by nobody."""
        self.reset()

    def reset(self) -> None:  # noqa: B027 - most rewards have nothing to forget
        """Forget what earlier expansions left behind; most rewards have nothing to forget."""

    def __call__(self, expansion: Expansion) -> float:
        """Return the reward of one expansion; raises as `evaluate` does."""
        return self.evaluate(expansion)[0]

    def evaluate(self, expansion: Expansion) -> tuple[float, dict[str, float]]:
        """Return the reward and its parts by name, each part before weighting.

        Raises:
            RewardError: If a part is not a finite number; the message names it and the expansion.
        """
        parts: dict[str, float] = {}
        return self._evaluate(expansion, parts), parts

    def _evaluate(self, expansion: Expansion, parts: dict[str, float]) -> float:
        value: object = self.score(expansion)  # whatever a user's reward returns
        if not isinstance(value, Real) or not math.isfinite(value):
            raise RewardError(f"reward {self.name!r} returned {value!r} at expansion {expansion.index}")
        parts[self.name] = float(value)
        return float(value)

    def __add__(self, other: Reward) -> Reward:
        return WeightedSum([(1.0, self), (1.0, other)])

    def __sub__(self, other: Reward) -> Reward:
        return WeightedSum([(1.0, self), (-1.0, other)])

    def __mul__(self, other: float | Reward) -> Reward:
        return Product(self, other) if isinstance(other, Reward) else WeightedSum([(float(other), self)])

    __rmul__ = __mul__

    def __neg__(self) -> Reward:
        return self * -1.0


class WeightedSum(Reward):
    """A sum of rewards, each with a weight; nested sums are flattened.

    Args:
        terms: Pairs of weight and reward.
    """

    name = "weighted-sum"

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        self.terms: list[tuple[float, Reward]] = []
        for weight, reward in terms:
            inner = reward.terms if isinstance(reward, WeightedSum) else [(1.0, reward)]
            self.terms += [(weight * factor, part) for factor, part in inner]
        self.needs = frozenset[str]().union(*(reward.needs for _, reward in self.terms))

    def bind(self, context: RewardContext) -> None:
        """Bind every part."""
        for _, reward in self.terms:
            reward.bind(context)

    def begin(self, nucleus: Expansion) -> None:
        """Begin every part."""
        for _, reward in self.terms:
            reward.begin(nucleus)

    def score(self, expansion: Expansion) -> float:
        """Return the weighted sum of the parts."""
        return self._evaluate(expansion, {})

    def scores(self, expansions: Expansions) -> NDArray[np.float64] | None:
        """Return the weighted sums, if every part can be had at once."""
        parts = [reward.scores(expansions) for _, reward in self.terms]
        weighted = (weight * part for (weight, _), part in zip(self.terms, parts, strict=True) if part is not None)
        return None if any(part is None for part in parts) else np.sum(list(weighted), axis=0)

    def reset(self) -> None:
        """Reset every part."""
        for _, reward in self.terms:
            reward.reset()

    def _evaluate(self, expansion: Expansion, parts: dict[str, float]) -> float:
        return sum(weight * reward._evaluate(expansion, parts) for weight, reward in self.terms)


class Product(Reward):
    """The product of two rewards.

    Args:
        left: One factor.
        right: The other.
    """

    name = "product"

    def __init__(self, left: Reward, right: Reward) -> None:
        self.left, self.right = left, right
        self.needs = left.needs | right.needs

    def bind(self, context: RewardContext) -> None:
        """Bind both factors."""
        self.left.bind(context)
        self.right.bind(context)

    def begin(self, nucleus: Expansion) -> None:
        """Begin both factors."""
        self.left.begin(nucleus)
        self.right.begin(nucleus)

    def score(self, expansion: Expansion) -> float:
        """Return the product of the factors."""
        return self._evaluate(expansion, {})

    def scores(self, expansions: Expansions) -> NDArray[np.float64] | None:
        """Return the products, if both factors can be had at once."""
        left, right = self.left.scores(expansions), self.right.scores(expansions)
        return None if left is None or right is None else left * right

    def reset(self) -> None:
        """Reset both factors."""
        self.left.reset()
        self.right.reset()

    def _evaluate(self, expansion: Expansion, parts: dict[str, float]) -> float:
        return self.left._evaluate(expansion, parts) * self.right._evaluate(expansion, parts)


class FunctionReward(Reward):
    """A plain function of an expansion, as a reward.

    Args:
        function: Takes an `Expansion`, returns a number. Its attribute `needs`, where it has one, names the probes to
            measure; otherwise all are measured.
        name: The name it is logged under.
    """

    def __init__(self, function: Callable[[Expansion], float], name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.needs = frozenset(getattr(function, "needs", PROBES))

    def score(self, expansion: Expansion) -> float:
        """Return what the function returns."""
        return self.function(expansion)

    def reset(self) -> None:
        """Reset the function, where it can be reset."""
        if isinstance(self.function, RewardFunction):
            self.function.reset()


rewards: Registry[Reward] = Registry("reward")


def as_reward(reward: str | Reward | Callable[[Expansion], float]) -> Reward:
    """Turn what a user passes as a reward into one: a registered name, a reward, or a function of an expansion.

    Raises:
        UnknownNameError: If no reward has that name.

    Example:
        >>> as_reward("self-prediction-gain").name
        'self-prediction-gain'
        >>> as_reward(lambda expansion: -expansion.train_loss).needs == PROBES
        True
    """
    if isinstance(reward, str):
        return rewards.make(reward)
    return reward if isinstance(reward, Reward) else FunctionReward(reward)


def probe_of(expansion: Expansion, probe: str, reward: str) -> Measurement:
    """Return a probe of an expansion, for the reward of this name.

    Raises:
        RewardError: If it was not measured; the message says what was.
    """
    return _of(expansion.probes, probe, f"reward {reward!r} reads the probe {probe!r}", expansion)


def measure_of(expansion: Expansion, measure: str, reward: str) -> float:
    """Return a measure of an expansion, for the reward of this name.

    Raises:
        RewardError: If it was not taken; the message says what was.
    """
    return _of(expansion.measures, measure, f"reward {reward!r} reads the measure {measure!r}", expansion)


def _of(taken: Mapping[str, T], name: str, reads: str, expansion: Expansion) -> T:
    if name not in taken:
        measured = ", ".join(sorted(taken)) or "nothing"
        raise RewardError(f"{reads}, but expansion {expansion.index} measured {measured}")
    return taken[name]
