"""A corpus with its embeddings and research, made once for all measurements on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.research_kernels import ResearchTables
from kgrl.curriculum.researcher import Researcher
from kgrl.learners.base import Learner
from kgrl.retrieval.base import Retriever

__all__ = ["PreparedCorpus"]


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus, and what belongs to it.

    Args:
        corpus: The corpus.
        retriever: Searches its train passages.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        tables: Research tables of its curricula; computing them takes longer than what a scratch learner learns.
    """

    corpus: Corpus
    retriever: Retriever
    embeddings: NDArray[np.float32]
    tables: ResearchTables

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a corpus by name."""
        from kgrl.data.load import load_corpus
        from kgrl.retrieval.corpus_index import embed_corpus
        from kgrl.retrieval.encoder import Encoder

        corpus = load_corpus(name)
        return cls.of(corpus, *embed_corpus(corpus, Encoder()))

    @classmethod
    def of(cls, corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32]) -> Self:
        """Put together a corpus that is loaded."""
        research = Researcher(corpus, retriever, embeddings, CurriculumConfig().neighbourhood)
        return cls(corpus, retriever, embeddings, research.tables)

    def curriculum(self, learner: Learner, config: CurriculumConfig) -> Curriculum:
        """Return a curriculum that nobody is rewarded in."""
        return Curriculum(self.corpus, learner, self.retriever, self.embeddings, None, config, tables=self.tables)
