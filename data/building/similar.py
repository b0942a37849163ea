"""Links to the most similar topics, where text names few others; and links that join the parts of a graph.

The rule: a topic that is linked with fewer than four others is linked to those that are nearest by embedding, until it
has four. Then each part of the graph that is cut off is joined to the rest at its nearest pair of topics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.data.building.hyperlinks import Ends
from kgrl.graph.rows import Rows, both_ways, compressed
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.faiss_retriever import FaissRetriever

__all__ = ["LEAST_LINKS", "joining_links", "nearest_links"]

LEAST_LINKS = 4
"""Topics that each topic is linked with at least."""
_BATCH = 4096
_LOOKED_AT = (16, 128, 1024)
"""Nearest topics among which one outside of a part is looked for, the next number if there is none among fewer."""


def nearest_links(embeddings: FloatArray, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Ends:
    """Return links from topics with few links to their nearest topics.

    Args:
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; zeros for a topic without text.
        sources: The topic that each link so far starts from.
        targets: The topic that it leads to.

    Example:
        >>> rows = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
        >>> [ends.tolist() for ends in nearest_links(rows, np.array([0, 0, 0]), np.array([1, 2, 3]))]
        [[1, 1, 2, 2, 3, 3], [3, 2, 3, 1, 2, 1]]
    """
    starts, linked = _neighbours(len(embeddings), sources, targets)
    few = np.flatnonzero((np.diff(starts) < LEAST_LINKS) & embeddings.any(axis=1))
    retriever = _retriever(embeddings)
    found_sources: list[int] = []
    found_targets: list[int] = []
    for first in range(0, len(few), _BATCH):
        rows = few[first : first + _BATCH]
        found = retriever.search(embeddings[rows], 2 * LEAST_LINKS)[0]
        for topic, near in zip(rows.tolist(), found.tolist(), strict=True):
            own = set(linked[starts[topic] : starts[topic + 1]].tolist()) | {topic, -1}
            wanted = LEAST_LINKS - int(starts[topic + 1] - starts[topic])
            fresh = [other for other in near if other not in own][:wanted]
            found_sources += [topic] * len(fresh)
            found_targets += fresh
    return np.array(found_sources, np.int32), np.array(found_targets, np.int32)


def joining_links(embeddings: FloatArray, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Ends:
    """Return links that join the parts of a graph that are cut off, as far as near topics of other parts are found.

    Args:
        embeddings: As for `nearest_links`.
        sources: The topic that each link so far starts from.
        targets: The topic that it leads to.

    Example:
        >>> rows = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)
        >>> [ends.tolist() for ends in joining_links(rows, np.array([0, 2]), np.array([1, 3]))]
        [[2], [1]]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    retriever = _retriever(embeddings)
    added: list[tuple[int, int]] = []
    while True:
        joins = np.array(added, np.int32).reshape(-1, 2)
        ends = np.concatenate([np.stack([sources, targets], axis=1).astype(np.int32), joins])
        shape = (len(embeddings), len(embeddings))
        parts = connected_components(coo_array((np.ones(len(ends)), ends.T), shape=shape), directed=False)[1]
        sizes = np.bincount(parts)
        cut_off = (parts != sizes.argmax()) & embeddings.any(axis=1)
        fresh = _nearest_outside(retriever, embeddings, parts, np.flatnonzero(cut_off))
        if not fresh:
            break
        added += fresh
    found = np.array(added, np.int32).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _nearest_outside(
    retriever: FaissRetriever, embeddings: FloatArray, parts: NDArray[np.int32], topics: NDArray[np.intp]
) -> list[tuple[int, int]]:
    """Return for each part of some topics its nearest pair of topics, the second outside of it."""
    best: dict[int, tuple[float, int, int]] = {}
    for looked_at in _LOOKED_AT:
        left = topics[~np.isin(parts[topics], list(best))]
        for first in range(0, len(left), _BATCH):
            rows = left[first : first + _BATCH]
            for topic, near, scores in zip(rows.tolist(), *retriever.search(embeddings[rows], looked_at), strict=True):
                outside = np.flatnonzero((near >= 0) & (parts[near] != parts[topic]))
                if len(outside):
                    at = outside[0]
                    found = (float(scores[at]), -topic, int(near[at]))
                    best[int(parts[topic])] = max(best.get(int(parts[topic]), found), found)
    return [(-topic, target) for _, topic, target in sorted(best.values(), reverse=True)]


def _retriever(embeddings: FloatArray) -> FaissRetriever:
    with_text = np.flatnonzero(embeddings.any(axis=1))
    return FaissRetriever(with_text, embeddings[with_text])


def _neighbours(n: int, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Rows:
    """Return the topics that each is linked with, in either direction, as rows."""
    return both_ways(compressed(n, sources, targets))
