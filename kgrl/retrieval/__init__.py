"""Retrieval: embeddings of passages in a FAISS index, search by words, and indexes of passages of any source."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
