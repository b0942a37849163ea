"""Reward functions: objects that score an expansion, and can be added and multiplied.

A reward declares in `needs` what has to be measured or known for it, so that nothing is measured in vain, and a
curriculum that cannot give it says so before anything is learned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion, ExpansionBatch, Measurement
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = [
    "Composed",
    "FunctionReward",
    "Parts",
    "Product",
    "Reward",
    "RewardContext",
    "RewardError",
    "RewardFunction",
    "WeightedSum",
    "call_text",
    "measure_of",
    "probe_of",
    "rewarded",
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

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64] | None:
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

        A name that another part has already gets a number: `token-cost`, `token-cost-2`.

        Raises:
            RewardError: If a part raises, or is not a finite number; the message names it, the expansion and the value.
        """
        parts = Parts()
        return self._evaluate(expansion, parts), parts.by_name

    def _evaluate(self, expansion: Expansion, parts: Parts) -> float:
        """The value, found once for each expansion, however often the reward occurs in a composition."""
        if id(self) not in parts.found:
            parts.found[id(self)] = self._evaluate_checked(expansion, parts)
        return parts.found[id(self)]

    def _evaluate_checked(self, expansion: Expansion, parts: Parts) -> float:
        where = f"at expansion {expansion.index} ({expansion.title})"
        try:
            value: object = self._evaluate_once(expansion, parts)  # whatever a user's reward returns
        except RewardError:
            raise
        except Exception as error:
            raise RewardError(f"reward {self.name!r} raised {error!r:.300} {where}") from error
        number = _finite(value)
        if number is None:
            raise RewardError(f"reward {self.name!r} returned {value!r:.300} {where}, not a finite number")
        self._log_part(parts, number)
        return number

    def _evaluate_once(self, expansion: Expansion, parts: Parts) -> float:
        return self.score(expansion)

    def _log_part(self, parts: Parts, value: float) -> None:
        """Log the value by name, beside those of other parts of the same name."""
        name, number = self.name, 1
        while name in parts.by_name:
            number += 1
            name = f"{self.name}-{number}"
        parts.by_name[name] = value

    def __add__(self, other: Reward | Callable[[Expansion], float]) -> Reward:
        return WeightedSum([(1.0, self), (1.0, _as_part(other))])

    def __sub__(self, other: Reward | Callable[[Expansion], float]) -> Reward:
        return WeightedSum([(1.0, self), (-1.0, _as_part(other))])

    def __mul__(self, other: float | Reward) -> Reward:
        if isinstance(other, Reward):
            return Product(self, other)
        return WeightedSum([(float(other), self)])

    __rmul__ = __mul__

    def __neg__(self) -> Reward:
        return self * -1.0


def _as_part(part: Reward | Callable[[Expansion], float]) -> Reward:
    return part if isinstance(part, Reward) else FunctionReward(part)


def _finite(value: object) -> float | None:
    """The value as a float, None if it is no finite number."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:  # an int that is too large for a float
        return None
    return number if math.isfinite(number) else None


@dataclass
class Parts:
    """What the parts of one reward were worth in one expansion.

    Args:
        by_name: Their values, as they are logged.
        found: The same by the identity of the reward, since one may occur twice and remember what it has seen.
    """

    by_name: dict[str, float] = field(default_factory=dict)
    found: dict[int, float] = field(default_factory=dict)


class FunctionReward(Reward):
    """A plain function of an expansion, as a reward.

    Args:
        function: Takes an `Expansion`, returns a number. Its attribute `needs`, where it has one, names the probes to
            measure; otherwise all are measured.
        name: The name it is logged under.
    """

    def __init__(self, function: Callable[[Expansion], float], name: str | None = None) -> None:
        if not callable(function):
            raise SettingError(f"a reward is a name, a reward or a function of an expansion, not {function!r}")
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


def rewarded(expansion: Expansion, reward: Reward | None) -> Expansion:
    """Return a record with its reward, where there is one."""
    if reward is None:
        return expansion
    value, parts = reward.evaluate(expansion)
    return replace(expansion, reward=value, reward_components=parts)


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
    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
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

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64] | None:
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

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
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

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the product of the factors."""
        return values[0] * values[1]

    def _log_part(self, parts: Parts, value: float) -> None:
        """Its factors are logged."""


def call_text(name: str, reward: Reward, *numbers: float) -> str:
    """Return a combinator's expression, such as `clip(token-cost, 0, 1)`.

    Args:
        name: The combinator's name in expressions.
        reward: The reward that it rescales.
        numbers: Its other arguments.
    """
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


@dataclass(frozen=True)
class RewardContext:
    """What stays the same over all curricula that a reward is used in.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings from train passages, float32, shape `[topics, dimensions]`; zero rows for
            topics without text.
        goal: The goal's topics, or None where all topics count.
    """

    graph: TopicGraph
    embeddings: NDArray[np.float32]
    goal: IntArray | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> RewardContext:
        """Nothing in it changes, so the copies of a reward in a vector environment share it."""
        return self
