"""Research: find the neighbourhood of a topic and the train passages that are relevant to it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum.research_kernels import ResearchTables, gather_into, neighbourhood_into
from kgrl.graph.frontier import Frontier
from kgrl.graph.relations import pair_cosines
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.base import Retriever
from kgrl.system.cache import cached_arrays
from kgrl.system.memo import keep_recent, read_only

__all__ = ["Researcher", "kept_tables"]

_QUERIES_AT_ONCE = 1024
_ALL = 2**62


class Researcher:
    """Gathers the passages that one expansion trains on.

    The passages that retrieval finds for a topic never change, so all topics are looked up at first use, by a matrix
    product of about a second for ten thousand topics.

    Args:
        corpus: The corpus.
        retriever: Searches its train passages.
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        neighbourhood: Most topics of a neighbourhood, the picked one included; also the number of passages that
            retrieval looks for, for each of them.
        tables: The tables of another researcher with the same arguments; looked up at first use if None.
    """

    def __init__(
        self,
        corpus: Corpus,
        retriever: Retriever,
        embeddings: NDArray[np.float32],
        neighbourhood: int = 8,
        tables: ResearchTables | None = None,
    ) -> None:
        self.corpus = corpus
        self.retriever = retriever
        self.embeddings = embeddings
        self.neighbourhood_size = neighbourhood
        self._trainable = corpus.has(Split.TRAIN)
        self._no_tokens = np.zeros(len(corpus), dtype=np.int64)
        self._tables = tables

    @property
    def tables(self) -> ResearchTables:
        """The arrays that research looks neighbours, passages and retrieved passages up in."""
        if self._tables is None:
            self._tables = _research_tables(self.corpus, self.retriever, self.embeddings, self.neighbourhood_size)
        return self._tables

    @cached_property
    def usual_passages(self) -> int:
        """Number of passages that a neighbourhood of average topics brings, at least one.

        Each topic brings its own passages and those that retrieval finds for it, except for one: as a rule, one of the
        retrieved passages is the topic's own.
        """
        passages = int(np.count_nonzero(self.corpus.splits == Split.TRAIN))
        owned = passages / max(int(np.count_nonzero(self._trainable)), 1)
        return max(round(self.neighbourhood_size * (owned + self.neighbourhood_size - 1)), 1)

    def neighbourhood(self, topic: int, frontier: Frontier, among: NDArray[np.bool_] | None = None) -> IntArray:
        """Return the topic and its closest related topics that are not learned yet.

        Related are the topics linked with it; closest are those with the largest cosine between embeddings. Topics that
        lack prerequisites are left out, or a lesson would teach a topic together with what it is needed for.

        Args:
            topic: The topic.
            frontier: What is learned.
            among: Which topics may be related, shape `[topics]`; all if None.
        """
        out, allowed = np.empty(self.neighbourhood_size, dtype=np.int32), self._trainable
        if among is not None:
            allowed = allowed & among
        if frontier.prerequisites is not None:
            allowed = allowed & frontier.has_prerequisites
        return out[: neighbourhood_into(self.tables, frontier.is_solid, allowed, topic, out)]

    def gather(self, neighbourhood: IntArray, used: NDArray[np.bool_], frontier: Frontier | None = None) -> Passages:
        """Return train passages for a neighbourhood, most relevant first.

        Each topic's first unused passage comes first, in the neighbourhood's order, so that every topic is read; then
        what retrieval finds for the neighbourhood in the whole corpus, whichever topic it belongs to, the best for
        every topic before anyone's second best; then the topics' remaining passages. Where retrieval has used up a
        topic's passages before its turn, they are read again.

        Args:
            neighbourhood: The topics, the picked one first.
            used: Whether each passage was trained on before, shape `[passages]`; used ones are left out.
            frontier: What is learned. Other topics' passages are left out while their topics lack prerequisites; if
                None, none are.
        """
        if frontier is not None and frontier.prerequisites is not None:
            lacking = ~frontier.has_prerequisites
            lacking[neighbourhood] = False
            used = used | lacking[self.corpus.topics]
        tables, n = self.tables, len(neighbourhood)
        most = int((tables.owned[neighbourhood + 1] - tables.owned[neighbourhood]).sum()) + n * tables.found.shape[1]
        out = np.empty(most, dtype=np.int32)
        return self.corpus.select(out[: gather_into(tables, used, neighbourhood, n, self._no_tokens, _ALL, out)])


@keep_recent(2)  # environments of one corpus share them
def kept_tables(
    corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32], neighbourhood: int, entry: Path
) -> ResearchTables:
    """Return research tables from the cache; look them up the first time.

    Args:
        corpus: The corpus.
        retriever: Searches its train passages.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        neighbourhood: As for `Researcher`.
        entry: The cache entry; its name says which corpus and which encoder the tables are of.
    """

    def make() -> ResearchTables:
        """Look up all topics."""
        return _research_tables(corpus, retriever, embeddings, neighbourhood)

    return ResearchTables(*cached_arrays(entry, ResearchTables._fields, make))


@keep_recent(2)
def _research_tables(
    corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32], neighbourhood: int
) -> ResearchTables:
    """Look up the relatives, the train passages and the retrieved passages of all topics."""
    starts, related = _nearest_first(corpus, embeddings)
    found = [
        retriever.search(embeddings[first : first + _QUERIES_AT_ONCE], neighbourhood)[0]
        for first in range(0, len(embeddings), _QUERIES_AT_ONCE)
    ]
    arrays = starts, related, *corpus.rows_of(Split.TRAIN), np.concatenate(found)
    return ResearchTables(*(read_only(array) for array in arrays))


def _nearest_first(corpus: Corpus, embeddings: NDArray[np.float32]) -> tuple[NDArray[np.int64], IntArray]:
    """The topics linked with each, those of the largest cosine first; topic order where cosines are the same."""
    starts, targets = corpus.graph.undirected
    sources = np.repeat(np.arange(len(corpus.graph)), np.diff(starts))
    cosines = pair_cosines(embeddings, sources, targets)
    return starts, targets[np.lexsort((targets, -cosines, sources))]
