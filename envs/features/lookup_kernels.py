"""Looking up cosines, links and counts, compiled."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from kgrl.envs.features.arrays import QUANTUM

__all__ = ["cosines_to", "dot", "link_position", "look_up", "outlooks_from"]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def dot(left, right):
    """The product of two vectors."""
    total = np.float32(0)
    for at in range(len(left)):
        total += left[at] * right[at]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def look_up(keys, values, wanted):
    """The value of a key, among ascending ones; 0 where it is not there."""
    at = np.searchsorted(keys, wanted)
    return values[at] if at < len(keys) and keys[at] == wanted else np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
def link_position(starts, targets, source, target):
    """Where a link is, -1 where there is none."""
    row = targets[starts[source] : starts[source + 1]]
    at = np.searchsorted(row, target)
    return starts[source] + at if at < len(row) and row[at] == target else -1


@njit(cache=True, nogil=True, error_model="numpy")
def cosines_to(tables, page, slots, n, out):
    """Write the cosines of a page to the topics of the filled slots."""
    if len(tables.cosines):
        for slot in range(n):
            out[slot] = tables.cosines[page, slots[slot]] * QUANTUM
    else:
        for slot in range(n):
            out[slot] = dot(tables.embeddings[page], tables.embeddings[slots[slot]])


@njit(cache=True, nogil=True, error_model="numpy")
def outlooks_from(tables, page, slots, n, out):
    """Write the mean cosines of a page's targets to the topics of the filled slots."""
    if len(tables.outlooks):
        for slot in range(n):
            out[slot] = tables.outlooks[page, slots[slot]] * QUANTUM
    else:
        for slot in range(n):
            out[slot] = dot(tables.mean_targets[page], tables.embeddings[slots[slot]])
