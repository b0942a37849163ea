"""The exam: held-out passages that only reports see.

Nothing in the loop, no reward and no agent imports this module.
"""

from __future__ import annotations

import numpy as np

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError, KgrlError
from kgrl.graph import IntArray
from kgrl.learners.base import Learner
from kgrl.probes import sample_topics

__all__ = ["Exam"]

_SEED = 20_26
"""The exam is the same for every agent and every seed: a fixed sample with uniform weights."""


class Exam:
    """A fixed sample of exam passages, one a topic, weighted uniformly.

    Args:
        corpus: The corpus.
        goal: Topics to examine; all if None.
        size: Most topics.

    Raises:
        KgrlError: If no topic has an exam passage.
    """

    def __init__(self, corpus: Corpus, goal: IntArray | None = None, size: int = 64) -> None:
        self.topics = sample_topics(corpus, Split.EXAM, size, _SEED, goal)
        if not len(self.topics):
            raise KgrlError(f"no topic of {corpus.name!r} to be examined has an exam passage")
        self._passages = corpus.select(np.concatenate([corpus.ids_of(int(t), Split.EXAM)[:1] for t in self.topics]))

    def loss(self, learner: Learner) -> float:
        """Return the learner's mean exam loss over topics, in nats per token.

        Raises:
            DivergedError: If it is NaN or infinite.
        """
        loss = float(np.mean(learner.losses(self._passages), dtype=np.float64))
        if not np.isfinite(loss):
            raise DivergedError("the exam loss is not finite")
        return loss
