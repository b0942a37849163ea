"""Relations between topics: cosines and links, for many pairs at once.

What the features of candidates are computed from. A graph of some thousand topics has few enough pairs to keep all,
which is what training on hundreds of thousands of clicks wants; one decision at a time is computed from embeddings and
links as it comes.
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


class TopicRelations:
    """Relations of topics by pairs.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; zeros for topics without text.
        keep_all: Whether to compute the relations of every pair once and keep them: 5 bytes a pair.

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

    def __init__(self, graph: TopicGraph, embeddings: FloatArray, *, keep_all: bool = False) -> None:
        self.graph = graph
        self.embeddings = embeddings
        self.mean_target = _mean_targets(graph, embeddings)
        self._cosines = (embeddings @ embeddings.T).astype(np.float16) if keep_all else None
        self._outlooks = (self.mean_target @ embeddings.T).astype(np.float16) if keep_all else None
        self._links = _dense(graph) if keep_all else None

    def cosine(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the cosines of pairs of topics, float32, in the shape the two broadcast to."""
        if self._cosines is not None:
            return self._cosines[left, right].astype(np.float32)
        return _dot(self.embeddings[left], self.embeddings[right])

    def outlook(self, page: IntArray, topic: IntArray) -> FloatArray:
        """Return the mean cosines of topics to the targets of pages, float32, in the shape the two broadcast to."""
        if self._outlooks is not None:
            return self._outlooks[page, topic].astype(np.float32)
        return _dot(self.mean_target[page], self.embeddings[topic])

    def linked(self, source: IntArray, target: IntArray) -> NDArray[np.bool_]:
        """Return whether pairs are links from `source` to `target`, bool, in the shape the two broadcast to."""
        if self._links is not None:
            return self._links[source, target]
        sources, targets = np.broadcast_arrays(source, target)
        found = self.graph.positions(sources.ravel(), targets.ravel()) >= 0
        return found.reshape(sources.shape)

    def common_neighbours(self) -> tuple[FloatArray, FloatArray]:
        """Return, for each link, the neighbours that its ends share.

        Returns:
            Their number, and their Adamic-Adar index (Adamic and Adar 2003): the sum of 1 / ln(degree) over them. Each
            float32 `[links]`.
        """
        joined, weights = self.graph.adjacency, 1.0 / np.log(np.maximum(self.graph.degree, 2))
        weighted = joined.multiply(weights[None, :].astype(np.float32)).tocsr()
        sources, targets = self.graph.links()
        shared = [np.empty(0, dtype=np.float32)], [np.empty(0, dtype=np.float32)]
        # Rows of links by the thousand: the whole product would be close to dense.
        for first in range(0, len(sources), _LINKS_AT_ONCE):
            rows = slice(first, first + _LINKS_AT_ONCE)
            ends = joined[sources[rows]], joined[targets[rows]]
            shared[0].append(ends[0].multiply(ends[1]).sum(axis=1))
            shared[1].append(ends[0].multiply(weighted[targets[rows]]).sum(axis=1))
        counts, indices = (np.concatenate(parts).astype(np.float32) for parts in shared)
        return counts, indices


@keep_recent(8)
def coherence(graph: TopicGraph, embeddings: FloatArray) -> NDArray[np.float64]:
    """Return how much more alike to its linked topics each topic is than to the ends of links at large.

    c(v) = the mean cosine of v and the topics linked with it, in either direction, less the mean cosine of v and all
    topics, each counted as often as it has links. It is 0 on average for a topic whose links are drawn at random, as
    modularity is (Newman 2006), and 0 for a topic without links. The answers for the last few graphs are kept.

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
    links = np.diff(starts)
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
    products: FloatArray = np.einsum("...d,...d->...", left, right)
    return products


def _mean_targets(graph: TopicGraph, embeddings: FloatArray) -> FloatArray:
    sources, targets = graph.links()
    shares = 1.0 / np.maximum(np.diff(graph.indptr), 1)[sources]
    by_target = sparse.csr_array((shares, targets, graph.indptr), shape=(len(graph), len(graph)))
    means: FloatArray = (by_target @ embeddings).astype(np.float32)
    return means


def _dense(graph: TopicGraph) -> NDArray[np.bool_]:
    sources, targets = graph.links()
    links = np.zeros((len(graph), len(graph)), dtype=bool)
    links[sources, targets] = True
    return links
