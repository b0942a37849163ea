"""Search by words: BM25, for what embeddings miss, such as names and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kgrl.errors import MissingDataError
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray

__all__ = ["Bm25Retriever"]


class Bm25Retriever:
    """Finds passages that share rare words with a query (Robertson et al. 1995), by the library bm25s.

    Args:
        texts: The passages.
        ids: The passage id of each; their order if None.

    Raises:
        MissingDataError: If the package bm25s is missing.

    Example:
        >>> retriever = Bm25Retriever(["Rivers carry water.", "Proofs carry conviction.", "A theorem has proofs."])
        >>> retriever.search(["proofs of a theorem"], 2)[0].tolist()
        [[2, 1]]
    """

    def __init__(self, texts: Sequence[str], ids: IntArray | None = None) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingDataError("search by words needs a package: pip install 'kgrl[bm25]'") from error
        self._tokenize = bm25s.tokenize
        self.ids = np.arange(len(texts), dtype=np.int32) if ids is None else np.asarray(ids, dtype=np.int32)
        self._index = bm25s.BM25()
        self._index.index(self._tokenize(list(texts), show_progress=False), show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and BM25 scores of the k best passages for each query.

        Args:
            queries: Texts.
            k: Number of passages for each query.

        Returns:
            Passage ids, int32, and scores, float32, both of shape `[queries, k]`, best first; id -1 where fewer share
            a word.
        """
        most = min(k, len(self.ids))
        tokens = self._tokenize(list(queries), show_progress=False, return_ids=False)
        rows, scores = self._index.retrieve(tokens, k=most, show_progress=False)
        ids = np.where(scores > 0, self.ids[rows], np.int32(-1))
        missing = [(0, 0), (0, k - most)]
        return np.pad(ids, missing, constant_values=-1), np.pad(scores.astype(np.float32), missing)
