"""The registry of rewards: classes and plain functions of an expansion, by name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from kgrl.errors import SettingError
from kgrl.rewards.base import FunctionReward, Reward
from kgrl.system.registry import Registry

__all__ = ["RewardRegistry", "plugged_in", "register_reward", "rewards"]

F = TypeVar("F", bound=Callable[..., Any])


class RewardRegistry(Registry[Reward]):
    """Rewards by name; both classes and plain functions of an expansion can be registered."""

    def make(self, name: str, /, *args: Any, **kwargs: Any) -> Reward:
        """Make the reward of this name; classes are called with the arguments, functions take none.

        Raises:
            UnknownNameError: If the name is not registered; the message suggests the nearest.
            SettingError: If the reward does not take the arguments.
        """
        return plugged_in(self[name], name, *args, **kwargs)


def plugged_in(thing: Any, name: str, /, *args: Any, **kwargs: Any) -> Reward:
    """Make a reward of a class, a reward, or a function of an expansion that was registered under a name.

    Args:
        thing: The class, reward or function.
        name: The name, which the reward gets unless it has one.
        args: Arguments for a class.
        kwargs: Arguments for a class.

    Raises:
        SettingError: If it is none of these, or does not take the arguments.
    """
    if isinstance(thing, type):
        # Bound before the call, so that a TypeError from within the constructor is not taken for wrong options.
        try:
            inspect.signature(thing).bind(*args, **kwargs)
        except TypeError as error:
            raise SettingError(f"the reward {name!r} is not made with these options: {error}") from error
        thing = thing(*args, **kwargs)
    elif args or kwargs:
        raise SettingError(f"the reward {name!r} takes no options")
    elif isinstance(thing, Reward):
        thing = copy.deepcopy(thing)  # two curricula must not share what it remembers
    if not isinstance(thing, Reward):
        return FunctionReward(thing, name)
    if thing.name == Reward.name:
        thing.name = name
    return thing


rewards: Registry[Reward] = RewardRegistry("reward", group="kgrl.rewards")
"""Rewards by name."""


def register_reward(name: str) -> Callable[[F], F]:
    """Return a decorator that registers a reward under a name: a class, or a plain function of an expansion.

    `@register_reward("brevity")` above `def brevity(expansion): return -expansion.tokens` makes `--reward brevity`
    work.

    Args:
        name: The name for command lines and expressions.

    Raises:
        ValueError: If the name is taken.

    Example:
        >>> register_reward("token-cost")(lambda expansion: -expansion.tokens)
        Traceback (most recent call last):
        ValueError: reward 'token-cost' is registered already
    """
    return rewards.register(name)
