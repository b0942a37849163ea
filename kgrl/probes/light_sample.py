"""Probe samples that cost less reading for the same noise: short passages more often, and words as in all passages.

A mean gain's noise is nearly all that of single tokens, so it goes with the number of tokens read. A plain mean over
passages wastes tokens: a passage's mean counts the same whether 20 tokens or 160 were read for it. Here a topic is
drawn with a probability inversely proportional to the length of its passage, and weighs as much as its passage is long,
which makes the weighted mean an unbiased estimate of the mean over all passages (Horvitz and Thompson 1952, as a ratio)
in which every token read counts about the same. Of a hundred such draws the one is taken whose words are nearest to
those of all passages, since gains differ by word.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.graph.topic_graph import IntArray

__all__ = ["DRAWS", "light_sample"]

_WORD = re.compile(r"\w+|[^\w\s]")
_WORDS = 512
"""Most frequent words whose shares are compared."""
DRAWS = 100
"""Draws to choose from. With more the chosen ones are the same few passages, and one lucky draw is as good."""
_POOL = 2_000
"""Topics to draw from at most, so that a sample of a million topics does not read all of their passages."""

Floats = NDArray[np.float64]


def light_sample(
    corpus: Corpus, size: int, seed: int, among: IntArray | None = None, draws: int = DRAWS
) -> tuple[IntArray, tuple[float, ...]]:
    """Draw topics with probe passages, and the weights of their losses in a mean.

    Args:
        corpus: The corpus.
        size: Most topics to draw.
        seed: Seeds the draw; the same seed draws the same topics everywhere.
        among: Topics to draw from; all if None.
        draws: Number of draws to choose from.

    Returns:
        Topics, ascending, int32, and the weight of each, the inverse of its chance to be drawn.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1], [1, 2])
        >>> texts = ["Logic asks what follows from what.", "A set has members.", "Numbers count."]
        >>> corpus = Corpus("three", graph, texts, [0, 1, 2], [1, 1, 1])
        >>> light_sample(corpus, 3, seed=0)
        (array([0, 1, 2], dtype=int32), (1.0, 1.0, 1.0))
    """
    first, rng = corpus.first_ids(Split.PROBE), np.random.default_rng(seed)
    pool = np.flatnonzero(first >= 0) if among is None else among[first[among] >= 0]
    pool = np.sort(rng.permutation(pool)[:_POOL])
    if not len(pool):
        return pool.astype(np.int32), ()
    shares, lengths = _shares_and_lengths([corpus.texts[int(i)] for i in first[pool]])
    chances = _chances(lengths, min(size, len(pool)))
    drawn = [_draw(chances, rng) for _ in range(draws)]
    # Long passages resemble the whole, and would be chosen too often: only draws that read about the average count.
    excess = [abs(float(lengths[rows].sum() - chances @ lengths)) for rows in drawn]
    usual = [drawn[i] for i in np.argsort(excess, kind="stable")[: -(-draws // 2)]]
    apart = [np.average(shares[rows], 0, 1 / chances[rows]) - shares.mean(0) for rows in usual]
    rows = usual[int(np.argmin(np.square(apart).sum(1)))]
    return pool[rows].astype(np.int32), tuple((1 / chances[rows]).tolist())


def _shares_and_lengths(texts: list[str]) -> tuple[Floats, Floats]:
    """Return the share of each frequent word in each text, `[texts, words]`, and the number of words, `[texts]`."""
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    total = Counter[str]()
    for count in counts:
        total.update(count)
    # Ties by the alphabet, so that a sample does not depend on the order of counting.
    words = sorted(total, key=lambda word: (-total[word], word))[:_WORDS]
    lengths = np.maximum(1.0, [count.total() for count in counts])
    return np.array([[count[word] for word in words] for count in counts]) / lengths[:, None], lengths


def _chances(lengths: Floats, size: int) -> Floats:
    """Return chances to be drawn that add up to `size`, inversely proportional to lengths, but 1 at most."""
    certain = np.zeros(len(lengths), dtype=bool)
    while True:
        chances = np.where(certain, 1.0, 0.0)
        chances[~certain] = (size - certain.sum()) / lengths[~certain] / (1 / lengths[~certain]).sum()
        if not (chances > 1).any():
            return chances
        certain |= chances > 1


def _draw(chances: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows, ascending, each with its chance: every whole number on a line on which each row is its chance long."""
    order = rng.permutation(len(chances))
    ends = np.cumsum(chances[order]) + rng.random()
    return np.sort(order[np.diff(np.floor(ends + 1e-9), prepend=0.0) > 0])
