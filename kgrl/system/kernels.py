"""Compilation of kernels: a decorator for those that only kernels call, and a line that says when it takes long."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import event

__all__ = ["inner_kernel"]

_LONG = 2.0
"""Seconds of compiling after which it is announced."""

_log = logging.getLogger(__name__)


def inner_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that is called from kernels, never from Python, where it would crash the process.

    It has no code that takes Python objects apart. For records of many arrays that code takes longer to compile than
    the kernel itself.

    Args:
        function: The function; kept on disk, and runs without Python's lock and checks of divisors.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(**options)(function)


class Announcement(event.Listener):
    """Says once in a process that kernels are compiled, as soon as that takes long: on the terminal, else in the log.

    Kernels that were found on disk are not compiled, and not announced.
    """

    def __init__(self) -> None:
        self._open, self._began, self._told = 0, 0.0, False

    def on_start(self, event: Any) -> None:
        """Note that a kernel begins to be compiled; what it calls is compiled within."""
        self._began = self._began if self._open else time.monotonic()
        self._open += 1

    def on_end(self, event: Any) -> None:
        """Note that it was compiled."""
        self._open -= 1
        if not self._told and time.monotonic() - self._began > _LONG:
            self._told = True
            told = "compiling kernels for this processor: up to a minute, once for each version of kgrl"
            _log.info("%s", told)
            if sys.stderr.isatty():
                sys.stderr.write(f"{told}\n")


event.register("numba:compile", Announcement())  # type: ignore[no-untyped-call]
