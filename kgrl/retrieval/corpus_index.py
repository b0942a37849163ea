"""A corpus's train passages embedded and indexed, and topic embeddings made from them.

Exam and probe passages are never embedded, so nothing an agent sees depends on them.
"""

from __future__ import annotations

from pathlib import Path
from weakref import WeakValueDictionary

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

# Environments of one corpus share what was made of it. Held weakly: this alone keeps nothing in memory.
_RETRIEVERS: WeakValueDictionary[tuple[str, str], FaissRetriever] = WeakValueDictionary()
_EMBEDDINGS: WeakValueDictionary[tuple[str, str], FloatArray] = WeakValueDictionary()


def indexed_passages(corpus: Corpus) -> IntArray:
    """Return the ids of the train passages that are embedded: the first few of each topic."""
    starts, ids = corpus.rows_of(Split.TRAIN)
    place = np.arange(len(ids)) - np.repeat(starts[:-1], np.diff(starts))  # of each passage among its topic's
    return ids[place < INDEXED_PER_TOPIC]


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

    While somebody uses those of the same texts and the same encoder, the same two objects are returned; so tables that
    are made from them are shared, too.

    Args:
        corpus: The corpus.
        encoder: The sentence encoder.
        cache: Folder that keeps vectors between runs, keyed by content.

    Returns:
        The retriever, and unit embeddings of topics, float32 `[topics, dimensions]`, read-only.
    """
    key = corpus.fingerprint, encoder.fingerprint
    retriever, embeddings = _RETRIEVERS.get(key), _EMBEDDINGS.get(key)
    if retriever is None or embeddings is None:
        ids = indexed_passages(corpus)
        vectors = encoder.encode_cached([corpus.texts[i] for i in ids], cache)
        embeddings = topic_embeddings(corpus.topics[ids], vectors, len(corpus.graph))
        embeddings.flags.writeable = False
        retriever = FaissRetriever(ids, vectors)
        _RETRIEVERS[key], _EMBEDDINGS[key] = retriever, embeddings
    return retriever, embeddings
