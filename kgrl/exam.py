"""The exam: held-out passages that only reports see.

Nothing in the loop, no reward and no agent imports this module.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError, KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.probes.prober import sample_topics

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

    def losses(self, learner: Learner) -> NDArray[np.float64]:
        """Return the learner's exam loss of each of the topics in nats per token, shape `[topics]`.

        Raises:
            DivergedError: If one is NaN or infinite; the message names its topic.
        """
        losses = learner.losses(self._passages).astype(np.float64)
        for bad in np.flatnonzero(~np.isfinite(losses)):
            title = self._passages.corpus.graph.titles[self.topics[bad]]
            raise DivergedError(f"the exam loss of {title!r} is not finite")
        return losses
