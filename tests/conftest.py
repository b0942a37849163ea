"""Shared fixtures: a made-up corpus that is small, varied and the same on every run."""

from __future__ import annotations

import json
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

from kgrl.corpus import Corpus, Passages, cut, split_passages
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.errors import KgrlError
from kgrl.graph import TopicGraph
from kgrl.learners import ScratchLearner
from kgrl.learners.base import Learned
from kgrl.retrieval import FaissRetriever, indexed_passages

# Tests say nothing about time: a busy machine is no failure.
settings.register_profile("kgrl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kgrl")

_CATEGORIES = {
    "Mathematics": (
        "Number Set Function Group Ring Field Vector Matrix Limit Series Graph Proof Angle Circle",
        "theorem equation symmetry axiom product sum mapping structure operation order size pattern",
        "counts measures proves orders combines divides compares transforms",
        "finite abstract prime regular infinite simple discrete elegant",
    ),
    "Nature": (
        "River Forest Mountain Ocean Desert Island Storm Glacier Meadow Volcano Lake Valley Cave",
        "water soil animal plant season climate stone wind rain seed root shore predator",
        "shelters feeds erodes floods covers warms shapes carries",
        "wild cold fertile ancient dry deep rocky green",
    ),
    "Craft": (
        "Pottery Weaving Carpentry Masonry Glass Bookbinding Dyeing Forging Basketry Leather Paper Bronze Bread",
        "tool workshop clay thread timber pigment furnace apprentice guild vessel pattern blade oven",
        "joins hardens colours decorates repairs carves polishes heats",
        "skilled fine handmade durable local painted heavy useful",
    ),
}
_TEMPLATES = (
    "{title} is a {adjective} {noun} that {verb} every {noun2} known in {other}.",
    "In early times the {adjective} {noun} {verb} the {noun2}, and {title} was named after it.",
    "Most writers agree that {title} {verb} a {noun} more often than a {adjective} {noun2}.",
    "Where a {noun} meets the {adjective} {noun2}, {title} {verb} both and changes neither.",
    "A student of {other} may find that the {noun} of {title} {verb} its {adjective} {noun2}.",
    "By the year {year} some {noun} had become {adjective}, which {verb} the {noun2} of {title} to this day.",
    "Without a {adjective} {noun}, so the saying goes, {title} {verb} no {noun2} at all.",
    "There are {count} kinds of {noun} in {title}; the {adjective} one {verb} the {noun2}.",
)
_SENTENCES = 24


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
def wikispeedia_root() -> Path:
    """The folder of the Wikispeedia archives; skips where `KGRL_DATA` does not hold them."""
    data = os.environ.get("KGRL_DATA")
    if not data:
        pytest.skip("KGRL_DATA is not set: it names a folder that holds wikispeedia/")
    root = Path(data) / "wikispeedia"
    if not (root / "wikispeedia_paths-and-graph.tar.gz").is_file():
        pytest.skip(f"{root} does not hold the Wikispeedia archives")
    return root


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
        return Learned(token_budget - left, float(losses[:used].mean()), used)

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


def make_tiny_corpus(seed: int = 0) -> Corpus:
    """Write the texts and draw the links of `tiny_corpus`."""
    rng = np.random.default_rng(seed)
    titles = [(title, name) for name, (titles, *_) in _CATEGORIES.items() for title in titles.split()]
    texts: list[str] = []
    topics: list[int] = []
    splits: list[int] = []
    for topic, (title, category) in enumerate(titles):
        passages = cut(_write(title, category, [t for t, c in titles if c == category], rng))
        texts += passages
        topics += [topic] * len(passages)
        splits += split_passages(title, passages).tolist()
    graph = TopicGraph.from_links([t for t, _ in titles], *_draw_links(len(titles), rng), [c for _, c in titles])
    return Corpus("tiny", graph, texts, topics, splits)


def _write(title: str, category: str, siblings: list[str], rng: np.random.Generator) -> str:
    """Made-up prose about one topic."""
    _, nouns, verbs, adjectives = (words.split() for words in _CATEGORIES[category])

    def sentence() -> str:
        noun, noun2 = rng.choice(nouns, size=2, replace=False)
        return str(rng.choice(_TEMPLATES)).format(
            title=title,
            noun=noun,
            noun2=noun2,
            verb=rng.choice(verbs),
            adjective=rng.choice(adjectives),
            other=rng.choice(siblings),
            year=int(rng.integers(900, 2000)),
            count=int(rng.integers(2, 90)),
        )

    return " ".join(sentence() for _ in range(_SENTENCES))


def _draw_links(n: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """A ring, which connects the graph, and two links from each topic, mostly to topics of like number."""
    sources, targets = list(range(n)), [(i + 1) % n for i in range(n)]
    for topic in range(n):
        near = (topic + int(rng.integers(2, 9))) % n
        far = int(rng.integers(n))
        sources += [topic, topic]
        targets += [near, far]
    return sources, targets
