"""Routing: which neighbourhood a topic is nearest to.

Topics are embedded by their train passages alone, so that no held-out text has a say in which adapter measures it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["centroids", "nearest_centroid"]


def centroids(embeddings: NDArray[np.float32], partition: IntArray) -> NDArray[np.float32]:
    """Return the mean embedding of each neighbourhood's topics.

    Args:
        embeddings: Topic embeddings, `[topics, dimensions]`.
        partition: The neighbourhood of each topic from 0, `[topics]`; -1 for topics of none.

    Returns:
        Means, float32 of shape `[neighbourhoods, dimensions]`.

    Raises:
        ValueError: If a neighbourhood has no topics.

    Example:
        >>> centroids(np.eye(3, dtype=np.float32), np.array([0, 0, 1])).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    counts = np.bincount(partition[partition >= 0])
    if not counts.all():
        raise ValueError(f"neighbourhood {int(counts.argmin())} has no topics")
    sums = np.zeros((len(counts), embeddings.shape[1]), dtype=np.float64)
    np.add.at(sums, partition[partition >= 0], embeddings[partition >= 0])
    return (sums / counts[:, None]).astype(np.float32)


def nearest_centroid(embeddings: NDArray[np.float32], centroids: NDArray[np.float32]) -> IntArray:
    """Route by the nearest neighbourhood: the centroid of the largest cosine.

    A passage is routed by the embedding of its topic, `nearest_centroid(embeddings[passages.topics], centroids)`.
    Topics are embedded by their train passages alone, so that no held-out text has a say in which adapter measures it.

    Args:
        embeddings: The embeddings of the passages' topics, `[n, dimensions]`.
        centroids: Those of the neighbourhoods, `[neighbourhoods, dimensions]`.

    Returns:
        The number of a neighbourhood for each row, int32 of shape `[n]`; the first of equally near ones.

    Example:
        >>> nearest_centroid(np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.1, 0.1]])).tolist()
        [0, 1]
    """
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    # The length of an embedding does not change which centroid is nearest to it.
    cosines = embeddings @ (centroids / np.maximum(lengths, np.finfo(np.float32).tiny)).T
    routes: IntArray = cosines.argmax(axis=1).astype(np.int32)
    return routes
