"""State of knowledge: what was read of each topic, how often and when, and how well it is known.

All of it is estimated while a learner learns, from losses at reading and on probe passages; the exam does not enter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.system.display import count_text

__all__ = ["Knowledge"]

FloatArray = NDArray[np.float32]

_PRIOR = 8
"""How many losses of unread topics weigh as much as all earlier ones."""
_WEIGHT = 0.5
"""Weight of a new difference in a topic's gap; the losses of two passages differ by more than their topics do."""


class Knowledge:
    """State of knowledge: what was read of each topic, and how well it is known.

    A topic's gap is the loss of passages on topics that were not read yet, less the loss of its own passages, at the
    same time and before they are trained on. What any text teaches lowers both; what is left is knowledge of the topic.
    Losses come from passages that are read for the first time, and from probe passages; a passage that was read before
    would tell memory of its words. Differences are averaged with a weight of one half for each new one. Once every
    topic was read, the loss of unread topics stays as it was last.

    The gap is what reading tells for nothing. What is asked for directly is the recall of a topic's links.

    Args:
        n_topics: Number of topics of the graph.

    Attributes:
        tokens: Tokens read of each topic, int64 `[topics]`.
        exposures: Number of lessons that read it, int32 `[topics]`.
        last_read: Tokens that the learner had been trained on when it was last read, -1 if never, int64 `[topics]`.
        last_tested: The same for when its gap was last estimated, -1 if never, int64 `[topics]`.
        gap: The gap in nats per token, NaN if it was not estimated, float32 `[topics]`.
        gap_before: The gap at the estimate before the latest, NaN if there was none, float32 `[topics]`.
        recall: The share of its links that were known when they were last asked for, NaN if never, float32 `[topics]`;
            see `kgrl.probes.link_test`.
        recall_before: The same when they were asked for the time before, float32 `[topics]`.
        last_asked: Tokens that the learner had been trained on then, -1 if never, int64 `[topics]`.
        unread: The present loss of passages on topics that were not read, in nats per token; NaN if not measured.
        n_read: Number of topics that were read.

    Example:
        >>> from kgrl.expansion import Probed
        >>> knowledge = Knowledge(3)
        >>> after = Probed((0, 2), (4.5, 6.0))
        >>> step = Expansion(0, 0, "Logic", (0,), (7,), 20, 20, 99, 5.0, losses=(6.0,), tested=after)
        >>> knowledge.update(step, topics=np.array([0]), tokens=np.array([20]), fresh=np.array([True]))
        >>> knowledge.gap.tolist(), knowledge.tokens.tolist()
        ([1.5, nan, nan], [20, 0, 0])
        >>> knowledge
        Knowledge(1 of 3 topics read, 20 tokens)
    """

    def __init__(self, n_topics: int) -> None:
        self.tokens = np.zeros(n_topics, dtype=np.int64)
        self.exposures = np.zeros(n_topics, dtype=np.int32)
        self.last_read = np.full(n_topics, -1, dtype=np.int64)
        self.last_tested = self.last_read.copy()
        self.gap = np.full(n_topics, np.nan, dtype=np.float32)
        self.gap_before = self.gap.copy()
        self.recall = self.gap.copy()
        self.recall_before = self.gap.copy()
        self.last_asked = self.last_read.copy()
        self.unread = np.nan
        self.n_read = 0

    def __repr__(self) -> str:
        read = f"{self.n_read:,} of {count_text(len(self.tokens), 'topic')} read"
        return f"Knowledge({read}, {int(self.tokens.sum()):,} tokens)"

    def estimates(self, measure: str) -> tuple[FloatArray, FloatArray]:
        """Return how well each topic is known by a measure, and how well it was at the estimate before.

        Args:
            measure: `"gap"` or `"recall"`.

        Returns:
            The latest estimates and those before them, NaN where there is none, float32 `[topics]` each.

        Example:
            >>> knowledge = Knowledge(2)
            >>> knowledge.recall[0], knowledge.recall_before[0] = 0.75, 0.5
            >>> [float(values[0]) for values in knowledge.estimates("recall")]
            [0.75, 0.5]
        """
        return (self.recall, self.recall_before) if measure == "recall" else (self.gap, self.gap_before)

    def due(self, now: int, growth: float = 1.0) -> NDArray[np.float64]:
        """Return how much each topic is in need of review, by how long ago and how often it was read.

        It is the time since the last reading, divided by `growth` for each reading after the first: an interval that
        grows with every repetition, as in spaced practice (Settles and Meeder 2016, "A Trainable Spaced Repetition
        Model for Language Learning", on people). With a growth of 1 the times alone count.

        Args:
            now: Tokens that the learner was trained on.
            growth: Factor by which each reading lengthens the interval, at least 1.

        Returns:
            Tokens, NaN for topics that were not read, float64 `[topics]`.

        Example:
            >>> knowledge = Knowledge(3)
            >>> knowledge.exposures[:2], knowledge.last_read[:2] = [1, 2], [100, 100]
            >>> knowledge.due(400).tolist(), knowledge.due(400, growth=1.5).tolist()
            ([300.0, 300.0, nan], [300.0, 200.0, nan])
        """
        since = np.where(self.exposures > 0, now - self.last_read, np.nan)
        with np.errstate(over="ignore"):  # a topic of a thousand readings is not due
            interval: NDArray[np.float64] = growth ** np.maximum(self.exposures - 1.0, 0.0)
        return since / interval

    def update(
        self, expansion: Expansion, topics: IntArray, tokens: NDArray[np.int64], fresh: NDArray[np.bool_]
    ) -> None:
        """Take an expansion's readings and tests into account.

        Args:
            expansion: The record.
            topics: The topic of each of its passages, in the order of reading, `[passages]`.
            tokens: The tokens of each.
            fresh: Whether each was read for the first time.
        """
        began = expansion.tokens_total - expansion.tokens
        read, firsts, places = np.unique(topics, return_index=True, return_inverse=True)
        # Of each topic its first passage alone: those after it in the lesson are read by a learner that saw it.
        if len(expansion.losses):
            own = firsts[fresh[firsts]]
            self._compare(topics[own], np.array(expansion.losses)[own], began)
        self.n_read += int(np.count_nonzero(self.exposures[read] == 0))
        self.tokens[read] += np.bincount(places, tokens, minlength=len(read)).astype(np.int64)
        self.exposures[read] += 1
        self.last_read[read] = expansion.tokens_total
        tested = expansion.tested
        if tested.topics:
            self._compare(np.array(tested.topics), np.array(tested.losses), expansion.tokens_total)
        asked = np.array(tested.asked, dtype=np.int64)
        self.recall_before[asked] = self.recall[asked]
        self.recall[asked] = tested.recalled
        self.last_asked[asked] = expansion.tokens_total

    def _compare(self, topics: NDArray[np.integer], losses: NDArray[np.float64], now: int) -> None:
        """Compare losses of different topics at one moment: those of unread topics, and those of topics read."""
        was_read = self.exposures[topics] > 0
        others = losses[~was_read]
        if len(others):
            earlier = float(others.mean()) if np.isnan(self.unread) else self.unread
            self.unread = float(others.sum() + _PRIOR * earlier) / (len(others) + _PRIOR)
        if np.isnan(self.unread):
            return
        known, gaps = topics[was_read], self.unread - losses[was_read]
        self.gap_before[known] = before = self.gap[known]
        self.gap[known] = np.where(np.isnan(before), gaps, before + _WEIGHT * (gaps - before))
        self.last_tested[known] = now
