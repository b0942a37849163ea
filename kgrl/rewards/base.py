"""Reward functions: objects that score an expansion, and can be added and multiplied.

A reward declares in `needs` what has to be measured or known for it, so that nothing is measured in vain, and a
curriculum that cannot give it says so before anything is learned.
"""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion, Expansions, Measurement
from kgrl.rewards.context import RewardContext
from kgrl.system.registry import Registry

__all__ = [
    "FunctionReward",
    "Parts",
    "Reward",
    "RewardError",
    "RewardFunction",
    "as_reward",
    "measure_of",
    "plugged_in",
    "probe_of",
    "rewarded",
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
        return combinators.WeightedSum([(1.0, self), (1.0, as_reward(other))])

    def __sub__(self, other: Reward | Callable[[Expansion], float]) -> Reward:
        return combinators.WeightedSum([(1.0, self), (-1.0, as_reward(other))])

    def __mul__(self, other: float | Reward) -> Reward:
        if isinstance(other, Reward):
            return combinators.Product(self, other)
        return combinators.WeightedSum([(float(other), self)])

    __rmul__ = __mul__

    def __neg__(self) -> Reward:
        return self * -1.0

    def clip(self, low: float, high: float) -> Reward:
        """Return this reward cut off at both ends; see `kgrl.rewards.Clip`."""
        return combinators.Clip(self, low, high)

    def per_token(self) -> Reward:
        """Return this reward divided by the tokens trained on; see `kgrl.rewards.PerToken`."""
        return combinators.PerToken(self)

    def percentile(self) -> Reward:
        """Return this reward between its running 20th and 80th percentiles; see `kgrl.rewards.Percentile`."""
        return combinators.Percentile(self)

    def z_score(self) -> Reward:
        """Return this reward in its own running standard deviations; see `kgrl.rewards.ZScore`."""
        return combinators.ZScore(self)

    def schedule(self, start: float, end: float) -> Reward:
        """Return this reward with a weight that changes over the budget; see `kgrl.rewards.Schedule`."""
        return combinators.Schedule(self, start, end)


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


class RewardRegistry(Registry[Reward]):
    """Rewards by name; a class and a plain function of an expansion can both be registered."""

    def make(self, name: str, /, *args: Any, **kwargs: Any) -> Reward:
        """Make the reward of this name; classes are called with the arguments, functions take none.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest.
            SettingError: If the arguments are not those of the reward.
        """
        return plugged_in(self[name], name, *args, **kwargs)


def plugged_in(thing: Any, name: str, /, *args: Any, **kwargs: Any) -> Reward:
    """Make a reward of what somebody plugged in under a name: a class, a reward, or a function of an expansion.

    Raises:
        SettingError: If it is none of these, or does not take the arguments.
    """
    if isinstance(thing, type):
        thing = _instance(thing, name, args, kwargs)
    elif args or kwargs:
        raise SettingError(f"the reward {name!r} takes no options")
    elif isinstance(thing, Reward):
        thing = copy.deepcopy(thing)  # two curricula must not share what it remembers
    if not isinstance(thing, Reward):
        return FunctionReward(thing, name)
    if thing.name == Reward.name:
        thing.name = name
    return thing


def _instance(kind: type, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    try:
        inspect.signature(kind).bind(*args, **kwargs)
    except TypeError as error:
        raise SettingError(f"the reward {name!r} is not made with these options: {error}") from error
    return kind(*args, **kwargs)


rewards: Registry[Reward] = RewardRegistry("reward", group="kgrl.rewards")


def as_reward(reward: str | Reward | Callable[[Expansion], float]) -> Reward:
    """Turn what a user passes as a reward into one: a reward, a function of an expansion, or text.

    Args:
        reward: Text is a registered name, or an expression of names as `kgrl.rewards.expression` describes.

    Raises:
        UnknownNameError: If a name in it is not known.
        ExpressionError: If the text cannot be read.
        SettingError: If it is nothing of these.

    Example:
        >>> as_reward("self-prediction-gain").name
        'self-prediction-gain'
        >>> as_reward("self-prediction-gain - 1e-4*token-cost").name
        'self-prediction-gain - 0.0001*token-cost'
        >>> as_reward(lambda expansion: -expansion.train_loss).needs == PROBES
        True
    """
    if isinstance(reward, str):
        from kgrl.rewards.expression import parse_reward

        return parse_reward(reward)
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


def rewarded(expansion: Expansion, reward: Reward | None) -> Expansion:
    """Return a record with its reward, where there is one."""
    if reward is None:
        return expansion
    value, parts = reward.evaluate(expansion)
    return replace(expansion, reward=value, reward_components=parts)


# What rewards are composed with builds on this module, and their operators on it.
from kgrl.rewards import combinators  # noqa: E402
