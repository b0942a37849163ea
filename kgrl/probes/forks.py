"""Forks: losses after a lesson that is taught on trial and then undone, and estimates of transfer between topics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from kgrl.corpus import Corpus, Passages, Split
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.learners.simulated.courses import Transfer
from kgrl.probes.prober import Prober, sample_topics

__all__ = ["estimate_transfer", "losses_after"]

_LEAST_TOKENS = 2
"""A language model needs two tokens to have one prediction."""


def losses_after(prober: Prober, passages: Passages, token_budget: int, topics: IntArray) -> NDArray[np.float32]:
    """Return the probe losses that topics would have after the prober's learner learned some passages.

    The learner is put back bit for bit, even if learning or measuring fails. Seconds and tokens, those trained on
    included, are added to the prober's account.

    Args:
        prober: The prober of the learner.
        passages: Passages to learn on the fork, at least one.
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
        return prober.losses(topics)  # which adds its own seconds and tokens
    finally:
        learner.restore(snapshot)


def estimate_transfer(
    corpus: Corpus, learner: Learner, folder: Path, *, size: int = 32, tokens: int = 500, seed: int = 0
) -> Transfer:
    """Measure A[u, v], the drop of l_v after learning u from the learner's present state, on a sample of topics.

    For each topic u the learner is forked and taught u's train passages in text order, up to `tokens` tokens; then the
    probe loss of every topic of the sample is measured, and the learner put back. A row is written as soon as it is
    measured; called again with the same arguments, the function measures the missing rows.

    Args:
        corpus: The corpus.
        learner: The learner; it is put back before the function returns or raises.
        folder: Folder of the estimate; made if missing.
        size: Most topics; drawn uniformly from those with both train and probe passages.
        tokens: Most tokens learned of a topic; topics with less text are learned to its end.
        seed: Seeds the sample.

    Raises:
        SettingError: If `size` or `tokens` is too small, or no topic has both train and probe passages.
        KgrlError: If the folder holds an estimate with other settings or of another learner.
        DivergedError: If a loss becomes NaN or infinite; the rows measured before stay.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import make_learner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> texts = ["Logic asks what follows.", "It asks why it follows.", "A set has members.", "Sets are equal."]
        >>> corpus = Corpus("two", graph, texts, [0, 0, 1, 1], [0, 1, 0, 1])
        >>> estimate = estimate_transfer(corpus, make_learner("scratch", corpus), Path(tempfile.mkdtemp()))
        >>> estimate.drops.shape, bool(estimate.drops[0, 0] > 0)
        ((2, 2), True)
    """
    if size < 1 or tokens < _LEAST_TOKENS:
        raise SettingError(f"size must be at least 1 and tokens {_LEAST_TOKENS}, not {size} and {tokens}")
    topics = sample_topics(corpus, Split.PROBE, size, seed, np.flatnonzero(corpus.has(Split.TRAIN)).astype(np.int32))
    if not len(topics):
        raise SettingError(f"no topic of {corpus.name!r} has both train and probe passages")
    prober = Prober(corpus, learner, {})
    estimate = Transfer.begin(folder, corpus, topics, prober.losses(topics), tokens)
    missing = np.flatnonzero(np.isnan(estimate.drops).any(axis=1)).tolist()
    for row in _with_progress(missing, len(topics)):
        passages = corpus.of(int(topics[row]), Split.TRAIN)
        estimate.drops[row] = estimate.before - losses_after(prober, passages, tokens, topics)
        estimate.write_rows(folder)
    return estimate


def _with_progress(rows: list[int], total: int) -> Iterable[int]:
    """Go through the missing rows, with a progress bar on stderr if that is a terminal."""
    console = Console(stderr=True)
    done = total - len(rows)
    return track(rows, "transfer", total=total, completed=done, console=console, disable=not console.is_terminal)
