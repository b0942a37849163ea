"""Names for the things a user picks on a command line: corpora, agents, learners, rewards.

A registry knows names and factories; it does not know what the factories make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from kgrl.errors import UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Registry(Generic[T]):
    """A table from names to factories of one kind of thing.

    Args:
        kind: What is registered, in the singular; used in error messages.

    Example:
        >>> agents = Registry[object]("agent")
        >>> @agents.register("idle")
        ... class Idle: ...
        >>> type(agents.make("idle")).__name__
        'Idle'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Return a decorator that registers a class or function under `name`.

        Raises:
            ValueError: If the name is taken.
        """
        if name in self._factories:
            raise ValueError(f"{self.kind} {name!r} is registered already")

        def decorate(factory: F) -> F:
            self._factories[name] = factory
            return factory

        return decorate

    def make(self, name: str, *args: Any, **kwargs: Any) -> T:
        """Call the factory registered under `name`.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest.
        """
        return self[name](*args, **kwargs)

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name not in self._factories:
            raise UnknownNameError(self.kind, name, sorted(self._factories))
        return self._factories[name]

    def __contains__(self, name: object) -> bool:
        return name in self._factories

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._factories))
