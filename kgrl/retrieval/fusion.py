"""Several rankings made one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import FloatArray

__all__ = ["reciprocal_rank_fusion"]


def reciprocal_rank_fusion(rankings: Sequence[IntArray], k: int, constant: float = 60.0) -> tuple[IntArray, FloatArray]:
    """Rank passages by the sum of 1 / (constant + rank) over rankings (Cormack, Clarke and Büttcher 2009).

    Only ranks count, so cosines and BM25 scores need not be comparable.

    Args:
        rankings: Passage ids, best first, -1 where there is none, each of shape `[queries, some]`.
        k: Number of passages for each query.
        constant: How little the first ranks stand out; 60 in the paper.

    Returns:
        Ids, int32, and scores, float32, both of shape `[queries, k]`; ties go to the lower id, id -1 where there are
        fewer.

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
        # Rounded once: added one by one, what is equal would differ by the order of the rankings.
        total = {passage: math.fsum(of_ranks) for passage, of_ranks in shares.items()}
        best = sorted(total, key=lambda passage: (-total[passage], passage))[:k]
        ids[query, : len(best)] = best
        scores[query, : len(best)] = [total[passage] for passage in best]
    return ids, scores
