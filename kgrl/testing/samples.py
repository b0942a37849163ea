"""Samples for the tests of plug-ins: a small made-up corpus, a curriculum on it, and expansions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.expansion import Expansion, Measurement
from kgrl.graph.topic_graph import TopicGraph
from kgrl.learners.make import make_learner
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.rewards.base import RewardContext

__all__ = ["sample_context", "sample_corpus", "sample_curriculum", "sample_expansions"]

_TITLES = ["Logic", "Set", "Number", "Order", "Graph", "Proof", "River", "Lake", "Rain", "Cloud", "Snow", "Ocean"]
_CATEGORIES = ["Mathematics"] * 6 + ["Nature"] * 6
_LESSON = 50
"""Tokens of a sample expansion."""


def sample_corpus() -> Corpus:
    """Return a corpus of twelve topics in two categories, with three passages each: train, probe and exam.

    The topics are linked in a ring, and by three links across it.

    Example:
        >>> len(sample_corpus().graph), len(sample_corpus())
        (12, 36)
    """
    around, across = np.arange(12), np.array([0, 1, 2])
    sources, targets = np.concatenate([around, across]), np.concatenate([(around + 1) % 12, across + 6])
    graph = TopicGraph.from_links(_TITLES, sources, targets, _CATEGORIES)
    texts = [_passage(topic, split) for topic in range(12) for split in range(3)]
    splits = [Split.TRAIN, Split.PROBE, Split.EXAM] * 12
    return Corpus("sample", graph, texts, np.repeat(np.arange(12), 3).tolist(), [int(split) for split in splits])


def _passage(topic: int, split: int) -> str:
    """Return a few sentences. Topics of a category share most of their words, so that one helps to predict another."""
    title, other = _TITLES[topic], _TITLES[(topic + split + 1) % 12]
    kind = "a thing that is counted and proved" if topic < 6 else "a thing that is seen and felt outside"
    return f"{title} is {kind}. Who knows {other} knows something of {title}. Page {split} is about {title} too. " * 3


def sample_context() -> RewardContext:
    """Return the context of rewards on the sample corpus; the goal is its second category.

    Example:
        >>> sample_context().embeddings.shape
        (12, 8)
    """
    corpus = sample_corpus()
    return RewardContext(corpus.graph, _embeddings(), corpus.graph.in_category("Nature"))


def _embeddings() -> NDArray[np.float32]:
    """Return unit vectors that are more alike within a category than across, float32 `[12, 8]`."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(2, 8)), 6, axis=0) + 0.5 * rng.normal(size=(12, 8))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def sample_curriculum() -> Curriculum:
    """Return a curriculum on the sample corpus with a small scratch learner; it runs in a second or less."""
    corpus, embeddings = sample_corpus(), _embeddings()
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    config = CurriculumConfig(nucleus=("Logic",), neighbourhood=2, budget_tokens=400, expansion_tokens=60)
    learner, retriever = make_learner("scratch", corpus, width=16, heads=2), FaissRetriever(train, embeddings)
    return Curriculum(corpus, learner, retriever, embeddings, None, config)


def sample_expansions() -> list[Expansion]:
    """Return six expansions of one curriculum on the sample corpus, the nucleus first, with every probe and measure.

    Example:
        >>> [step.title for step in sample_expansions()]
        ['Logic', 'Number', 'Order', 'Lake', 'Proof', 'Rain']
    """
    neighbourhoods = [(0, 1), (2,), (3, 4), (7, 6), (5,), (8, 9)]
    return [_expansion(index, topics) for index, topics in enumerate(neighbourhoods)]


def _expansion(index: int, topics: tuple[int, ...]) -> Expansion:
    """Return a made-up expansion. Lessons grow by seven tokens each, so that no two have the same size."""
    rng = np.random.default_rng(index)
    tokens = _LESSON + 7 * index
    before = sum(_LESSON + 7 * earlier for earlier in range(index))
    # Sorted, since a lesson lowers the loss of the passages that it teaches.
    after_loss, before_loss = sorted(rng.uniform(2, 4, size=2).tolist())
    return Expansion(
        index=index,
        topic=topics[0],
        title=_TITLES[topics[0]],
        neighbourhood=topics,
        passages=tuple(3 * topic for topic in topics),
        tokens=tokens,
        tokens_total=before + tokens,
        budget=500,
        train_loss=before_loss,
        probes={
            "mean": _measurement((2, 8, 10), rng),
            "target": _measurement((8, 10), rng),
            "self": _measurement(topics, rng),
            "read": _measurement(tuple(dict.fromkeys((*topics, 0, 1))), rng),
            "unread": _measurement((10, 11), rng),
        },
        seconds={"research": 0.1, "learn": 1.0 + 0.1 * index, "probe": 0.2},
        measures={
            "trained_before": before_loss,
            "trained_after": after_loss,
            "reference": 2.0,
            "gradient_squared": rng.uniform(0.1, 1),
            "gradient_weights": rng.normal(),
            "alignment": rng.uniform(-1, 1),
            "weights_squared_before": 10.0 + index,
            "weights_squared_after": 11.0 + index,
            "flops": 6e6 * tokens,
        },
    )


def _measurement(topics: tuple[int, ...], rng: np.random.Generator) -> Measurement:
    before = rng.uniform(2, 4, size=len(topics))
    after = before - rng.normal(0.1, 0.1, size=len(topics))
    return Measurement(topics, tuple(before.tolist()), tuple(after.tolist()))
