"""Random draws that depend on their arguments alone, as counter-based generators (Salmon et al. 2011).

Without a generator there is no state to copy or save, and draws do not depend on their order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike, NDArray

__all__ = ["drawn", "mixed", "normal"]

# Compiled when they are first called, always with uint64.
# SplitMix64's constants. All are uint64, since numba turns uint64 with a Python integer into float64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_KEY_BITS, _LOW = np.uint64(8), np.uint64(0xFFFFFFFF)


@njit(cache=True, nogil=True)
def mixed(bits):  # type: ignore[no-untyped-def]
    """Return 64 mixed bits, by SplitMix64's step and finaliser (Steele et al. 2014)."""
    bits = bits + _STEP
    bits = (bits ^ (bits >> _BY_30)) * _FIRST
    bits = (bits ^ (bits >> _BY_27)) * _SECOND
    return bits ^ (bits >> _BY_31)


@njit(cache=True, nogil=True)
def normal(key, seed, number, total):  # type: ignore[no-untyped-def]
    """Return one standard normal draw; see `drawn`."""
    # Each counter is mixed before the next is added: close seeds and ids give unrelated bits.
    bits = mixed(mixed(mixed((seed << _KEY_BITS) | key) ^ number) ^ total)
    # Two uniform numbers of 32 bits each, in the open interval (0, 1): their logarithm is finite.
    radius = (np.float64(bits >> _BY_32) + 0.5) * 2.0**-32
    angle = (np.float64(bits & _LOW) + 0.5) * 2.0**-32
    return math.sqrt(-2.0 * math.log(radius)) * math.cos(2.0 * math.pi * angle)


@vectorize(cache=True)  # type: ignore[no-untyped-call]
def _normals(key, seed, number, total):  # type: ignore[no-untyped-def]
    """`normal` for arrays, broadcast."""
    return normal(key, seed, number, total)


def drawn(key: int, seed: ArrayLike, ids: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Return standard normal draws that depend on the arguments alone, in the shape that these broadcast to.

    The arguments are mixed into 64 random bits by SplitMix64's finaliser. The transform of Box and Muller (1958) turns
    the bits into a normal draw.

    Args:
        key: Number of the draws' purpose, below 256; other purposes have other draws.
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
