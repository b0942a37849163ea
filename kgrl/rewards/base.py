"""Reward functions: objects that score an expansion, and can be added and multiplied.

A reward declares in `needs` what has to be measured or known for it. So only what is needed is measured, and a
curriculum that cannot give it says so before anything is learned.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.display import constructor_text, options_of

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
    "options_text",
    "rewarded",
]

PROBES = frozenset({"mean", "target", "self"})
"""Every probe a curriculum can measure: a sample of all topics, of the goal's, of the neighbourhood's."""

MEASURES = frozenset({"trained", "reference", "gradient", "alignment", "weights", "flops", "knowledge", "facts"})
"""Further measurements of a lesson, kept in `Expansion.measures`; some need a learner that has gradients, `"facts"`
one that tells what it knows. `"knowledge"` is kept in `Expansion.probes`, as `"read"` and `"unread"`."""

KNOWLEDGE = frozenset({"graph", "embeddings", "goal"})
"""Parts of the `RewardContext` that `Reward.bind` hands over; there may be no goal."""


class RewardError(KgrlError, ValueError):
    """A reward that did not return a finite number, or reads a value that was not measured."""


@runtime_checkable
class RewardFunction(Protocol):
    """Protocol of rewards: a callable that scores an expansion and can start over."""

    def __call__(self, expansion: Expansion) -> float:
        """Return the reward of one expansion."""
        ...

    def reset(self) -> None:
        """Forget earlier expansions; called at the start of each curriculum."""
        ...


class Reward(ABC):
    """Base class of kgrl's rewards: subclasses define `score`, and compose with `+`, `-` and `*`.

    Attributes:
        name: The name it is registered and logged under.
        needs: The measurements and knowledge it reads, of `PROBES`, `MEASURES` and `KNOWLEDGE`.

    Example:
        >>> from kgrl.rewards import SelfPredictionGain, TokenCost
        >>> reward = SelfPredictionGain() - 1e-4 * TokenCost()
        >>> reward
        self-prediction-gain - 0.0001*token-cost
        >>> sorted(reward.needs)
        ['self']
    """

    name: str = "reward"
    needs: frozenset[str] = frozenset()
    _source: str = ""
    """The place a user took it from, `file.py:name`; empty for rewards that have a registered name."""

    @abstractmethod
    def score(self, expansion: Expansion) -> float:
        """Return the reward of one expansion; a subclass may keep state, which it clears in `reset`."""

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64] | None:
        """Return the rewards of the expansions of many curricula, `[n]`, each as `score` would.

        Return None (the default) to have `score` called for each expansion. Rewards without memory may define this
        method, which makes them fast in vector environments; rewards that remember earlier expansions cannot.
        """
        return None

    def bind(self, context: RewardContext) -> None:  # noqa: B027 - most rewards look at nothing but expansions
        """Receive what stays the same over all curricula; called once, before anything is learned."""

    def begin(self, nucleus: Expansion) -> None:
        """Begin a curriculum that has just learned its nucleus; the nucleus's expansion is not rewarded."""
        self.reset()

    def reset(self) -> None:  # noqa: B027 - most rewards have nothing to forget
        """Forget earlier expansions; most rewards have nothing to forget."""

    def __call__(self, expansion: Expansion) -> float:
        """Return the reward of one expansion; raises as `evaluate` does."""
        return self.evaluate(expansion)[0]

    def __repr__(self) -> str:
        """The expression that makes it; `as_reward` reads it again where every reward in it is registered."""
        return self._source or self._text()

    def _text(self) -> str:
        if self.name == Reward.name:  # neither registered nor named by its class
            return constructor_text(self)
        # A name that was read from an expression has its options already.
        return self.name if "(" in self.name else self.name + options_text(options_of(self, changed=True))

    def evaluate(self, expansion: Expansion) -> tuple[float, dict[str, float]]:
        """Return the reward and its parts by name, each part before weighting.

        A second part of the same name gets a number: `token-cost`, `token-cost-2`.

        Raises:
            RewardError: If a part raises, or is not a finite number; the message names it, the expansion and the value.
        """
        parts = Parts()
        return self._evaluate(expansion, parts), parts.by_name

    def _evaluate(self, expansion: Expansion, parts: Parts) -> float:
        """The value, computed once for each expansion, however often the reward occurs in a composition."""
        # A reward that remembers would otherwise see the same expansion twice.
        if id(self) not in parts.found:
            parts.found[id(self)] = self._evaluate_checked(expansion, parts)
        return parts.found[id(self)]

    def _evaluate_checked(self, expansion: Expansion, parts: Parts) -> float:
        where = f"at expansion {expansion.index} ({expansion.title})"
        try:
            value: object = self._evaluate_once(expansion, parts)  # a user's reward may return anything
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
    """The value as a float, or None if it is not a finite number."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:  # an int that is too large for a float
        return None
    return number if math.isfinite(number) else None


@dataclass
class Parts:
    """Values of a reward's parts in one expansion.

    Args:
        by_name: The values as they are logged.
        found: The same by the identity of the reward, since one may occur twice and remember what it has seen.
    """

    by_name: dict[str, float] = field(default_factory=dict)
    found: dict[int, float] = field(default_factory=dict)


class FunctionReward(Reward):
    """A plain function of an expansion, as a reward.

    Args:
        function: Takes an `Expansion`, returns a number. Its attribute `needs`, where it has one, names the probes to
            measure; otherwise all are measured.
        name: The name it is logged under; the function's own if None.

    Raises:
        SettingError: If it is not callable.
    """

    def __init__(self, function: Callable[[Expansion], float], name: str | None = None) -> None:
        if not callable(function):
            raise SettingError(f"a reward is a name, a reward or a function of an expansion, not {function!r}")
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.needs = frozenset(getattr(function, "needs", PROBES))

    def _text(self) -> str:
        return self.name

    def score(self, expansion: Expansion) -> float:
        """Return the function's value."""
        return self.function(expansion)

    def reset(self) -> None:
        """Reset the function, where it can be reset."""
        if isinstance(self.function, RewardFunction):
            self.function.reset()


def rewarded(expansion: Expansion, reward: Reward | None) -> Expansion:
    """Return a record with its reward and the reward's parts; unchanged if the reward is None."""
    if reward is None:
        return expansion
    value, parts = reward.evaluate(expansion)
    return replace(expansion, reward=value, reward_components=parts)


class Composed(Reward):
    """A reward made of others. It passes on every call; subclasses define `combine`.

    Args:
        parts: The others.
        name: The name it is logged under; the expression that makes it if None.
    """

    memoryless: bool = False
    """True if `combine` reads nothing but its arguments, and of an expansion its tokens alone."""

    call: str = ""
    """The combinator's name in expressions, such as `clip`; empty for rewards that are written in another way."""

    def __init__(self, parts: Sequence[Reward], name: str | None = None) -> None:
        self.parts = tuple(parts)
        self.name = name or self.expression([part.name for part in parts]) or self.name
        self.needs = frozenset[str]().union(*(part.needs for part in parts))
        self.forget()

    def _text(self) -> str:
        return self.expression([repr(part) for part in self.parts]) or self.name

    def expression(self, parts: Sequence[str]) -> str:
        """Return the expression that makes the reward, such as `clip(token-cost, 0, 1)`; empty if there is none.

        Args:
            parts: The expressions of its parts.
        """
        if not self.call:
            return ""
        numbers = [_number(float(value)) for value in options_of(self).values() if isinstance(value, Real)]
        return f"{self.call}({', '.join([*parts, *numbers])})"

    @abstractmethod
    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the value made of the parts' values.

        Args:
            values: A number for each part; where `memoryless`, also an array `[n]` for each, of n curricula.
            expansion: The expansion, or those of the n curricula.
        """

    def forget(self) -> None:
        """Forget earlier expansions in this reward itself; its parts have a `reset` of their own."""

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
        """Return the composed values of many curricula `[n]`, or None if it or a part scores one by one."""
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

    Raises:
        RewardError: If a weight is not a finite number, also as the product with one of a sum within.
    """

    memoryless = True

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        self.terms: list[tuple[float, Reward]] = []
        for weight, reward in terms:
            inner = reward.terms if isinstance(reward, WeightedSum) else [(1.0, reward)]
            self.terms += [(weight * factor, part) for factor, part in inner]
        for weight, part in self.terms:
            if not math.isfinite(weight):
                raise RewardError(f"the weight of {part.name} is {weight}, not a finite number")
        super().__init__([part for _, part in self.terms])

    def expression(self, parts: Sequence[str]) -> str:
        """Return the sum, such as `0.5*mean-prediction-gain - token-cost`."""
        text = ""
        for (weight, _), part in zip(self.terms, parts, strict=True):
            # A minus stands apart from the name before it, since names may hold one.
            sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
            text += f"{sign}{'' if abs(weight) == 1 else f'{_number(abs(weight))}*'}{part}"
        return text

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the weighted sum of the parts."""
        return sum(weight * value for (weight, _), value in zip(self.terms, values, strict=True))

    def _log_part(self, parts: Parts, value: float) -> None:
        """Log nothing: its terms are logged, and it is their total."""


class Product(Composed):
    """The product of two rewards, which are both logged. Unit: the product of theirs.

    Args:
        left: One factor.
        right: The other.
    """

    memoryless = True

    def __init__(self, left: Reward, right: Reward) -> None:
        super().__init__([left, right])

    def expression(self, parts: Sequence[str]) -> str:
        """Return the product, sums in brackets, and a product on the right as well: a*(b*c)."""
        left, right = parts
        before = f"({left})" if isinstance(self.parts[0], WeightedSum) else left
        after = f"({right})" if isinstance(self.parts[1], WeightedSum | Product) else right
        return f"{before}*{after}"

    def combine(self, values: Sequence[Any], expansion: Expansion | ExpansionBatch) -> Any:
        """Return the product of the factors."""
        return values[0] * values[1]

    def _log_part(self, parts: Parts, value: float) -> None:
        """Log nothing: its factors are logged."""


def options_text(options: Mapping[str, Any]) -> str:
    """Return options as an expression has them, in brackets; empty if there are none.

    A value that expressions cannot hold, such as an array, is shown by its type.

    Example:
        >>> options_text({"least": 0.2, "exact": True}), options_text({})
        ('(least=0.2, exact=true)', '')
    """
    texts = [f"{name}={_option_text(value)}" for name, value in options.items()]
    return f"({', '.join(texts)})" if texts else ""


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | Real | Reward) else f"<{type(value).__name__}>"


def _number(value: float) -> str:
    """The shortest text that reads as the same value."""
    return short if float(short := f"{value:g}") == value else repr(value)


@dataclass(frozen=True)
class RewardContext:
    """Knowledge that stays the same over all curricula that a reward is used in.

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
        """Return itself: nothing in it changes, so the copies of a reward in a vector environment share it."""
        return self
