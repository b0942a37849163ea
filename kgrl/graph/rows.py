"""Compressed sparse rows of links: construction, both directions joined, and the walk when a topic is learned.

All functions work on plain arrays and take memory and time in proportion to the number of links, also
for 200 million links.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

__all__ = ["Rows", "both_ways", "common_neighbours", "compressed", "discover", "mean_targets", "ranks_in_rows"]

Rows = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Row starts, int64 `[topics + 1]`, and the rows' topics end to end, int32 `[links]`, ascending within a row."""


def compressed(n: int, sources: ArrayLike, targets: ArrayLike) -> Rows:
    """Return links as rows, without repeats and self-links.

    With int32 end points the peak memory is about 10 bytes a link beside them, twice as much if there are self-links.

    Args:
        n: Number of topics.
        sources: Numbers of the topics that links start from, shape `[links]`.
        targets: Numbers of the topics that links lead to, shape `[links]`.

    Raises:
        ValueError: If an end point is not a topic.

    Example:
        >>> [part.tolist() for part in compressed(3, [2, 0, 0, 1], [0, 2, 2, 1])]
        [[0, 1, 1, 2], [2, 0]]
    """
    from_, to = _ends(n, sources), _ends(n, targets)
    if (itself := from_ == to).any():
        from_, to = from_[~itself], to[~itself]
    # A counting sort by row, then a sort within each row; sorting keys of both ends would take an int64 for each link.
    return _rows(sparse.coo_array((np.ones(len(from_), dtype=bool), (from_, to)), shape=(n, n)).tocsr())


def both_ways(rows: Rows) -> Rows:
    """Return rows that hold each topic's neighbours in either direction once; peak memory is about 20 bytes a link.

    Args:
        rows: Directed rows.

    Example:
        >>> [part.tolist() for part in both_ways(compressed(3, [2, 0, 0], [0, 2, 1]))]
        [[0, 2, 3, 4], [1, 2, 0, 0]]
    """
    indptr, indices = rows
    n = len(indptr) - 1
    out = sparse.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=(n, n))
    return _rows(out + out.T.tocsr())


def _ends(n: int, topics: ArrayLike) -> NDArray[np.int32]:
    ends = np.asarray(topics)
    if len(ends) and (ends.min() < 0 or ends.max() >= n):
        raise ValueError(f"a link end point is outside the {n} topics")
    return ends.astype(np.int32, copy=False)


def _rows(matrix: sparse.csr_array) -> Rows:
    matrix.sum_duplicates()  # which sorts the rows, too
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False)


@numba.njit(cache=True)
def discover(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    topic: int,
    links: NDArray[np.int32],
    learned: NDArray[np.bool_],
    found: NDArray[np.int32],
    count: int,
) -> int:
    """Count a newly learned topic's links, and append its neighbours that had no learned neighbour before.

    Args:
        indptr: Starts of undirected rows, read-only, as those of an opened graph are: numba compiles for each type.
        indices: Neighbours, read-only.
        topic: The topic learned.
        links: Number of learned neighbours of each topic `[topics]`; changed in place.
        learned: Whether each topic is learned `[topics]`.
        found: Topics found; changed in place from `count` on, and long enough for all neighbours.
        count: Number of topics found before.

    Returns:
        Number of topics found now and before.
    """
    for at in range(indptr[topic], indptr[topic + 1]):
        near = indices[at]
        links[near] += 1
        # A topic seen for the first time has exactly one link with the learned set.
        if links[near] == 1 and not learned[near]:
            found[count] = near
            count += 1
    return count


# Those that follow are called with read-only arrays, so that each is compiled for one type.
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
