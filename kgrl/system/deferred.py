"""Actions that wait until another package is imported, so that one's own import does not bring it along."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["after_import"]


def after_import(name: str, action: Callable[[], None]) -> None:
    """Carry out an action once a top-level package has been imported: now, if it has been already.

    Args:
        name: Name of the package.
        action: The action; it is carried out once.

    Example:
        >>> after_import("sys", lambda: print("it is imported already"))
        it is imported already
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Awaiting(name, action))


class _Awaiting:
    """A finder that finds one package by asking all others, and has the package carry out an action when it is loaded.

    Args:
        name: Name of the package.
        action: The action.
    """

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._name, self._action = name, action

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the package's spec with the action behind its execution; None for all other modules."""
        if name != self._name:
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            self._extend(spec)
        return spec

    def _extend(self, spec: ModuleSpec) -> None:
        """Append the action to the execution of the package."""
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # Not before, since an import that fails may be tried again.
            sys.meta_path.remove(self)
            self._action()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
