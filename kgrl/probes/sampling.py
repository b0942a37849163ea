"""Which topics stand for a corpus when it cannot all be measured."""

from __future__ import annotations

import numpy as np

from kgrl.corpus import Corpus, Split
from kgrl.graph.topic_graph import IntArray

__all__ = ["sample_topics"]


def sample_topics(corpus: Corpus, split: Split, size: int, seed: int, among: IntArray | None = None) -> IntArray:
    """Draw topics that have passages in a split, uniformly and without repeats.

    Args:
        corpus: The corpus.
        split: The split the topics need passages in.
        size: Most topics to draw.
        seed: The same seed draws the same topics, whoever asks.
        among: Topics to draw from; all if None.

    Returns:
        Topics, ascending, int32.
    """
    pool = np.flatnonzero(corpus.has(split))
    if among is not None:
        pool = np.intersect1d(pool, among)
    drawn = np.random.default_rng(seed).permutation(pool)[:size]
    return np.sort(drawn).astype(np.int32)
