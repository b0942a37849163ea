"""Refusal of allocations larger than the available memory."""

from __future__ import annotations

import psutil

from kgrl.errors import SettingError

__all__ = ["check_fits"]

_USABLE = 0.8
"""Share of the available memory that may be planned with: estimates are rough, and other programs need some too."""
_GIB = 2**30


def check_fits(count: int, bytes_each: int, what: str, *, available: int | None = None) -> None:
    """Refuse a number of objects that would not fit in memory.

    Args:
        count: Number of objects asked for.
        bytes_each: Estimated size of each in bytes.
        what: Their name in the plural, for the message.
        available: Available memory in bytes; by default what this machine has without swapping.

    Raises:
        SettingError: If they take more than four fifths of it; the message says how many would fit.

    Example:
        >>> check_fits(1_000, 2**24, "copies", available=2**33)
        Traceback (most recent call last):
        kgrl.errors.SettingError: 1,000 copies need about 15.6 GiB of memory, and 6.4 GiB can be used: 409 would fit
    """
    available = psutil.virtual_memory().available if available is None else available
    if count * bytes_each <= _USABLE * available:
        return
    need, usable = count * bytes_each / _GIB, _USABLE * available / _GIB
    fit = int(_USABLE * available / bytes_each)
    raise SettingError(
        f"{count:,} {what} need about {need:.1f} GiB of memory, and {usable:.1f} GiB can be used: {fit:,} would fit"
    )
