"""Probing: a learner's losses on probe passages, and the cost of measuring them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError
from kgrl.expansion import Measurement
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner

if TYPE_CHECKING:
    from kgrl.probes.link_test import LinkTest

__all__ = ["Prober", "sample_topics"]


class Prober:
    """Measures a learner on fixed probe samples and keeps account of the cost.

    Every topic is always measured on its first probe passage, so that losses at two moments differ by the learner alone
    (common random numbers).

    Args:
        corpus: The corpus.
        learner: The learner.
        fixed: Topic samples by probe name that are measured at every expansion (`"mean"`, `"target"`).
        weights: Weights of a sample's topics in its mean, by probe name, where topics do not weigh the same.

    Attributes:
        seconds: Wall-clock seconds since `settle` was last called.
        tokens: Tokens read since `settle` was last called.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import make_learner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> texts = ["Logic asks what follows.", "It asks why it follows.", "A set has members.", "Sets are equal."]
        >>> corpus = Corpus("two", graph, texts, [0, 0, 1, 1], [0, 1, 0, 1])
        >>> prober = Prober(corpus, make_learner("scratch", corpus), {"mean": np.array([0, 1])})
        >>> prober
        Prober(corpus='two', fixed={'mean': 2 topics})
        >>> sorted(prober.before(np.array([1])))
        [0, 1]
    """

    def __init__(
        self,
        corpus: Corpus,
        learner: Learner,
        fixed: Mapping[str, IntArray],
        weights: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        self.learner = learner
        self.fixed = dict(fixed)
        self.weights = dict(weights or {})
        self.seconds = 0.0
        self.tokens = 0
        self._latest: dict[int, float] = {}
        self.extend(corpus)

    def __repr__(self) -> str:
        fixed = ", ".join(f"{name!r}: {len(topics)} topics" for name, topics in self.fixed.items())
        return f"Prober(corpus={self.corpus.name!r}, fixed={{{fixed}}})"

    def extend(self, corpus: Corpus) -> None:
        """Continue with a corpus that begins with the present one."""
        self.corpus = corpus
        self._passages = corpus.first_ids(Split.PROBE)

    def losses(self, topics: IntArray) -> NDArray[np.float32]:
        """Return the probe loss of each topic in nats per token, NaN where a topic has no probe passage.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names the topic.
        """
        began = time.perf_counter()
        ids = self._passages[topics]
        measurable = ids >= 0
        passages = self.corpus.select(ids[measurable])
        losses = np.full(len(topics), np.nan, dtype=np.float32)
        if len(passages):
            losses[measurable] = self.learner.losses(passages)
            self.tokens += int(self.learner.count_tokens(passages).sum())
        for topic in np.asarray(topics)[measurable & ~np.isfinite(losses)]:
            raise DivergedError(f"the probe loss of {self.corpus.graph.titles[topic]!r} is not finite")
        self.seconds += time.perf_counter() - began
        return losses

    def ask(self, test: LinkTest, topics: IntArray, read: IntArray, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the share of each topic's links that the learner knows, NaN where it cannot be asked for.

        Args:
            test: Asks the questions.
            topics: The topics.
            read: The topics that were read; see `LinkTest.ask`.
            rng: Draws the wrong names.
        """
        began = time.perf_counter()
        shares, tokens = test.ask(self.learner, topics, read, rng)
        self.tokens += tokens
        self.seconds += time.perf_counter() - began
        return shares

    def before(self, own: IntArray) -> dict[int, float]:
        """Return the losses of the fixed samples and of `own` topics before learning, by topic.

        Losses measured after the previous expansion still hold and are not measured again.
        """
        return self._measure(own, known=self._latest)

    def after(self, own: IntArray) -> dict[int, float]:
        """Return the losses of the same topics after learning, all measured anew."""
        return self._measure(own, known={})

    def _measure(self, own: Iterable[int], known: Mapping[int, float]) -> dict[int, float]:
        """Losses of the fixed samples and of `own` topics, by topic; topics without a probe passage are left out."""
        wanted = {int(t) for t in own}.union(*(sample.tolist() for sample in self.fixed.values()))
        missing = np.array(sorted(wanted - set(known)), dtype=np.int32)
        new = dict(zip(missing.tolist(), self.losses(missing).tolist(), strict=True)) if len(missing) else {}
        return {t: loss for t, loss in {**known, **new}.items() if t in wanted and np.isfinite(loss)}

    def measurements(
        self, own: Mapping[str, IntArray], before: Mapping[int, float], after: Mapping[int, float]
    ) -> dict[str, Measurement]:
        """Gather the losses by probe name, without probes that have no topic to measure.

        Args:
            own: The topics of an expansion's own probes, by their name.
            before: The losses before it by topic.
            after: The losses after it.
        """
        groups = {**self.fixed, **own}
        measured = {name: [t for t in map(int, topics) if t in before] for name, topics in groups.items()}
        return {
            name: Measurement(
                tuple(topics),
                tuple(before[t] for t in topics),
                tuple(after[t] for t in topics),
                self.weights.get(name, ()),
            )
            for name, topics in measured.items()
            if topics
        }

    def remember(self, losses: Mapping[int, float]) -> None:
        """Set the probe losses of the learner in its present state, by topic; empty if it has changed since."""
        self._latest = dict(losses)

    def settle(self) -> tuple[float, int]:
        """Return the seconds and tokens spent since the last call, and set both to zero."""
        spent = self.seconds, self.tokens
        self.seconds, self.tokens = 0.0, 0
        return spent


def sample_topics(corpus: Corpus, split: Split, size: int, seed: int, among: IntArray | None = None) -> IntArray:
    """Draw topics that have passages in a split, uniformly and without repeats.

    Args:
        corpus: The corpus.
        split: The split the topics need passages in.
        size: Most topics to draw.
        seed: Seeds the draw; the same seed draws the same topics everywhere.
        among: Topics to draw from; all if None.

    Returns:
        Topics, ascending, int32.
    """
    has = corpus.has(split)
    pool = np.flatnonzero(has) if among is None else np.unique(among[has[among]])
    # A permutation, so that a larger sample contains a smaller one of the same seed.
    drawn = np.random.default_rng(seed).permutation(pool)[:size]
    return np.sort(drawn).astype(np.int32)
