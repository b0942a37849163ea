"""The exam: held-out passages that only reports see.

Neither the curriculum's loop nor any reward or agent imports this module.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError, KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.probes.prober import sample_topics
from kgrl.system.display import count_text

__all__ = ["Exam"]

_SEED = 20_26
"""The exam is the same for every agent and every seed: a fixed sample with uniform weights."""


class Exam:
    """A fixed sample of exam passages, one for each topic, weighted uniformly.

    Args:
        corpus: The corpus.
        goal: Topics to draw the sample from; all if None.
        size: Most topics of the sample.

    Attributes:
        topics: The topics examined, ascending, int32 `[topics]`.

    Raises:
        KgrlError: If no topic has an exam passage.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import make_learner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> texts = ["Logic asks what follows.", "It asks why it follows.", "A set has members.", "Sets are equal."]
        >>> corpus = Corpus("two", graph, texts, [0, 0, 1, 1], [Split.TRAIN, Split.EXAM, Split.TRAIN, Split.EXAM])
        >>> exam = Exam(corpus)
        >>> exam
        Exam('two', 2 topics)
        >>> exam.losses(make_learner("scratch", corpus)).shape
        (2,)
    """

    def __init__(self, corpus: Corpus, goal: IntArray | None = None, size: int = 64) -> None:
        self.topics = sample_topics(corpus, Split.EXAM, size, _SEED, goal)
        if not len(self.topics):
            others = f"{int(corpus.has(Split.EXAM).sum()):,} of its {count_text(len(corpus.graph), 'topic')} have one"
            raise KgrlError(f"no topic of {corpus.name!r} to be examined has an exam passage; {others}")
        self._passages = corpus.select(np.concatenate([corpus.ids_of(int(t), Split.EXAM)[:1] for t in self.topics]))

    def __repr__(self) -> str:
        return f"Exam({self._passages.corpus.name!r}, {count_text(len(self.topics), 'topic')})"

    def losses(self, learner: Learner) -> NDArray[np.float64]:
        """Return the learner's exam losses by topic, in nats per token, float64 `[topics]`.

        Raises:
            DivergedError: If a loss is NaN or infinite; the message names its topic.
        """
        losses = learner.losses(self._passages).astype(np.float64)
        for bad in np.flatnonzero(~np.isfinite(losses)):
            title = self._passages.corpus.graph.titles[self.topics[bad]]
            raise DivergedError(f"the exam loss of {title!r} is not finite")
        return losses
