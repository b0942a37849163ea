"""Retrieval: embeddings of passages in a FAISS index."""

from kgrl.retrieval.base import Retriever
from kgrl.retrieval.corpus_index import INDEXED_PER_TOPIC, embed_corpus, indexed_passages, topic_embeddings
from kgrl.retrieval.faiss_retriever import FaissRetriever

__all__ = [
    "INDEXED_PER_TOPIC",
    "FaissRetriever",
    "Retriever",
    "embed_corpus",
    "indexed_passages",
    "topic_embeddings",
]
