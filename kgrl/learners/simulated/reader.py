"""The common part of simulated learners: how far they read, counted in words, and which corpus they read."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learned

__all__ = ["SimulatedReader", "tokens_of"]


class SimulatedReader(ABC):
    """A learner that reads no text: it counts words, and its losses are computed from what was read of which topic.

    Args:
        corpus: The corpus whose passages are taught and measured.
        tokens_per_word: Tokens for each word of text.
    """

    def __init__(self, corpus: Corpus, tokens_per_word: float) -> None:
        self.corpus, self._tokens_per_word = corpus, tokens_per_word

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        """Read passages in order until they or the budget are used up; see `Learner`."""
        if len(passages) == 0 or token_budget < 2:
            raise ValueError(f"cannot learn {len(passages)} passages with a budget of {token_budget} tokens")
        counts = self.count_tokens(passages)
        ends = np.cumsum(counts)
        # The first passage at whose end the budget is used up is the last one read, cut to fit.
        used = min(int(np.searchsorted(ends, token_budget)) + 1, len(passages))
        counts = counts[:used]
        counts[-1] -= max(0, int(ends[used - 1]) - token_budget)
        read = Passages(self.corpus, passages.ids[:used])
        losses = self.losses(read)
        self._teach(read.topics, counts)
        return Learned(int(counts.sum()), float(np.average(losses, weights=counts)), tuple(losses.tolist()))

    @abstractmethod
    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the loss of each passage in nats per token, shape `[passages]`; changes nothing."""

    @abstractmethod
    def _teach(self, topics: IntArray, counts: NDArray[np.int64]) -> None:
        """Learn a lesson.

        Args:
            topics: The topic of each passage, in the order of reading, `[passages]`.
            counts: The tokens read of each.
        """

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        """Return the approximate number of tokens of each passage, from its words, shape `[passages]`."""
        self._check_corpus(passages)
        words = np.maximum(self.corpus.word_counts[passages.ids], 1)
        return tokens_of(words, self._tokens_per_word)

    def _check_corpus(self, passages: Passages) -> None:
        """Refuse passages of another corpus, whose ids mean other texts."""
        # Usually it is the same object; only otherwise are fingerprints compared.
        if passages.corpus is not self.corpus and passages.corpus.fingerprint != self.corpus.fingerprint:
            raise ValueError(f"this learner reads {self.corpus!r}, not {passages.corpus!r}")


def tokens_of(words: ArrayLike, tokens_per_word: float) -> NDArray[np.int64]:
    """Return the tokens of passages with these numbers of words, at least 1 each."""
    return np.maximum(np.rint(np.multiply(words, tokens_per_word)), 1).astype(np.int64)
