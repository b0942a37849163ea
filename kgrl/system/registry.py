"""Registries: tables from names to factories, for what users pick by name (corpora, agents, learners, rewards).

Installed packages add names by entry points, which are read when a name is first looked up.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from kgrl.errors import KgrlError, UnknownNameError

__all__ = ["PluggedIn", "Registry"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluggedIn:
    """An entry point of an installed package.

    Args:
        name: The name it adds.
        package: The package and its version.
        error: The reason that it cannot be used; None if it can.
    """

    name: str
    package: str
    error: str | None = None


class Registry(Generic[T]):
    """A table from names to factories of one kind of object.

    Args:
        kind: The kind of object in the singular, for error messages: `"agent"`.
        group: The entry-point group by which installed packages add names; None if they cannot. An entry point that
            cannot be loaded, or whose name is taken, is left out and logged as a warning.

    Example:
        >>> agents = Registry[object]("agent")
        >>> @agents.register("idle")
        ... class Idle: ...
        >>> type(agents.make("idle")).__name__
        'Idle'
        >>> agents
        <agent registry: idle>
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind, self.group = kind, group
        self._factories: dict[str, Callable[..., T]] = {}
        self._places: dict[str, str] = {}
        self._plugged: list[PluggedIn] | None = None

    def register(self, name: str) -> Callable[[F], F]:
        """Return a decorator that registers a class or function under `name`.

        Raises:
            ValueError: If the name is taken.
        """

        def decorate(factory: F) -> F:
            self._add(name, factory)
            return factory

        if name in self._factories:
            raise ValueError(self._taken(name))
        return decorate

    def declare(self, name: str, place: str) -> None:
        """Register a class or function by its place, from which it is imported when the name is first looked up.

        Args:
            name: The name.
            place: Module and attribute, such as `"kgrl.learners.plugins.replay:Replay"`.
        """
        self._places[name] = place

    def make(self, name: str, /, *args: Any, **kwargs: Any) -> T:
        """Call the factory registered under `name`.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest.
            KgrlError: If a package that adds the name cannot be loaded.
        """
        return self[name](*args, **kwargs)

    @property
    def plugged_in(self) -> tuple[PluggedIn, ...]:
        """The entry points of installed packages, the broken ones too."""
        self._plug_in()
        return tuple(self._plugged or ())

    def _load(self, point: EntryPoint) -> PluggedIn:
        package = _package(point)
        try:
            self._add(point.name, point.load())
        except Exception as error:  # noqa: BLE001 - a broken package must not keep others from loading
            why = f"{type(error).__name__}: {error}"
            _log.warning("the %s %r of the package %s is left out: %s", self.kind, point.name, package, why)
            return PluggedIn(point.name, package, why)
        return PluggedIn(point.name, package)

    def _add(self, name: str, factory: Callable[..., T]) -> None:
        if not callable(factory):
            raise TypeError(f"{factory!r} is not a class or function")
        if self._factories.get(name, factory) is not factory:  # a package may register what it also has an entry for
            raise ValueError(self._taken(name))
        self._factories[name] = factory

    def _taken(self, name: str) -> str:
        return f"{self.kind} {name!r} is registered already"

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name in self._places:
            module, _, attribute = self._places[name].partition(":")
            self._add(name, getattr(importlib.import_module(module), attribute))
        if name in self:
            return self._factories[name]
        for plugged in self.plugged_in:
            if plugged.name == name:
                raise KgrlError(f"the {self.kind} {name!r} of the package {plugged.package} is broken: {plugged.error}")
        raise UnknownNameError(self.kind, name, list(self))

    def __repr__(self) -> str:
        return f"<{self.kind} registry: {', '.join(self)}>"

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._loaded.keys() | self._places.keys()))

    @property
    def _loaded(self) -> dict[str, Callable[..., T]]:
        """The factories, those of installed packages included."""
        self._plug_in()
        return self._factories

    def _plug_in(self) -> None:
        if self._plugged is None:
            self._plugged = []  # before any is loaded: a package may look names up while it is
            found = _entry_points(tuple(sys.path)).select(group=self.group) if self.group else ()
            self._plugged = [self._load(point) for point in sorted(found, key=lambda p: (_package(p), p.name))]


@cache
def _entry_points(path: tuple[str, ...]) -> Any:  # its type depends on Python's version
    """Return the entry points of the packages on a path; all registries share them, since reading takes long."""
    return entry_points()


def _package(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"
