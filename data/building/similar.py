"""Links to the most similar topics, where text names few others; and links that join the parts of a graph.

The rule: a topic that is linked with fewer than four others is linked to those that are nearest by embedding, until it
has four. Then each part of the graph that is cut off is joined to the rest at its nearest pair of topics.
"""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray

from kgrl.data.building.hyperlinks import Ends
from kgrl.data.building.near import NearTopics
from kgrl.graph.rows import Rows, both_ways, compressed

__all__ = ["LEAST_LINKS", "joining_links", "nearest_links"]

LEAST_LINKS = 4
"""Topics that each topic is linked with at least."""
_LOOKED_AT = (16, 128, 1024)
"""Nearest topics among which one outside of a part is looked for, the next number if there is none among fewer."""


def nearest_links(near: NearTopics, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Ends:
    """Return links from topics with few links to their nearest topics.

    Args:
        near: All topics, by similarity.
        sources: The topic that each link so far starts from.
        targets: The topic that it leads to.

    Example:
        >>> from pathlib import Path
        >>> near = NearTopics(np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], Path("."))
        >>> [ends.tolist() for ends in nearest_links(near, np.array([0, 0, 0]), np.array([1, 2, 3]))]
        [[1, 1, 2, 2, 3, 3], [3, 2, 3, 1, 2, 1]]
    """
    starts, linked = _neighbours(len(near), sources, targets)
    few = np.flatnonzero((np.diff(starts) < LEAST_LINKS) & near.has_text)
    found_sources, found_targets = array.array("i"), array.array("i")
    for rows, found, _ in near.search(few, 2 * LEAST_LINKS):
        for topic, others in zip(rows.tolist(), found.tolist(), strict=True):
            own = set(linked[starts[topic] : starts[topic + 1]].tolist()) | {topic, -1}
            wanted = LEAST_LINKS - int(starts[topic + 1] - starts[topic])
            fresh = [other for other in others if other not in own][:wanted]
            found_sources.extend([topic] * len(fresh))
            found_targets.extend(fresh)
    return np.array(found_sources, np.int32), np.array(found_targets, np.int32)


def joining_links(near: NearTopics, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Ends:
    """Return links that join the parts of a graph that are cut off, as far as near topics of other parts are found.

    Args:
        near: All topics, by similarity.
        sources: The topic that each link so far starts from.
        targets: The topic that it leads to.

    Example:
        >>> rows = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)
        >>> from pathlib import Path
        >>> near = NearTopics(rows, Path("."))
        >>> [ends.tolist() for ends in joining_links(near, np.array([0, 2]), np.array([1, 3]))]
        [[2], [1]]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    added: list[tuple[int, int]] = []
    while True:
        joins = np.array(added, np.int32).reshape(-1, 2)
        ends = np.concatenate([np.stack([sources, targets], axis=1).astype(np.int32), joins])
        shape = (len(near), len(near))
        joined = coo_array((np.ones(len(ends), dtype=bool), ends.T), shape=shape)
        parts = connected_components(joined, directed=False)[1]
        sizes = np.bincount(parts)
        cut_off = (parts != sizes.argmax()) & near.has_text
        fresh = _nearest_outside(near, parts, np.flatnonzero(cut_off))
        if not fresh:
            break
        added += fresh
    found = np.array(added, np.int32).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _nearest_outside(near: NearTopics, parts: NDArray[np.int32], topics: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return for each part of some topics its nearest pair of topics, the second outside of it."""
    best: dict[int, tuple[float, int, int]] = {}
    for looked_at in _LOOKED_AT:
        left = topics[~np.isin(parts[topics], list(best))]
        for rows, others, scores in near.search(left, looked_at):
            outside = (others >= 0) & (parts[others] != parts[rows][:, None])
            for at in np.flatnonzero(outside.any(axis=1)).tolist():
                topic, place = int(rows[at]), int(outside[at].argmax())
                found = (float(scores[at, place]), -topic, int(others[at, place]))
                best[int(parts[topic])] = max(best.get(int(parts[topic]), found), found)
    return [(-topic, target) for _, topic, target in sorted(best.values(), reverse=True)]


def _neighbours(n: int, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> Rows:
    """Return the topics that each is linked with, in either direction, as rows."""
    return both_ways(compressed(n, sources, targets))
