"""Hybrid search: BM25 for words that embeddings miss, such as names and numbers, and fusion of rankings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kgrl.errors import MissingDataError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray
from kgrl.system.words import words_of

__all__ = ["Bm25Retriever", "reciprocal_rank_fusion"]


class Bm25Retriever:
    """Search for the passages that share rare words with a query (Robertson et al. 1995), by the library bm25s.

    Args:
        texts: The passages.
        ids: The passage id of each; its position if None.

    Raises:
        MissingDataError: If the package bm25s is missing.

    Example:
        >>> retriever = Bm25Retriever(["Rivers carry water.", "Proofs carry conviction.", "A theorem has proofs."])
        >>> retriever
        Bm25Retriever(3 passages)
        >>> retriever.search(["proofs of a theorem"], 2)[0].tolist()
        [[2, 1]]
    """

    def __init__(self, texts: Sequence[str], ids: IntArray | None = None) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingDataError("search by words needs the package bm25s: pip install 'kgrl[bm25]'") from error
        self.ids = np.arange(len(texts), dtype=np.int32) if ids is None else np.asarray(ids, dtype=np.int32)
        # No word is left out as too frequent: BM25 weighs words by rarity, and lists of stop words are of one language.
        words = [words_of(text) for text in texts]
        # bm25s refuses to index nothing.
        self._index = bm25s.BM25() if any(words) else None
        if self._index is not None:
            self._index.index(words, show_progress=False)

    def __repr__(self) -> str:
        return f"Bm25Retriever({len(self.ids):,} passages)"

    def search(self, queries: Sequence[str], k: int) -> tuple[IntArray, FloatArray]:
        """Return the ids and BM25 scores of the k best passages for each query.

        Args:
            queries: Texts.
            k: Number of passages for each query.

        Returns:
            Passage ids, int32, and scores, float32, both of shape `[queries, k]`, best first; id -1 in the last columns
            if fewer than k passages share a word with the query.

        Raises:
            SettingError: If k is below 1.
        """
        if k < 1:
            raise SettingError(f"a search is for 1 passage at least, not {k}")
        if not len(queries) or self._index is None:
            none = np.full((len(queries), k), -1, dtype=np.int32)
            return none, np.zeros((len(queries), k), dtype=np.float32)
        most = min(k, len(self.ids))  # bm25s raises if asked for more
        tokens = [words_of(query) for query in queries]
        rows, scores = self._index.retrieve(tokens, k=most, show_progress=False)
        ids = np.where(scores > 0, self.ids[rows], np.int32(-1))
        missing = [(0, 0), (0, k - most)]
        return np.pad(ids, missing, constant_values=-1), np.pad(scores.astype(np.float32), missing)


def reciprocal_rank_fusion(rankings: Sequence[IntArray], k: int, constant: float = 60.0) -> tuple[IntArray, FloatArray]:
    """Rank passages by the sum of 1 / (constant + rank) over rankings (Cormack, Clarke and Büttcher 2009).

    Only ranks count, so cosines and BM25 scores need not be comparable.

    Args:
        rankings: Passage ids, best first, -1 for none, each of shape `[queries, ranks]`.
        k: Number of passages for each query.
        constant: Larger values make the first ranks stand out less; 60 in the paper.

    Returns:
        Ids, int32, and scores, float32, both of shape `[queries, k]`, best first. Ties go to the lower id; id -1 in the
        last columns if there are fewer than k passages.

    Example:
        >>> words, meaning = np.array([[7, 3]]), np.array([[3, 9]])
        >>> reciprocal_rank_fusion([words, meaning], 2)[0].tolist()
        [[3, 7]]
    """
    queries = len(rankings[0])
    ids, scores = np.full((queries, k), -1, dtype=np.int32), np.full((queries, k), -np.inf, dtype=np.float32)
    for query in range(queries):
        shares: defaultdict[int, list[float]] = defaultdict(list)
        for ranking in rankings:
            for rank, passage in enumerate(ranking[query].tolist(), 1):
                if passage >= 0:
                    shares[passage].append(1.0 / (constant + rank))
        # fsum rounds once: with a plain sum, ties would depend on the order of the rankings.
        total = {passage: math.fsum(of_ranks) for passage, of_ranks in shares.items()}
        best = sorted(total, key=lambda passage: (-total[passage], passage))[:k]
        ids[query, : len(best)] = best
        scores[query, : len(best)] = [total[passage] for passage in best]
    return ids, scores
