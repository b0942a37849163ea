"""Compressed sparse rows of links: construction, both directions joined, and the walk when a topic becomes solid.

All functions work on plain arrays and take memory and time in proportion to the number of links, also
for 200 million links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.system.seldom import SeldomCalled

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["Rows", "both_ways", "compressed", "discover"]

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
    from scipy import sparse  # here, since graphs that are opened have their rows

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
    from scipy import sparse

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


@SeldomCalled
def discover(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    topic: int,
    links: NDArray[np.int32],
    solid: NDArray[np.bool_],
    found: NDArray[np.int32],
    count: int,
) -> int:
    """Count a newly solid topic's links, and append its neighbours that had no solid neighbour before.

    Args:
        indptr: Starts of undirected rows, read-only, as those of an opened graph are: numba compiles for each type.
        indices: Neighbours, read-only.
        topic: The topic.
        links: Number of solid neighbours of each topic `[topics]`; changed in place.
        solid: Whether each topic is solid `[topics]`.
        found: Topics found; changed in place from `count` on, and long enough for all neighbours.
        count: Number of topics found before.

    Returns:
        Number of topics found now and before.
    """
    for at in range(indptr[topic], indptr[topic + 1]):
        near = indices[at]
        links[near] += 1
        # A topic seen for the first time has exactly one link with the solid topics.
        if links[near] == 1 and not solid[near]:
            found[count] = near
            count += 1
    return count
