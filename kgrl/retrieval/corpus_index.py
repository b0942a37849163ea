"""A corpus's train passages embedded and indexed, and topic embeddings made from them.

Exam and probe passages are never embedded, so nothing an agent sees depends on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kgrl.corpus import Corpus, Split
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.faiss_retriever import FaissRetriever

__all__ = ["INDEXED_PER_TOPIC", "embed_corpus", "indexed_passages", "topic_embeddings"]

INDEXED_PER_TOPIC = 4
"""Number of train passages of each topic that are embedded, the first ones. A whole encyclopaedia's full text would
take an hour to embed on two cores. Passages beyond these are still trained on, as their topics' own."""


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
