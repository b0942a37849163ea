"""The measurements of the question `transfer`: what learning one topic, on a fork, does to others' probe losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from kgrl.benchmark.hypothesis.plan import SEED, Plan, Planner
from kgrl.benchmark.hypothesis.store import MeasurementFolder, Row
from kgrl.corpus import Corpus, Passages, Split
from kgrl.learners.base import Learner
from kgrl.probes.forks import losses_after
from kgrl.probes.prober import Prober

__all__ = ["LESSON_TOKENS", "STATES", "chosen", "lesson", "measure_topics", "prepare"]

LESSON_TOKENS = 512
"""Tokens that are learned of every topic; its train passages are read again until they are used up."""
STATES = ("cold", "trained")
"""Before any training, and after some text of the half of the topics that is never learned on forks."""
_TRAINED_TOKENS = {"lora": 20_000}
_SCRATCH_TOKENS = 100_000
"""A scratch learner knows nothing at first; after so many tokens it has the frequent words and how they follow."""


def chosen(planner: Planner, topics: int) -> list[Plan]:
    """Return the plans around the first topics that have a pair, and those that were drawn before and have none."""
    plans: list[Plan] = []
    for plan in planner.plans():
        if sum(bool(p.measured) for p in plans) == topics:
            break
        plans.append(plan)
    return plans


def prepare(learner: Learner, name: str, state: str, planner: Planner) -> int:
    """Bring a fresh learner to a state, and return the tokens that it was trained on.

    The text is drawn uniformly, not along links: what a topic's neighbours have in common does not come from there.

    Args:
        learner: The learner.
        name: Its name.
        state: One of `STATES`.
        planner: Knows the half of the topics that is read.
    """
    if state == "cold":
        return 0
    corpus = planner.corpus
    readable = np.flatnonzero((corpus.splits == Split.TRAIN) & planner.taught[corpus.topics])
    drawn = np.random.default_rng(SEED).permutation(readable)
    return learner.learn(corpus.select(drawn), _TRAINED_TOKENS.get(name, _SCRATCH_TOKENS)).tokens


def lesson(corpus: Corpus, learner: Learner, topic: int) -> Passages:
    """Return a topic's train passages, as often as `LESSON_TOKENS` need."""
    ids = corpus.ids_of(topic, Split.TRAIN)
    tokens = int(learner.count_tokens(corpus.select(ids)).sum())
    return corpus.select(np.tile(ids, -(-LESSON_TOKENS // tokens)))


def measure_topics(
    corpus: Corpus, learner: Learner, plans: list[Plan], store: MeasurementFolder, under: str
) -> Iterator[Row]:
    """Measure around each planned topic; what is in the store is not measured again.

    Args:
        corpus: The corpus.
        learner: The learner, in the state that forks begin from; it is put back after each.
        plans: What to measure.
        store: Keeps one measurement a topic.
        under: Where in the store.
    """
    prober = Prober(corpus, learner, {})
    for plan in plans:
        if plan.measured:
            yield store.once(f"{under}/{plan.topic}", partial(_measure, corpus, prober, plan))


def _measure(corpus: Corpus, prober: Prober, plan: Plan) -> dict[str, Any]:
    topics = np.array([plan.topic, *(m.topic for m in plan.measured)], dtype=np.int32)
    before = prober.losses(topics).tolist()
    after = losses_after(prober, lesson(corpus, prober.learner, plan.topic), LESSON_TOKENS, topics).tolist()
    own = {"before": before[0], "after": after[0]}
    measured = [
        {**asdict(m), "before": b, "after": a} for m, b, a in zip(plan.measured, before[1:], after[1:], strict=True)
    ]
    return {"topic": plan.topic, "title": corpus.graph.titles[plan.topic], "own": own, "measured": measured}
