"""A learner without a model, for tests of what happens around learners."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.errors import KgrlError
from kgrl.learners import Learned

__all__ = ["FakeLearner"]


class FakeLearner:
    """A learner whose loss of a topic falls with the words read about it, and a little with all others.

    The loss is 1 + 3 exp(-(own + others / 10) / 100) nats per token; a token is a word.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.read = np.zeros(len(corpus.graph))

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        if not len(passages) or token_budget < 2:
            raise ValueError("nothing to learn")
        losses, used, left = self.losses(passages), 0, token_budget
        for topic, tokens in zip(passages.topics.tolist(), self.count_tokens(passages).tolist(), strict=True):
            if left == 0:
                break
            self.read[topic] += min(tokens, left)
            used, left = used + 1, left - min(tokens, left)
        return Learned(token_budget - left, float(losses[:used].mean()), tuple(losses[:used].tolist()))

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        own = self.read[passages.topics]
        return (1 + 3 * np.exp(-(own + (self.read.sum() - own) / 10) / 100)).astype(np.float32)

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        return np.array([len(text.split()) for text in passages.texts], dtype=np.int64)

    def snapshot(self) -> NDArray[np.float64]:
        return self.read.copy()

    def restore(self, snapshot: NDArray[np.float64]) -> None:
        self.read = snapshot.copy()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fake.json").write_text(json.dumps(self.read.tolist()))

    def load(self, folder: Path) -> None:
        if not (folder / "fake.json").is_file():
            raise KgrlError(f"{folder} was not written by a fake learner")
        self.read = np.array(json.loads((folder / "fake.json").read_text()))
