"""Retrieval: embeddings of train passages in a FAISS index, and topic embeddings made from them.

Exam and probe passages are never embedded, so nothing an agent sees depends on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import faiss
import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.encoder import Encoder
from kgrl.graph import IntArray

__all__ = ["FaissRetriever", "Retriever", "topic_embeddings"]

FloatArray = NDArray[np.float32]

INDEXED_PER_TOPIC = 4
"""Train passages of each topic that are embedded: the lead and what follows it. A whole encyclopaedia's full text would
take an hour to embed on two cores; passages beyond these are still trained on, as their topics' own."""


@runtime_checkable
class Retriever(Protocol):
    """Finds passages that are near to queries."""

    def search(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and the scores of the k best passages for each query.

        Args:
            queries: Unit vectors, float32, shape `[queries, dimensions]`.
            k: Number of passages for each query.

        Returns:
            Passage ids, int32, and their cosines, float32, both of shape `[queries, k]`, best first; id -1 where there
            are fewer than k.
        """
        ...


class FaissRetriever:
    """Exact search over embedded passages.

    Args:
        ids: The passage id of each row, shape `[rows]`.
        vectors: Unit vectors, float32, shape `[rows, dimensions]`.

    Example:
        >>> retriever = FaissRetriever(np.array([5, 9]), np.eye(2, dtype=np.float32))
        >>> retriever.search(np.array([[0.0, 1.0]], dtype=np.float32), 1)[0].tolist()
        [[9]]
    """

    def __init__(self, ids: NDArray[np.integer], vectors: FloatArray) -> None:
        self.ids = np.asarray(ids, dtype=np.int32)
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors))

    def search(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and cosines of the k best passages for each query; see `Retriever`."""
        scores, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return np.where(rows >= 0, self.ids[rows], np.int32(-1)), scores


def indexed_passages(corpus: Corpus) -> IntArray:
    """Return the ids of the train passages that are embedded: the first few of each topic."""
    ids = [corpus.ids_of(t, Split.TRAIN)[:INDEXED_PER_TOPIC] for t in range(len(corpus.graph))]
    return np.concatenate(ids) if ids else np.empty(0, dtype=np.int32)


def topic_embeddings(topics: IntArray, vectors: FloatArray, n_topics: int) -> FloatArray:
    """Average passage vectors by topic and normalise.

    Args:
        topics: The topic of each vector, shape `[rows]`.
        vectors: Unit vectors, float32, shape `[rows, dimensions]`.
        n_topics: Number of topics.

    Returns:
        Unit vectors, float32, shape `[n_topics, dimensions]`; zeros for topics without a vector.
    """
    sums = np.zeros((n_topics, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, topics, vectors)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    unit: FloatArray = np.divide(sums, norms, out=sums, where=norms > 0)
    return unit


def embed_corpus(corpus: Corpus, encoder: Encoder, cache: Path | None = None) -> tuple[FaissRetriever, FloatArray]:
    """Embed a corpus's train passages and return the retriever and the topic embeddings.

    Args:
        corpus: The corpus.
        encoder: The sentence encoder.
        cache: Folder that keeps vectors between runs, keyed by content.
    """
    ids = indexed_passages(corpus)
    vectors = encoder.encode_cached([corpus.texts[i] for i in ids], cache)
    return FaissRetriever(ids, vectors), topic_embeddings(corpus.topics[ids], vectors, len(corpus.graph))
