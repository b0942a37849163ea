"""Retrieval and research: what is found, in which order, and that held-out text is never embedded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig, Researcher
from kgrl.data import load_corpus, save_folder
from kgrl.graph import Frontier
from kgrl.retrieval import INDEXED_PER_TOPIC, FaissRetriever, embed_corpus, indexed_passages, topic_embeddings
from kgrl.retrieval.encoder import Encoder
from kgrl.testing import RetrieverContract


@pytest.fixture
def retriever(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> FaissRetriever:
    ids = indexed_passages(tiny_corpus)
    noise = np.random.default_rng(0).normal(scale=0.05, size=(len(ids), fake_embeddings.shape[1]))
    vectors = fake_embeddings[tiny_corpus.topics[ids]] + noise
    return FaissRetriever(ids, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


@pytest.fixture
def researcher(tiny_corpus: Corpus, retriever: FaissRetriever, fake_embeddings: NDArray[np.float32]) -> Researcher:
    return Researcher(tiny_corpus, retriever, fake_embeddings, neighbourhood=4)


class TestFaissRetriever(RetrieverContract):
    """The exact retriever keeps the contract."""

    @pytest.fixture
    def queries(self, fake_embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        return fake_embeddings[:7]


def test_search_agrees_with_sorting_all_cosines() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = rng.permutation(1000)[:50]
    found, scores = FaissRetriever(ids, vectors).search(vectors[:5], 10)
    cosines = vectors[:5] @ vectors.T
    order = np.argsort(-cosines, axis=1)[:, :10]
    assert np.array_equal(found, ids[order])
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, order, axis=1), rtol=1e-5)


def test_only_the_first_train_passages_are_embedded(tiny_corpus: Corpus) -> None:
    ids = indexed_passages(tiny_corpus)
    assert set(tiny_corpus.splits[ids]) == {Split.TRAIN}
    assert np.bincount(tiny_corpus.topics[ids]).max() <= INDEXED_PER_TOPIC


def test_topic_embeddings_are_unit_means() -> None:
    vectors = np.eye(3, dtype=np.float32)
    embeddings = topic_embeddings(np.array([1, 1, 3], dtype=np.int32), vectors, 4)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(embeddings, [[0, 0, 0], [half, half, 0], [0, 0, 0], [0, 0, 1]], rtol=1e-6)


def test_a_neighbourhood_is_the_topic_and_its_closest_unlearned_neighbours(
    researcher: Researcher, tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    frontier = Frontier(tiny_corpus.graph, [0])
    topic = int(frontier.topics[0])
    near = [t for t in tiny_corpus.graph.neighbours(topic).tolist() if t != 0]
    expected = sorted(near, key=lambda t: -float(fake_embeddings[t] @ fake_embeddings[topic]))[:3]
    assert researcher.neighbourhood(topic, frontier).tolist() == [topic, *expected]


def test_every_topic_is_read_before_any_is_read_twice(researcher: Researcher, tiny_corpus: Corpus) -> None:
    topics = researcher.neighbourhood(5, Frontier(tiny_corpus.graph, [4]))
    passages = researcher.gather(topics, np.zeros(len(tiny_corpus), dtype=bool))
    assert passages.topics[: len(topics)].tolist() == topics.tolist()
    assert len(set(passages.ids.tolist())) == len(passages)
    assert set(tiny_corpus.splits[passages.ids]) == {Split.TRAIN}


def test_what_was_read_is_not_gathered_again_while_there_is_more(researcher: Researcher, tiny_corpus: Corpus) -> None:
    topics = np.array([5], dtype=np.int32)
    used = np.zeros(len(tiny_corpus), dtype=bool)
    first = researcher.gather(topics, used)
    used[first.ids[:3]] = True
    again = researcher.gather(topics, used)
    assert not set(first.ids[:3].tolist()) & set(again.ids.tolist())


def test_a_topic_whose_passages_are_used_up_is_read_again(researcher: Researcher, tiny_corpus: Corpus) -> None:
    used = np.ones(len(tiny_corpus), dtype=bool)
    passages = researcher.gather(np.array([5], dtype=np.int32), used)
    assert set(passages.topics.tolist()) == {5}


def test_an_open_corpus_keeps_its_vectors_when_its_folder_is_edited(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    save_folder(tiny_corpus, tmp_path / "mine")
    opened, passages = load_corpus(tmp_path / "mine"), tmp_path / "mine" / "passages.jsonl"
    _, before = embed_corpus(opened, Encoder())
    passages.write_text(passages.read_text().replace("theorem", "legend"))
    assert embed_corpus(opened, Encoder())[1] is before
    edited = load_corpus(tmp_path / "mine")
    after = embed_corpus(edited, Encoder())[1]
    changed = (before != after).any(axis=1)
    assert changed.any() and not changed.all()
    assert embed_corpus(opened, Encoder())[1] is before


def test_a_cache_that_vanishes_between_two_curricula_is_made_again(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    options = {"width": 16, "heads": 2, "vocabulary": 300}
    config = CurriculumConfig(budget_tokens=600, expansion_tokens=200, neighbourhood=3, nucleus_size=2)
    records = []
    for _ in range(2):
        curriculum = Curriculum.make(tiny_corpus, "scratch", None, config, **options)
        shutil.rmtree(tmp_path / "cache")
        records.append([(e.topic, e.passages) for e in curriculum.run(make_agent("similarity"))])
    assert records[0] == records[1]
