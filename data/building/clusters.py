"""Clusters of embeddings by k-means on cosines: the same for the same embeddings, in memory that does not grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.retrieval.base import FloatArray

__all__ = ["cluster_centres", "nearest_centres"]

_ROUNDS = 20
_SAMPLE = 50_000
"""Embeddings that centres are fitted to."""
_BATCH = 8192


def cluster_centres(embeddings: FloatArray, n: int) -> FloatArray:
    """Return the centres of clusters, about unit length, float32 `[n, dimensions]`.

    Args:
        embeddings: Unit embeddings, float32 `[rows, dimensions]`.
        n: Number of clusters, at most the number of rows and 50,000.

    Example:
        >>> rows = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
        >>> nearest_centres(rows, cluster_centres(rows, 2)).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
        True
    """
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    sample = embeddings[np.sort(rng.choice(len(embeddings), min(_SAMPLE, len(embeddings)), replace=False))]
    centres: FloatArray = sample[np.sort(rng.choice(len(sample), n, replace=False))].copy()
    for _ in range(_ROUNDS):
        nearest = nearest_centres(sample, centres)
        # A sparse product sums the members of each cluster without a second copy of the sample.
        entries = np.ones(len(sample), dtype=np.float32), (nearest, np.arange(len(sample)))
        sums = csr_array(entries, shape=(n, len(sample))) @ sample
        used = np.unique(nearest)
        centres[used] = sums[used] / np.maximum(np.linalg.norm(sums[used], axis=1, keepdims=True), 1e-9)
    return centres


def nearest_centres(embeddings: FloatArray, centres: FloatArray) -> NDArray[np.int32]:
    """Return the centre that each embedding is nearest to, int32 `[rows]`."""
    parts = [
        (embeddings[first : first + _BATCH] @ centres.T).argmax(axis=1).astype(np.int32)
        for first in range(0, len(embeddings), _BATCH)
    ]
    return np.concatenate([np.empty(0, dtype=np.int32), *parts])
