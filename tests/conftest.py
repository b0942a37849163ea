"""Shared fixtures: a made-up corpus that is small, varied and the same on every run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.learners import ScratchLearner
from kgrl.retrieval import FaissRetriever, indexed_passages
from tests.support.fake_learner import FakeLearner
from tests.support.tiny_corpus import make_tiny_corpus

# Tests say nothing about time: a busy machine is no failure.
settings.register_profile("kgrl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kgrl")


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Keep quick tests out of the user's cache; integration tests share it, since filling it takes minutes."""
    if request.node.get_closest_marker("integration") is None:
        monkeypatch.setenv("KGRL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run quick tests' tiny networks on one thread: more only wait for one another, sixfold on a busy machine."""
    threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    if request.node.get_closest_marker("integration") is None:
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
    yield
    torch.set_num_threads(threads[0])
    faiss.omp_set_num_threads(threads[1])


@pytest.fixture(scope="session")
def tiny_corpus() -> Corpus:
    """Forty topics in three categories; connected; every topic has train, probe and exam passages."""
    return make_tiny_corpus()


@pytest.fixture(scope="session")
def base_folder(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as any other: what a scratch learner saves is one."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    ScratchLearner(tiny_corpus, seed=9, width=32, heads=2, vocabulary=400).save(folder)
    return folder


@pytest.fixture(scope="session")
def fake_embeddings(tiny_corpus: Corpus) -> NDArray[np.float32]:
    """Unit topic embeddings of `tiny_corpus`, float32 of shape `[topics, 16]`: near within a category, apart across."""
    rng = np.random.default_rng(7)
    centres = {name: rng.normal(size=16) for name in tiny_corpus.graph.category_names}
    rows = np.stack([centres[c] + 0.5 * rng.normal(size=16) for c in tiny_corpus.graph.categories])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make_tiny_curriculum(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> Callable[..., Curriculum]:
    """Makes curricula on `tiny_corpus` with a fake learner: `make_tiny_curriculum(reward, **config fields)`."""

    def make(reward: Any = "mean-prediction-gain", **config: Any) -> Curriculum:
        settings = {"budget_tokens": 4_000, "expansion_tokens": 200, "neighbourhood": 3, "nucleus_size": 2, **config}
        ids = indexed_passages(tiny_corpus)
        retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
        learner = FakeLearner(tiny_corpus)
        return Curriculum(tiny_corpus, learner, retriever, fake_embeddings, reward, CurriculumConfig(**settings))

    return make


@pytest.fixture
def fictional_root() -> Path:
    """The folder of the file of Fictional Knowledge; skips where `KGRL_DATA` does not hold it."""
    data = os.environ.get("KGRL_DATA")
    if not data:
        pytest.skip("KGRL_DATA is not set: it names a folder that holds fictional_knowledge/")
    root = Path(data) / "fictional_knowledge"
    if not (root / "fictional_knowledge_paraphrased.json").is_file():
        pytest.skip(f"{root} does not hold Fictional Knowledge")
    return root


@pytest.fixture
def wikispeedia_root() -> Path:
    """The folder of the Wikispeedia archives; skips where `KGRL_DATA` does not hold them."""
    data = os.environ.get("KGRL_DATA")
    if not data:
        pytest.skip("KGRL_DATA is not set: it names a folder that holds wikispeedia/")
    root = Path(data) / "wikispeedia"
    if not (root / "wikispeedia_paths-and-graph.tar.gz").is_file():
        pytest.skip(f"{root} does not hold the Wikispeedia archives")
    return root
