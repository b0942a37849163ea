"""Neighbourhoods of `wikispeedia` as tasks: what each teaches and what it is tested on. Shared by other scripts.

Each of the graph's communities (Louvain) is represented by the topics that are most typical of it: well linked, and
with the largest share of their links inside. Topics are read in turns: the first passage of each, then the second of
each. A random partition regroups the same topics, with the same passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.encoder import Encoder
from kgrl.graph import IntArray
from kgrl.learners import LoraLearner
from kgrl.learners.neighbourhoods import communities
from kgrl.retrieval import embed_corpus

COMMUNITIES, TOPICS, EXAM_PASSAGES = 8, 4, 8
LEAST_LINKS, LEAST_PASSAGES = 100, 20
RANK, ALPHA = 8, 16


@dataclass(frozen=True)
class Task:
    """One neighbourhood: its topics, what is learned of it and what it is tested on."""

    number: int
    topics: IntArray
    train: Passages
    exam: Passages


@cache
def corpus() -> Corpus:
    return load_corpus("wikispeedia")


@cache
def embeddings() -> NDArray[np.float32]:
    return embed_corpus(corpus(), Encoder())[1]


@cache
def partition() -> IntArray:
    return communities(corpus().graph, COMMUNITIES)


def make_learner(seed: int, *, slots: int = 1, **options: Any) -> LoraLearner:
    """SmolLM2 with an adapter of rank 8, or of that rank for each of some slots, at the same scale."""
    return LoraLearner(corpus(), seed=seed, rank=slots * RANK, alpha=slots * ALPHA, **options)


def graph_tasks(learner: LoraLearner, tokens: int) -> list[Task]:
    """The communities in order of size, each with text for so many tokens."""
    ends = np.concatenate(corpus().graph.links()), np.concatenate(corpus().graph.links()[::-1])
    links = np.bincount(ends[0], minlength=len(partition()))
    inside = np.bincount(ends[0], partition()[ends[0]] == partition()[ends[1]], minlength=len(partition()))
    passages = np.bincount(corpus().topics[corpus().splits == Split.TRAIN], minlength=len(partition()))
    typical = np.where((links >= LEAST_LINKS) & (passages >= LEAST_PASSAGES), inside / np.maximum(links, 1), -1.0)
    groups = [np.flatnonzero(partition() == c) for c in range(COMMUNITIES)]
    return _tasks([g[np.argsort(-typical[g], kind="stable")[:TOPICS]] for g in groups], learner, tokens)


def random_tasks(learner: LoraLearner, tokens: int, seed: int) -> list[Task]:
    """The same topics in groups of the same size, drawn by the seed."""
    topics = np.concatenate([task.topics for task in graph_tasks(learner, tokens)])
    return _tasks(np.split(np.random.default_rng(seed).permutation(topics), COMMUNITIES), learner, tokens)


def joint_lesson(tasks: Sequence[Task], seed: int) -> Passages:
    """The text of all tasks, shuffled."""
    ids = np.concatenate([task.train.ids for task in tasks])
    return corpus().select(np.random.default_rng(seed).permutation(ids))


def exam_losses(learner: LoraLearner, tasks: Sequence[Task]) -> list[float]:
    """Mean exam loss of every task, in nats per token."""
    losses = learner.losses(corpus().select(np.concatenate([task.exam.ids for task in tasks])))
    ends = np.cumsum([len(task.exam) for task in tasks])[:-1]
    return [float(part.mean()) for part in np.split(losses.astype(np.float64), ends)]


def _tasks(groups: Sequence[NDArray[Any]], learner: LoraLearner, tokens: int) -> list[Task]:
    tasks = []
    for number, topics in enumerate(group.astype(np.int32) for group in groups):
        train, exam = (_in_turns(topics, split) for split in (Split.TRAIN, Split.EXAM))
        enough = int(np.searchsorted(np.cumsum(learner.count_tokens(corpus().select(train))), tokens)) + 1
        tasks.append(Task(number, topics, corpus().select(train[:enough]), corpus().select(exam[:EXAM_PASSAGES])))
    return tasks


def _in_turns(topics: IntArray, split: Split) -> IntArray:
    columns = [corpus().ids_of(int(topic), split) for topic in topics]
    turns = np.concatenate([np.arange(len(ids)) for ids in columns])
    return np.concatenate(columns)[np.argsort(turns, kind="stable")]
