"""Retrieval: embeddings of passages in a FAISS index, search by words, and indexes over passages of any source."""

from kgrl.retrieval.base import Retriever
from kgrl.retrieval.bm25 import Bm25Retriever
from kgrl.retrieval.corpus_index import INDEXED_PER_TOPIC, embed_corpus, indexed_passages, topic_embeddings
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.retrieval.fusion import reciprocal_rank_fusion
from kgrl.retrieval.sources import PassageSource, passage_sources

__all__ = [
    "INDEXED_PER_TOPIC",
    "Bm25Retriever",
    "FaissRetriever",
    "PassageSource",
    "Retriever",
    "embed_corpus",
    "indexed_passages",
    "passage_sources",
    "reciprocal_rank_fusion",
    "topic_embeddings",
]
