"""Research tables in the cache: the same as those looked up, and looked up once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.researcher import Researcher, kept_tables
from kgrl.graph import Frontier
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.retrieval.corpus_index import topic_embeddings


@pytest.fixture
def embedded(tiny_corpus: Corpus) -> tuple[FaissRetriever, NDArray[np.float32]]:
    ids = indexed_passages(tiny_corpus)
    vectors = np.random.default_rng(0).standard_normal((len(ids), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return FaissRetriever(ids, vectors), topic_embeddings(tiny_corpus.topics[ids], vectors, len(tiny_corpus.graph))


def test_kept_tables_are_those_looked_up_and_research_is_the_same(
    tiny_corpus: Corpus, embedded: tuple[FaissRetriever, NDArray[np.float32]], tmp_path: Path
) -> None:
    retriever, embeddings = embedded
    looked_up = Researcher(tiny_corpus, retriever, embeddings, 4)
    for _ in range(2):  # made, then opened
        tables = kept_tables(tiny_corpus, retriever, embeddings.copy(), 4, tmp_path / "entry")
        for kept, fresh in zip(tables, looked_up.tables, strict=True):
            assert np.array_equal(kept, fresh) and kept.dtype == fresh.dtype and kept.flags.c_contiguous
            assert not kept.flags.writeable
    researcher = Researcher(tiny_corpus, retriever, embeddings, 4, tables)
    frontier = Frontier(tiny_corpus.graph, [0])
    unused = np.zeros(len(tiny_corpus), dtype=bool)
    for topic in frontier.topics.tolist():
        neighbourhood = looked_up.neighbourhood(topic, frontier)
        assert researcher.neighbourhood(topic, frontier).tolist() == neighbourhood.tolist()
        found = [one.gather(neighbourhood, unused).ids.tolist() for one in (researcher, looked_up)]
        assert found[0] == found[1]


def test_nothing_is_searched_the_second_time(
    tiny_corpus: Corpus, embedded: tuple[FaissRetriever, NDArray[np.float32]], tmp_path: Path
) -> None:
    retriever, embeddings = embedded
    kept_tables(tiny_corpus, retriever, embeddings, 4, tmp_path / "entry")

    class Unasked:
        def search(self, queries: object, k: int) -> None:
            pytest.fail("searched again")

    again = kept_tables(tiny_corpus, Unasked(), embeddings.copy(), 4, tmp_path / "entry")  # type: ignore[arg-type]
    assert again.found.shape == (len(tiny_corpus.graph), 4)
