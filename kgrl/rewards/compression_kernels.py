"""Kernels of compression progress: the rate-distortion curve of a network by growing one cluster."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["rise"]


@njit(cache=True, nogil=True)
def _term(weight):
    """Return x log2 x. S is the sum of such terms of clusters' degrees minus those of the links between clusters."""
    return weight * np.log2(weight) if weight > 0 else 0.0


@njit(cache=True, nogil=True)
def _rows(n, sources, targets):
    """Return both directions of links as compressed sparse rows."""
    # A counting sort: the degrees, their running sum, then each link into its two rows.
    starts, ends = np.zeros(n + 1, np.int64), np.empty(2 * len(sources), np.int32)
    for link in range(len(sources)):
        starts[sources[link] + 1] += 1
        starts[targets[link] + 1] += 1
    starts = np.cumsum(starts)
    at = starts.copy()
    for link in range(len(sources)):
        a, b = sources[link], targets[link]
        ends[at[a]], ends[at[b]] = b, a
        at[a] += 1
        at[b] += 1
    return starts, ends


@njit(cache=True, nogil=True)
def _next(waiting, count, inside, starts, by_share):
    """Return the position in `waiting` of the vertex with most links into the cluster, or the largest share of them.

    Ties go to the highest degree, then to the lowest number.
    """
    best, most, degree = 0, -1.0, -1
    for at in range(count):
        v = waiting[at]
        own = starts[v + 1] - starts[v]
        links = inside[v] / max(own, 1) if by_share else float(inside[v])
        if links < most:
            continue
        if links > most or own > degree or (own == degree and v < waiting[best]):
            best, most, degree = at, links, own
    return best


@njit(cache=True, nogil=True)
def _curve(starts, ends, by_share, curve):
    """Lower the rate-distortion curve `[n]`, in bits times twice the links, to that of one growing cluster.

    Entry n - 1 belongs to n clusters: the growing one, and each remaining vertex alone.
    """
    n = len(curve)
    inside, absorbed = np.zeros(n, np.int64), np.zeros(n, np.bool_)  # inside: links of each vertex into the cluster
    waiting = np.arange(n)
    rate, own, degree = 0.0, 0, 0  # own: twice the links within the cluster
    for v in range(n):
        rate += _term(starts[v + 1] - starts[v])
    for left in range(n, 0, -1):
        at = _next(waiting, left, inside, starts, by_share)
        v = waiting[at]
        waiting[at] = waiting[left - 1]
        links, more = inside[v], starts[v + 1] - starts[v]
        # The rate changes by the terms of the cluster's degree, its own links, and its links with each neighbour.
        rate += _term(degree + more) - _term(degree) - _term(more)
        rate -= _term(own + 2 * links) - _term(own) - 2 * _term(links)
        absorbed[v] = True
        for slot in range(starts[v], starts[v + 1]):
            other = ends[slot]
            if not absorbed[other]:
                rate -= 2 * (_term(inside[other] + 1) - _term(inside[other]))
                inside[other] += 1
        own, degree = own + 2 * links, degree + more
        curve[left - 1] = min(curve[left - 1], rate)  # the cluster and the left - 1 others


@njit(cache=True, nogil=True)
def rise(n, sources, targets):
    """Return C for at least one link; see `compressibility`."""
    starts, ends = _rows(n, sources, targets)
    curve = np.full(n, np.inf)
    _curve(starts, ends, False, curve)
    _curve(starts, ends, True, curve)
    return (curve[-1] - curve.mean()) / (2 * len(sources))
