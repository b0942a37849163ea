"""Kernels on rows of links: shared neighbours, mean vectors and ranks, for features of all links of a graph."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from kgrl.graph.rows import Rows

__all__ = ["common_neighbours", "mean_targets", "ranks_in_rows"]

# All are called with read-only arrays, so that each is compiled for one type.
_MUCH_LONGER = 16
"""How many times as long a row is from which on its topics are searched for, not gone through."""


@numba.njit(cache=True, nogil=True)
def common_neighbours(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], sources: NDArray[np.int32], targets: NDArray[np.int32]
) -> Rows:
    """Return the neighbours that pairs of topics share, as rows, one for each pair.

    Args:
        indptr: Starts of undirected rows.
        indices: Neighbours, ascending in each row.
        sources: One topic of each pair, int32 `[pairs]`.
        targets: The other.
    """
    most, starts = 0, np.zeros(len(sources) + 1, dtype=np.int64)
    for pair in range(len(sources)):
        one, other = sources[pair], targets[pair]
        most += min(indptr[one + 1] - indptr[one], indptr[other + 1] - indptr[other])
    shared, count = np.empty(most, dtype=np.int32), 0
    for pair in range(len(sources)):
        short, long = sources[pair], targets[pair]
        if indptr[short + 1] - indptr[short] > indptr[long + 1] - indptr[long]:
            short, long = long, short
        at, end, other, last = indptr[short], indptr[short + 1], indptr[long], indptr[long + 1]
        search = last - other > _MUCH_LONGER * (end - at)
        while at < end and other < last:
            if search:
                other += np.searchsorted(indices[other:last], indices[at])
                if other == last:
                    break
            if indices[at] == indices[other]:
                shared[count] = indices[at]
                count, at, other = count + 1, at + 1, other + 1
            elif indices[at] < indices[other]:
                at += 1
            else:
                other += 1
        starts[pair + 1] = count
    return starts, shared[:count]


@numba.njit(cache=True, nogil=True)
def mean_targets(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean vector of each row's topics, float32 `[topics, dimensions]`; zeros for empty rows.

    Args:
        indptr: Starts of rows.
        indices: Their topics.
        vectors: A vector for each topic, `[topics, dimensions]`.
    """
    dimensions = vectors.shape[1]
    means, total = np.empty(vectors.shape, dtype=np.float32), np.zeros(dimensions)
    for row in range(len(indptr) - 1):
        share = 1.0 / max(indptr[row + 1] - indptr[row], 1)
        for at in range(indptr[row], indptr[row + 1]):
            topic = indices[at]
            for dimension in range(dimensions):
                total[dimension] += share * np.float64(vectors[topic, dimension])
        for dimension in range(dimensions):
            means[row, dimension] = total[dimension]
            total[dimension] = 0.0
    return means


@numba.njit(cache=True, nogil=True)
def ranks_in_rows(indptr: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rank of each value in its row, 0 for the largest; of equal ones the first is the lower.

    It takes time by the square of a row's length.

    Args:
        indptr: Starts of rows.
        values: The values, one row after the other.
    """
    ranks = np.zeros(len(values), dtype=np.int64)
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            rank = 0
            for other in range(indptr[row], at):
                rank += values[other] >= values[at]
            for other in range(at + 1, indptr[row + 1]):
                rank += values[other] > values[at]
            ranks[at] = rank
    return ranks
