"""Relations between topics: cosines, links and coherence, for many pairs at once.

Features of links and topics are made from these relations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.memo import keep_recent

__all__ = ["TopicRelations", "coherence"]

FloatArray = NDArray[np.float32]

_LINKS_AT_ONCE = 4096
"""Links that are worked on at a time, which bounds the memory."""


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
        self.graph = graph
        self.embeddings = embeddings
        # One over the number of a topic's links, so that the product with the embeddings gives means.
        sources, targets = graph.links()
        shares = 1.0 / np.maximum(np.diff(graph.indptr), 1)[sources]
        by_target = sparse.csr_array((shares, targets, graph.indptr), shape=(len(graph), len(graph)))
        self.mean_target: FloatArray = (by_target @ embeddings).astype(np.float32)

    def cosine(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the cosines of pairs of topics, float32, in the shape the two broadcast to."""
        return _dot(self.embeddings[left], self.embeddings[right])

    def linked(self, source: IntArray, target: IntArray) -> NDArray[np.bool_]:
        """Return whether pairs are links from `source` to `target`, bool, in the shape the two broadcast to."""
        sources, targets = np.broadcast_arrays(source, target)
        found = self.graph.positions(sources.ravel(), targets.ravel()) >= 0
        return found.reshape(sources.shape)

    def common_neighbours(self) -> tuple[FloatArray, FloatArray]:
        """Count, for each link, the neighbours that its ends share.

        Returns:
            Their number, and their Adamic-Adar index (Adamic and Adar 2003): the sum of 1 / ln(degree) over them. Both
            float32 `[links]`.
        """
        # Degrees below 2 do not occur among shared neighbours; 2 keeps the logarithm above 0.
        joined, weights = self.graph.adjacency, 1.0 / np.log(np.maximum(self.graph.degree, 2))
        weighted = joined.multiply(weights[None, :].astype(np.float32)).tocsr()
        sources, targets = self.graph.links()
        shared = [np.empty(0, dtype=np.float32)], [np.empty(0, dtype=np.float32)]
        # Some thousand links at a time: the whole product would be close to dense.
        for first in range(0, len(sources), _LINKS_AT_ONCE):
            rows = slice(first, first + _LINKS_AT_ONCE)
            ends = joined[sources[rows]], joined[targets[rows]]
            shared[0].append(ends[0].multiply(ends[1]).sum(axis=1))
            shared[1].append(ends[0].multiply(weighted[targets[rows]]).sum(axis=1))
        counts, indices = (np.concatenate(parts).astype(np.float32) for parts in shared)
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
    cosines = np.empty(len(targets), dtype=np.float64)
    for first in range(0, len(targets), _LINKS_AT_ONCE):
        rows = slice(first, first + _LINKS_AT_ONCE)
        cosines[rows] = _dot(embeddings[sources[rows]], embeddings[targets[rows]])
    observed = np.bincount(sources, cosines, len(graph)) / np.maximum(links, 1)
    expected = embeddings @ (links @ embeddings / max(1, len(targets)))
    differences = np.where(links > 0, observed - expected, 0.0)
    differences.flags.writeable = False
    return differences


def _dot(left: FloatArray, right: FloatArray) -> FloatArray:
    """The products of vectors along the last axis, the others broadcast."""
    products: FloatArray = np.einsum("...d,...d->...", left, right)
    return products
