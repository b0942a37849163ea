"""Search over embedded passages with FAISS."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from kgrl.graph import IntArray
from kgrl.retrieval.base import FloatArray

__all__ = ["FaissRetriever"]


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
