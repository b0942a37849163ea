"""Research: find the neighbourhood of a topic and the train passages that are relevant to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.graph import Frontier, IntArray
from kgrl.retrieval import Retriever

__all__ = ["Researcher"]


class Researcher:
    """Gathers what one expansion trains on.

    Args:
        corpus: The corpus.
        retriever: Searches its train passages.
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        neighbourhood: Most topics of a neighbourhood, the picked one included.
    """

    def __init__(
        self, corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32], neighbourhood: int = 8
    ) -> None:
        self.corpus = corpus
        self.retriever = retriever
        self.embeddings = embeddings
        self.neighbourhood_size = neighbourhood
        self._trainable = corpus.has(Split.TRAIN)

    def neighbourhood(self, topic: int, frontier: Frontier) -> IntArray:
        """Return the topic and its closest related topics that are not learned yet.

        Related are the topics linked with it; closest are those with the largest cosine between embeddings.
        """
        near = self.corpus.graph.neighbours(topic)
        near = near[~frontier.is_learned[near] & self._trainable[near]]
        similarity = self.embeddings[near] @ self.embeddings[topic]
        closest = near[np.argsort(-similarity, kind="stable")[: self.neighbourhood_size - 1]]
        return np.concatenate([np.array([topic], dtype=np.int32), closest])

    def gather(self, neighbourhood: IntArray, used: NDArray[np.bool_], wanted: int) -> Passages:
        """Return train passages for a neighbourhood, most relevant first.

        Each topic's first unused passage comes first, in the neighbourhood's order, so that every topic is read; then
        what retrieval finds for the neighbourhood in the whole corpus, whichever topic it belongs to; then the topics'
        remaining passages.

        Args:
            neighbourhood: The topics, the picked one first.
            used: Whether each passage was trained on before, shape `[passages]`; used ones are left out.
            wanted: Number of passages to look for in retrieval.
        """
        own = [self.corpus.ids_of(int(t), Split.TRAIN) for t in neighbourhood]
        # Retrieval may have used up a topic's passages before its turn; they are then read again.
        own = [ids if used[ids].all() else ids[~used[ids]] for ids in own]
        found, _ = self.retriever.search(self.embeddings[neighbourhood], wanted)
        # Column by column: the best hit of every topic before anyone's second best.
        retrieved = found.T.ravel()
        retrieved = retrieved[retrieved >= 0]
        ranked = np.concatenate([*(ids[:1] for ids in own), retrieved[~used[retrieved]], *(ids[1:] for ids in own)])
        _, first = np.unique(ranked, return_index=True)
        return self.corpus.select(ranked[np.sort(first)])
