"""Whether what somebody asks for fits in memory, asked before it is allocated."""

from __future__ import annotations

from pathlib import Path

from kgrl.errors import SettingError

__all__ = ["available_bytes", "check_fits"]

_MEMINFO = Path("/proc/meminfo")
_USABLE = 0.8
"""Share of the memory available that may be planned with: estimates are estimates, and others need some too."""
_GIB = 2**30


def available_bytes() -> int | None:
    """Return how many bytes of memory can be had without swapping, or None where the system does not tell."""
    if not _MEMINFO.is_file():
        return None
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def check_fits(count: int, bytes_each: int, what: str, *, available: int | None = None) -> None:
    """Refuse what would not fit in memory.

    Args:
        count: How many are asked for.
        bytes_each: What each of them takes, estimated.
        what: What they are, in the plural, for the message.
        available: Bytes of memory to be had; what the system says if None, and no check where it says nothing.

    Raises:
        SettingError: If they take more than four fifths of it; the message says how many would fit.

    Example:
        >>> check_fits(1_000, 2**24, "copies", available=2**33)
        Traceback (most recent call last):
        kgrl.errors.SettingError: 1,000 copies need about 15.6 GiB of memory, and 6.4 GiB can be used: 409 would fit
    """
    available = available_bytes() if available is None else available
    if available is None or count * bytes_each <= _USABLE * available:
        return
    need, usable = count * bytes_each / _GIB, _USABLE * available / _GIB
    fit = int(_USABLE * available / bytes_each)
    raise SettingError(
        f"{count:,} {what} need about {need:.1f} GiB of memory, and {usable:.1f} GiB can be used: {fit:,} would fit"
    )
