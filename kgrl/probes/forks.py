"""Forks: what a learner would be after a lesson, found out by teaching it and putting it back."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Passages
from kgrl.graph.topic_graph import IntArray
from kgrl.probes.prober import Prober

__all__ = ["losses_after"]


def losses_after(prober: Prober, passages: Passages, token_budget: int, topics: IntArray) -> NDArray[np.float32]:
    """Return the probe losses that topics would have after the prober's learner learned some passages.

    The learner is put back bit for bit, also where learning or measuring fails. Seconds and tokens, those trained on
    included, are booked with the prober.

    Args:
        prober: Measures its learner.
        passages: What to learn on the fork; at least one passage.
        token_budget: Most tokens to learn.
        topics: The topics to measure, shape `[n]`.

    Returns:
        Losses in nats per token, shape `[n]`; NaN where a topic has no probe passage.

    Raises:
        DivergedError: If a loss becomes NaN or infinite.

    Example:
        >>> from kgrl.corpus import Corpus, Split
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import make_learner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> texts = ["Logic asks what follows.", "It asks why it follows.", "A set has members.", "Sets are equal."]
        >>> corpus = Corpus("two", graph, texts, [0, 0, 1, 1], [0, 1, 0, 1])
        >>> prober, both = Prober(corpus, make_learner("scratch", corpus), {}), np.array([0, 1])
        >>> before = prober.losses(both)
        >>> bool((losses_after(prober, corpus.of(0, Split.TRAIN), 100, both) < before)[0])
        True
        >>> bool((prober.losses(both) == before).all())
        True
    """
    learner, began = prober.learner, time.perf_counter()
    snapshot = learner.snapshot()
    try:
        prober.tokens += learner.learn(passages, token_budget).tokens
        prober.seconds += time.perf_counter() - began
        return prober.losses(topics)
    finally:
        learner.restore(snapshot)
