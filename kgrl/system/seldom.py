"""Kernels that a run calls a few times: Python carries them out until that takes longer than to load numba.

Importing numba and reading a kernel from its cache takes half a second. A curriculum that is learned by a transformer
calls its kernels once for each topic, and does without. An environment calls them thousands of times.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["SeldomCalled"]

_LOADING = 0.5
"""Seconds that numba takes to load: Python may take as long for one kernel, so a process waits twice that at most."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class SeldomCalled(Generic[Arguments, Result]):
    """A kernel on whole numbers, with the same result by Python and by numba.

    Args:
        function: The function, which numba can compile.

    Example:
        >>> from kgrl.graph.rows import discover
        >>> isinstance(discover, SeldomCalled), discover.__name__
        (True, 'discover')
    """

    def __init__(self, function: Callable[Arguments, Result]) -> None:
        self._function = function
        self._seconds = 0.0
        functools.update_wrapper(self, function)

    @cached_property
    def compiled(self) -> Any:
        """The compiled kernel, kept on disk; kernels that call this one name it."""
        from numba import njit

        return njit(cache=True, nogil=True)(self._function)

    def __call__(self, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        """Carry the kernel out: by numba if that is loaded, or was worth loading."""
        if self._seconds > _LOADING or "numba" in sys.modules:
            result: Result = self.compiled(*arguments, **named)
            return result
        began = time.perf_counter()
        result = self._function(*arguments, **named)
        self._seconds += time.perf_counter() - began
        return result
