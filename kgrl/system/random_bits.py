"""Random draws that depend on nothing but counters: no generator, so no state to copy, save or get out of step."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike, NDArray

__all__ = ["drawn", "mixed", "normal"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_KEY_BITS, _LOW = np.uint64(8), np.uint64(0xFFFFFFFF)


@njit("uint64(uint64)", cache=True, nogil=True)
def mixed(bits):  # type: ignore[no-untyped-def]
    """Return 64 other bits: SplitMix64's step and finaliser (Steele et al. 2014)."""
    bits = bits + _STEP
    bits = (bits ^ (bits >> _BY_30)) * _FIRST
    bits = (bits ^ (bits >> _BY_27)) * _SECOND
    return bits ^ (bits >> _BY_31)


@njit("float64(uint64, uint64, uint64, uint64)", cache=True, nogil=True)
def normal(key, seed, number, total):  # type: ignore[no-untyped-def]
    """Return one draw of `drawn`."""
    bits = mixed(mixed(mixed((seed << _KEY_BITS) | key) ^ number) ^ total)
    radius = (np.float64(bits >> _BY_32) + 0.5) * 2.0**-32
    angle = (np.float64(bits & _LOW) + 0.5) * 2.0**-32
    return math.sqrt(-2.0 * math.log(radius)) * math.cos(2.0 * math.pi * angle)


@vectorize(["float64(uint64, uint64, uint64, uint64)"], cache=True)  # type: ignore[no-untyped-call]
def _normals(key, seed, number, total):  # type: ignore[no-untyped-def]
    return normal(key, seed, number, total)


def drawn(key: int, seed: ArrayLike, ids: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Return standard normal draws that depend on nothing but the arguments, in the shape that those broadcast to.

    The arguments are mixed into 64 random bits by SplitMix64's finaliser, and those turned into a normal draw by the
    transform of Box and Muller (1958).

    Args:
        key: What the draws are for.
        seed: Seeds, below 2**56.
        ids: Numbers of passages or topics.
        total: Counters.

    Example:
        >>> bool(drawn(2, 0, [3, 4], 10)[1] == drawn(2, 0, 4, 10))
        True
    """
    counters = (np.asarray(values).astype(np.uint64) for values in (key, seed, ids, total))
    draws: NDArray[np.float64] = _normals(*counters)
    return draws
