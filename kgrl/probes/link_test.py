"""Test of links: how many of the links that a topic's probe passage states does a learner know.

A link is known if the sentence of the probe passage is likelier with the linked topic's title than with 15 others. This
asks for the learned part of a language model's implicit graph directly. The exam does not enter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.probes.mentions import N_WRONG, LinkMention, OtherTitles, mentions_of
from kgrl.probes.questions import Question
from kgrl.probes.recall import Recall

__all__ = ["LinkTest"]

_MOST_READ = 1_024
"""Topics whose links are looked at at most, so that a test's cost does not grow with what was read."""


class LinkTest:
    """Asks a learner for the links that probe passages state.

    The 15 wrong names are those that topics which were read by the time of the question link to, drawn in proportion to
    the number of these links, of the category of the right name where it has enough of them; none is linked with the
    topic. So neither knowing which names were read nor which are frequent helps: with names drawn from all topics, or
    alike from those that were read, half of the links seem to be known when no fact is.

    Args:
        corpus: The corpus with its links.

    Example:
        >>> from kgrl.data import load_corpus
        >>> from kgrl.learners import ScratchLearner
        >>> corpus = load_corpus("invented:300")
        >>> test = LinkTest(corpus)
        >>> test
        LinkTest(corpus='invented:300:0')
        >>> shares, tokens = test.ask(
        ...     ScratchLearner(corpus, width=16, heads=2), np.array([0, 1]), np.arange(300), np.random.default_rng(0)
        ... )
        >>> shares.shape, tokens > 0
        ((2,), True)
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._mentions: dict[int, list[LinkMention]] = {}

    def __repr__(self) -> str:
        return f"LinkTest(corpus={self.corpus.name!r})"

    def mentions(self, topic: int) -> list[LinkMention]:
        """Return the mentions of linked topics in a topic's probe passage, the first of each."""
        if topic not in self._mentions:
            has = len(self.corpus.of(topic, Split.PROBE)) > 0
            found = list(mentions_of(self.corpus, topic, Split.PROBE)) if has else []
            self._mentions[topic] = list({mention.named: mention for mention in reversed(found)}.values())[::-1]
        return self._mentions[topic]

    def ask(
        self, learner: Learner, topics: IntArray, read: IntArray, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], int]:
        """Ask a learner for the links of some topics; changes nothing.

        Args:
            learner: The learner, which has to read text.
            topics: The topics to ask about, `[n]`.
            read: The topics that were read, from whose links wrong names are drawn.
            rng: Draws them.

        Returns:
            The share of each topic's links that are known, NaN where none can be asked for, float32 `[n]`; and the
            number of tokens that the learner read.

        Raises:
            SettingError: If the learner reads no text.
            DivergedError: If a loss is not finite.
        """
        some = rng.permutation(read)[:_MOST_READ]
        named = np.concatenate([self.corpus.graph.out(int(topic)) for topic in some]) if len(some) else some
        titles = OtherTitles(self.corpus.graph, named.tolist())
        wanted = [mention for topic in topics for mention in self.mentions(int(topic))]
        questions = [question for mention in wanted if (question := _question(mention, titles, rng)) is not None]
        shares = np.full(len(topics), np.nan, dtype=np.float32)
        if not questions:
            return shares, 0
        recall = Recall(self.corpus, questions)
        answers, tokens = recall.answers_once(learner)
        asked = np.array([question.topic for question in recall.questions])
        for at in np.flatnonzero(np.isin(topics, asked)):
            shares[at] = answers[asked == topics[at]].mean()
        return shares, tokens


def _question(mention: LinkMention, titles: OtherTitles, rng: np.random.Generator) -> Question | None:
    """Return the question that a mention asks; None if there are too few other names."""
    others = titles.others(mention, rng)
    if len(others) < N_WRONG:
        return None
    return Question(mention.topic, mention.sentence, tuple(map(mention.with_name, others)), "", mention.named)
