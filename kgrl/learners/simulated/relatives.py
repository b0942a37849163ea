"""Relatives of topics: the topics that learning one teaches too, by links and by similarity, with weights.

They are kept as rows, so that the time to go through a topic's relatives does not depend on the number of topics.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrl.corpus import Corpus
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.learners.simulated.kernels import RelatedTopics
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, Encoder, as_encoder
from kgrl.system.cache import cached_arrays
from kgrl.system.files import cache_dir, content_key
from kgrl.system.memo import keep_recent, read_only

__all__ = ["Relatives", "nearest_topics"]

FloatArray = NDArray[np.float32]

NEAREST = 16
"""Number of similar topics of a topic."""
THRESHOLD = 0.3
"""The cosine above which topics are similar: two random topics of an encyclopaedia have about 0.1."""
_ROWS_AT_ONCE = 1024
"""Rows of the cosine matrix that are computed at once; bounds the memory."""


class Relatives:
    """Topics taught by each topic's text, and their weights.

    Args:
        graph: The topic graph.
        nearest: The topics nearest to each topic by embedding, itself left out, int32 `[topics, k]`.
        cosines: Their cosines, float32 `[topics, k]`.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2])
        >>> relatives = Relatives(graph, *nearest_topics(np.ones((3, 1), dtype=np.float32), k=1))
        >>> relatives.link_matrix.toarray().round(2)[0].tolist()
        [0.0, 0.71, 0.0]
        >>> relatives.related.similarity.round(2)[0].tolist()
        [0.7]
    """

    def __init__(self, graph: TopicGraph, nearest: IntArray, cosines: FloatArray) -> None:
        self.graph = graph
        self._nearest = nearest
        self._similarity = np.maximum(cosines - np.float32(THRESHOLD), np.float32(0))
        self._root = 1.0 / np.sqrt(np.maximum(graph.degree, 1))

    @classmethod
    def of(
        cls, corpus: Corpus, embeddings: FloatArray | None = None, encoder: AnyEncoder = DEFAULT_ENCODER
    ) -> Relatives:
        """Find the relatives of a corpus's topics.

        Args:
            corpus: The corpus.
            embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; those of the encoder if None, whose
                nearest topics are kept in kgrl's cache folder.
            encoder: An encoder, or the name or folder of one.
        """
        if embeddings is None:
            return _kept_relatives(corpus, as_encoder(encoder))
        return cls(corpus.graph, *nearest_topics(embeddings))

    @cached_property
    def related(self) -> RelatedTopics:
        """Both matrices as the rows that simulated lessons read."""
        similarity = self._similarity.astype(np.float64)
        arrays = *self.graph.undirected, self._root, self._nearest, similarity
        return RelatedTopics(*(read_only(array) for array in arrays))

    @cached_property
    def link_matrix(self) -> sparse.csr_array:
        """The matrix W of the equations, float64 of shape `[topics, topics]`."""
        root = sparse.diags_array(self._root)
        return (root @ self.graph.adjacency @ root).tocsr()

    @cached_property
    def similarity_matrix(self) -> sparse.csr_array:
        """The matrix S of the equations, float32 of shape `[topics, topics]`; a row for each topic that teaches."""
        topics, k = self._nearest.shape
        starts = np.arange(topics + 1) * k
        return sparse.csr_array((self._similarity.ravel(), self._nearest.ravel(), starts), shape=(topics, topics))


def nearest_topics(embeddings: FloatArray, k: int = NEAREST) -> tuple[IntArray, FloatArray]:
    """Return the k topics nearest to each by cosine, itself left out.

    Args:
        embeddings: Unit vectors, float32 `[topics, dimensions]`; zeros for topics without text.
        k: Number of nearest topics; all others if they are fewer.

    Returns:
        Topics, int32 `[topics, k]`, nearest first, and their cosines, float32 `[topics, k]`.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    nearest, cosines = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
    for first in range(0, n, _ROWS_AT_ONCE):
        rows = np.arange(first, min(first + _ROWS_AT_ONCE, n))
        products = embeddings[rows] @ embeddings.T
        products[np.arange(len(rows)), rows] = -np.inf  # a topic is not its own relative
        best = np.argpartition(-products, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(products, best, axis=1), axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(best, order, axis=1)
        cosines[rows] = np.take_along_axis(products, nearest[rows], axis=1)
    return nearest, cosines


@keep_recent(2)  # simulated learners of one corpus share them
def _kept_relatives(corpus: Corpus, encoder: Encoder) -> Relatives:
    """The relatives of a corpus's topics by an encoder."""
    return Relatives(corpus.graph, *_cached_nearest(corpus, encoder))


def _cached_nearest(corpus: Corpus, encoder: Encoder) -> tuple[IntArray, FloatArray]:
    """The nearest topics by an encoder, from kgrl's cache folder if they were found before.

    Then no text is encoded.
    """
    key = content_key(corpus.fingerprint, encoder.fingerprint, str(NEAREST))

    def make() -> tuple[IntArray, FloatArray]:
        """Find the nearest topics."""
        from kgrl.retrieval.corpus_index import embed_corpus

        return nearest_topics(np.asarray(embed_corpus(corpus, encoder)[1]))

    nearest, cosines = cached_arrays(cache_dir() / "nearest" / key, ("topics", "cosines"), make)
    return nearest, cosines
