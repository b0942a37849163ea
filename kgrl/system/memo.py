"""Memory of the latest results of functions whose arguments are large arrays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["keep_recent", "read_only"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def keep_recent(calls: int) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator that keeps a function's latest results and returns one again for the same arguments.

    It works like `functools.lru_cache`, but arguments need no hash. Two arrays are the same if they are one object, so
    nobody may change an array after a call. Other arguments are the same if they are equal. Callers share a result and
    must not change it.

    Args:
        calls: Number of results that are kept.

    Example:
        >>> @keep_recent(2)
        ... def doubled(values: np.ndarray) -> np.ndarray:
        ...     return 2 * values
        >>> ones = np.ones(3)
        >>> doubled(ones) is doubled(ones), doubled(ones) is doubled(ones.copy())
        (True, False)
    """

    def keeping(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        called, kept = signature(function), deque[tuple[tuple[Any, ...], Result]](maxlen=calls)

        @wraps(function)
        def ask(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
            call = called.bind(*args, **options)
            call.apply_defaults()
            asked = tuple(call.arguments.values())
            for known, result in tuple(kept):  # other threads may add to it meanwhile
                if all(map(_same, known, asked)):
                    return result
            made = function(*args, **options)
            kept.append((asked, made))
            return made

        return ask

    return keeping


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return the same numbers, in one row after the other, as an array that nobody can write to.

    Compiled kernels see the same type of array, wherever it came from.

    Example:
        >>> read_only(np.ones(2)).flags.writeable
        False
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is other
    return bool(one == other)
