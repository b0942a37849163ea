"""Random draws that depend on nothing but counters: no generator, so no state to copy, save or get out of step."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["drawn"]

_KEY_BITS = np.uint64(8)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)


def drawn(key: int, seed: ArrayLike, ids: ArrayLike, total: ArrayLike) -> NDArray[np.float64]:
    """Return standard normal draws that depend on nothing but the arguments, in the shape that those broadcast to.

    The arguments are mixed into 64 random bits by SplitMix64's finaliser (Steele et al. 2014), and those turned into a
    normal draw by the transform of Box and Muller (1958).

    Args:
        key: What the draws are for.
        seed: Seeds, below 2**56.
        ids: Numbers of passages or topics.
        total: Counters.

    Example:
        >>> bool(drawn(2, 0, [3, 4], 10)[1] == drawn(2, 0, 4, 10))
        True
    """
    # At least one dimension: arrays wrap around in silence, single numbers warn.
    bits = _mixed(np.atleast_1d(seed).astype(np.uint64) << _KEY_BITS | np.uint64(key))
    bits = _mixed(bits ^ np.asarray(ids).astype(np.uint64))
    bits = _mixed(bits ^ np.asarray(total).astype(np.uint64))
    radius, angle = ((half.astype(np.float64) + 0.5) * 2.0**-32 for half in (bits >> _HALF, bits & _LOW))
    draws: NDArray[np.float64] = np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)
    return draws.reshape(np.broadcast_shapes(np.shape(seed), np.shape(ids), np.shape(total)))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's step and finaliser."""
    bits = bits + _STEP
    for shift, factor in _MIXERS:
        bits = (bits ^ (bits >> shift)) * factor
    return bits ^ (bits >> _LAST_SHIFT)
