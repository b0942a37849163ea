"""Relations between topics: cosines, links and coherence, for many pairs at once.

Features of links and topics are made from these relations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.memo import keep_recent, read_only

__all__ = ["TopicRelations", "coherence", "pair_cosines"]

FloatArray = NDArray[np.float32]

_LINKS_AT_ONCE, _ROWS_AT_ONCE = 4096, 65_536
"""Pairs of vectors, and rows of arrays, that are worked on at a time, which bounds the memory."""


class TopicRelations:
    """Relations of pairs of topics.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; zeros for topics without text.

    Attributes:
        mean_target: Mean embedding of the topics that each topic links to, float32 `[topics, dimensions]`.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2])
        >>> relations = TopicRelations(graph, np.eye(3, dtype=np.float32))
        >>> relations.linked(np.array([0, 1]), np.array([1, 0])).tolist()
        [True, False]
        >>> relations.cosine(np.array([0, 1]), np.array([0, 0])).tolist()
        [1.0, 0.0]
    """

    def __init__(self, graph: TopicGraph, embeddings: FloatArray) -> None:
        from kgrl.graph.row_kernels import mean_targets  # here, since cosines of pairs need no kernels

        self.graph = graph
        self.embeddings = embeddings
        rows = read_only(graph.indptr), read_only(graph.indices)
        self.mean_target: FloatArray = mean_targets(*rows, read_only(np.asarray(embeddings)))

    def cosine(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the cosines of pairs of topics, float32, in the shape the two broadcast to."""
        return _dot(self.embeddings[left], self.embeddings[right])

    def link_cosines(self) -> FloatArray:
        """Return the cosine of the ends of each link, float32 `[links]`."""
        return pair_cosines(self.embeddings, *self.graph.links())

    def linked(self, source: IntArray, target: IntArray) -> NDArray[np.bool_]:
        """Return whether pairs are links from `source` to `target`, bool, in the shape the two broadcast to."""
        sources, targets = np.broadcast_arrays(source, target)
        found = self.graph.positions(sources.ravel(), targets.ravel()) >= 0
        return found.reshape(sources.shape)

    def mutual(self) -> NDArray[np.bool_]:
        """Return whether each link's target links back, bool `[links]`."""
        sources, targets = self.graph.links()
        parts = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(sources), _ROWS_AT_ONCE)]
        none = np.empty(0, dtype=bool)
        return np.concatenate([none, *(self.linked(targets[part], sources[part]) for part in parts)])

    def common_neighbours(self) -> tuple[FloatArray, FloatArray]:
        """Count, for each link, the neighbours that its ends share.

        Returns:
            Their number, and their Adamic-Adar index (Adamic and Adar 2003): the sum of 1 / ln(degree) over them. Both
            float32 `[links]`.
        """
        from kgrl.graph.row_kernels import common_neighbours

        # Degrees below 2 do not occur among shared neighbours; 2 keeps the logarithm above 0.
        weights = (1.0 / np.log(np.maximum(self.graph.degree, 2))).astype(np.float32)
        sources, targets = self.graph.links()
        counts, indices = np.empty(len(sources), dtype=np.float32), np.zeros(len(sources), dtype=np.float32)
        for first in range(0, len(sources), _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            ends = sources[part], targets[part]
            starts, shared = common_neighbours(*(read_only(array) for array in (*self.graph.undirected, *ends)))
            counts[part] = found = np.diff(starts)
            indices[part][found > 0] = np.add.reduceat(weights[shared], starts[:-1][found > 0]) if len(shared) else 0.0
        return counts, indices


@keep_recent(8)
def coherence(graph: TopicGraph, embeddings: FloatArray) -> NDArray[np.float64]:
    """Return the coherence of each topic: its similarity to linked topics, compared with the ends of links at large.

    c(v) is the mean cosine of v and the topics linked with it, in either direction, minus the mean cosine of v and all
    topics, each weighted by its number of links. Like modularity (Newman 2006), it is 0 on average for a topic whose
    links are drawn at random. It is 0 for a topic without links. The results for the last few graphs are kept.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.

    Returns:
        Differences of cosines, shape `[topics]`, read-only.

    Example:
        >>> pairs = TopicGraph.from_links(["Cat", "Dog", "Sum", "Product"], [0, 2], [1, 3])
        >>> coherence(pairs, np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    starts, targets = graph.undirected
    links = np.diff(starts)  # of each topic
    sources = np.repeat(np.arange(len(graph)), links)
    cosines = pair_cosines(embeddings, sources, targets)
    observed = np.bincount(sources, cosines, len(graph)) / np.maximum(links, 1)
    parts = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(graph), _ROWS_AT_ONCE)]
    ends = sum((links[part] @ embeddings[part] for part in parts), np.zeros(embeddings.shape[1]))
    mean = ends / max(1, len(targets))
    expected = np.concatenate([embeddings[part] @ mean for part in parts] or [np.empty(0)])
    differences = np.where(links > 0, observed - expected, 0.0)
    differences.flags.writeable = False
    return differences


def pair_cosines(embeddings: FloatArray, left: NDArray[np.integer], right: NDArray[np.integer]) -> FloatArray:
    """Return the cosines of many pairs of topics, float32 `[pairs]`; memory is bounded.

    Args:
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        left: One topic of each pair.
        right: The other.
    """
    cosines = np.empty(len(left), dtype=np.float32)
    for first in range(0, len(left), _LINKS_AT_ONCE):
        pairs = slice(first, first + _LINKS_AT_ONCE)
        cosines[pairs] = _dot(embeddings[left[pairs]], embeddings[right[pairs]])
    return cosines


def _dot(left: FloatArray, right: FloatArray) -> FloatArray:
    """The products of vectors along the last axis, the others broadcast."""
    products: FloatArray = np.einsum("...d,...d->...", left, right)
    return products
