"""Neighbourhoods of `wikispeedia` as tasks, with lessons and tests, for `modules.py` and `sequential.py`.

Each of the graph's communities (Louvain) is represented by its most typical topics: well linked, and with the largest
share of their links inside. Topics are read in turns: the first passage of each, then the second of each. A random
partition regroups the same topics, with the same passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.graph.communities import find_communities
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder

COMMUNITIES, HELD_OUT, MOST_HELD_OUT = 8, 2, 16
"""Number of neighbourhoods; held-out passages per topic, and most of a neighbourhood."""
TOKENS_PER_TOPIC, LEAST_LINKS, LEAST_PASSAGES = 750, 100, 20
RANK, ALPHA = 8, 16
SMALL, SMALL_TOKENS = "2m", 2_000_000
"""The preset of the small base model, and the tokens it is pretrained on."""


@dataclass(frozen=True)
class Task:
    """One neighbourhood: its topics, its lesson, and the passages for choosing settings and for comparing methods.

    Args:
        number: Its number.
        topics: Its topics.
        train: The passages of its lesson.
        probe: Held-out passages that settings are chosen by.
        exam: Held-out passages that methods are compared by.
    """

    number: int
    topics: IntArray
    train: Passages
    probe: Passages
    exam: Passages


@cache
def corpus() -> Corpus:
    """Return the corpus of all tasks."""
    return load_corpus("wikispeedia")


@cache
def embeddings() -> NDArray[np.float32]:
    """Return its topics' embeddings, `[topics, dimensions]`."""
    return embed_corpus(corpus(), Encoder())[1]


@cache
def partition() -> IntArray:
    """The community of each topic, `[topics]`."""
    return find_communities(corpus().graph, COMMUNITIES)


def make_learner(seed: int, *, model: str = "smollm2", slots: int = 1, **options: Any) -> LoraLearner:
    """Return a base model with an adapter of rank 8, or of rank 8 for each of several slots, at the same scale.

    Args:
        seed: Seeds the adapter.
        model: `"smollm2"`, or the folder of another.
        slots: Slots of O-LoRA.
        options: Further options of `LoraLearner`.
    """
    return LoraLearner(corpus(), seed=seed, model=model, rank=slots * RANK, alpha=slots * ALPHA, **options)


def small_base(folder: Path, tokens: int) -> str:
    """Return a decoder of 2 million parameters, pretrained on all topics but those of the tasks; made if missing.

    Args:
        folder: Its folder.
        tokens: Tokens of each neighbourhood in the tasks that it will learn.
    """
    if not (folder / "config.json").exists():
        learner = ScratchLearner(corpus(), preset=SMALL)
        groups = typical_topics(tokens)
        others = ~np.isin(corpus().topics, np.concatenate(groups)) & (corpus().splits == Split.TRAIN)
        drawn = np.random.default_rng(0).permutation(np.flatnonzero(others))
        learned = learner.learn(corpus().select(drawn), SMALL_TOKENS)
        learner.save(folder)
        print(f"pretrained {folder}: training loss {learned.loss:.3f}", flush=True)
    return str(folder)


def graph_tasks(learner: LoraLearner, tokens: int) -> list[Task]:
    """Return the communities in order of size, each with text for so many tokens."""
    return _tasks(typical_topics(tokens), learner, tokens)


def typical_topics(tokens: int) -> list[NDArray[Any]]:
    """Return the topics that represent each community: more of them for more tokens."""
    ends = np.concatenate(corpus().graph.links()), np.concatenate(corpus().graph.links()[::-1])
    links = np.bincount(ends[0], minlength=len(partition()))
    inside = np.bincount(ends[0], partition()[ends[0]] == partition()[ends[1]], minlength=len(partition()))
    passages = np.bincount(corpus().topics[corpus().splits == Split.TRAIN], minlength=len(partition()))
    # The share of a topic's links that stay inside; topics with few links or little text are out of the question.
    typical = np.where((links >= LEAST_LINKS) & (passages >= LEAST_PASSAGES), inside / np.maximum(links, 1), -1.0)
    groups = [np.flatnonzero(partition() == c) for c in range(COMMUNITIES)]
    size = max(1, tokens // TOKENS_PER_TOPIC)
    return [group[np.argsort(-typical[group], kind="stable")[:size]] for group in groups]


def random_tasks(learner: LoraLearner, tokens: int, seed: int) -> list[Task]:
    """Return the same topics in groups of the same size, drawn by the seed."""
    topics = np.concatenate([task.topics for task in graph_tasks(learner, tokens)])
    return _tasks(np.split(np.random.default_rng(seed).permutation(topics), COMMUNITIES), learner, tokens)


def joint_lesson(tasks: Sequence[Task], seed: int) -> Passages:
    """Return the text of all tasks, shuffled."""
    ids = np.concatenate([task.train.ids for task in tasks])
    return corpus().select(np.random.default_rng(seed).permutation(ids))


def mean_losses(learner: LoraLearner, groups: Sequence[Passages]) -> list[float]:
    """Return the mean loss of each group of passages, in nats per token."""
    losses = learner.losses(corpus().select(np.concatenate([group.ids for group in groups])))
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return [float(part.mean()) for part in np.split(losses.astype(np.float64), ends)]


def _tasks(groups: Sequence[NDArray[Any]], learner: LoraLearner, tokens: int) -> list[Task]:
    tasks = []
    for number, topics in enumerate(group.astype(np.int32) for group in groups):
        train, probe, exam = (corpus().select(_in_turns(topics, split)) for split in Split)
        enough = int(np.searchsorted(np.cumsum(learner.count_tokens(train)), tokens)) + 1
        held_out = min(MOST_HELD_OUT, HELD_OUT * len(topics))
        tasks.append(Task(number, topics, _first(train, enough), _first(probe, held_out), _first(exam, held_out)))
    return tasks


def _first(passages: Passages, n: int) -> Passages:
    return corpus().select(passages.ids[:n])


def _in_turns(topics: IntArray, split: Split) -> IntArray:
    columns = [corpus().ids_of(int(topic), split) for topic in topics]
    # A stable sort by the number within the topic: first passages first, topics in their order.
    turns = np.concatenate([np.arange(len(ids)) for ids in columns])
    return np.concatenate(columns)[np.argsort(turns, kind="stable")]
