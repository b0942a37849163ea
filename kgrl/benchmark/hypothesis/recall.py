"""The question `recall`: do learners come to know the topics next to what they learned, before they read about them?

Along a curriculum of random frontier picks a learner is asked the same questions and measured on the same probe
passages again and again. At each of these moments a topic is learned, on the frontier (linked with a learned one) or
far. Frontier and far topics are both unread, so they differ by the link alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.make import make_agent
from kgrl.benchmark.hypothesis.findings import Finding, finding, finding_of
from kgrl.benchmark.hypothesis.measuring import PreparedCorpus, Row
from kgrl.benchmark.hypothesis.plan import SEED, Covariates, Planner, match_pairs
from kgrl.benchmark.statistics import Interval
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.probes.prober import sample_topics
from kgrl.probes.questions import link_questions
from kgrl.probes.recall import Recall

__all__ = ["follow", "recall_findings"]

Array = NDArray[Any]

LEARNED, FRONTIER, FAR = 0, 1, 2
"""States of a topic at a moment."""
_QUESTIONS, _SAMPLE, _MOMENTS = 64, 256, 10
"""Questions that are asked, topics that are measured, and moments along a curriculum."""
_BUDGETS = {"lora": 20_000}
_SCRATCH_BUDGET = 50_000
"""Tokens of a curriculum, by learner; a scratch learner has to learn the language first."""
_DRAWS = 2000


class _Watch:
    """The questions and probes along a curriculum, and their answers at each moment."""

    def __init__(self, place: PreparedCorpus, curriculum: Curriculum) -> None:
        self.place, self.curriculum = place, curriculum
        self.recall = Recall(place.corpus, link_questions(place.corpus, curriculum.nucleus, _QUESTIONS))
        self.topics = sample_topics(place.corpus, Split.PROBE, _SAMPLE, SEED)
        # The topic of the passage and the topic that the sentence names, `[questions, 2]`.
        self.about = np.array([(q.topic, q.named) for q in self.recall.questions])
        self.moments: list[dict[str, Any]] = []

    def take(self, tokens: int) -> None:
        """Ask and measure after so many tokens."""
        learner, state = self.curriculum.learner, self._states()
        of_passage, of_named = state[self.about[:, 0]], state[self.about[:, 1]]
        self.moments.append(
            {
                "tokens": tokens,
                "answers": self.recall.answers(learner).astype(int).tolist(),
                # A question counts as learned as soon as its passage's topic is, since the text answers it.
                "question_states": np.where(of_passage == LEARNED, LEARNED, of_named).tolist(),
                "losses": self.curriculum.state.prober.losses(self.topics).tolist(),
                "states": state[self.topics].tolist(),
                "cosines": self._cosines().tolist(),
            }
        )

    def _states(self) -> Array:
        frontier = self.curriculum.state.frontier
        return np.where(frontier.is_solid, LEARNED, np.where(frontier.links_to_solid > 0, FRONTIER, FAR))

    def _cosines(self) -> Array:
        """Return the cosine of each topic of the sample to the most similar learned topic."""
        learned = np.flatnonzero(self.curriculum.state.frontier.is_solid)
        vectors = self.place.embeddings
        return (vectors[self.topics] @ vectors[learned].T).max(axis=1) if len(learned) else np.zeros(len(self.topics))


def follow(place: PreparedCorpus, name: str, seed: int, budget: int | None = None) -> Row:
    """Follow a curriculum of random frontier picks.

    Args:
        place: The prepared corpus.
        name: The learner by name.
        seed: Seeds the weights and the picks.
        budget: Tokens; 50,000, and 20,000 for `lora`, if None.

    Returns:
        The questions, the sampled topics, and answers and losses before training and after each tenth of the budget.
    """
    budget = budget or _BUDGETS.get(name, _SCRATCH_BUDGET)
    learner = make_float32_learner(name, place.corpus, seed=seed)
    curriculum = place.curriculum(learner, CurriculumConfig(seed=seed, budget_tokens=budget))
    watch = _Watch(place, curriculum)
    watch.take(0)
    for step in curriculum.run(make_agent("random")):
        if step.tokens_total >= len(watch.moments) * budget / _MOMENTS:
            watch.take(step.tokens_total)
    if watch.moments[-1]["tokens"] != step.tokens_total:
        watch.take(step.tokens_total)
    return {
        "seed": seed,
        "questions": watch.about.tolist(),
        "topics": watch.topics.tolist(),
        "moments": watch.moments,
    }


def recall_findings(rows: Sequence[Row], planner: Planner, corpus: str, learner: str) -> list[Finding]:
    """Return the findings on recall and on losses: of frontier topics against far ones.

    Args:
        rows: The results of `follow`, one for each seed.
        planner: The planner of the corpus, for the covariates of topics.
        corpus: The corpus by name.
        learner: The learner by name.
    """
    found = [_rise(rows, corpus, learner), _loss(rows, planner, corpus, learner)]
    return [f for f in found if f is not None]


def _rise(rows: Sequence[Row], corpus: str, learner: str) -> Finding | None:
    """Return the rise of the share of right answers on frontier topics, less that on far ones at the same moments.

    Moments weigh by their frontier questions. The bootstrap draws questions, each of which names another topic: answers
    to one question at several moments are not independent.
    """
    later = [(row["moments"][0], moment) for row in rows for moment in row["moments"][1:]]
    # Arrays of [moments, questions], the moments of all seeds one after another.
    rise = np.array([np.subtract(now["answers"], first["answers"]) for first, now in later], dtype=np.float64)
    states = np.array([now["question_states"] for _, now in later])
    frontier, far, questions = states == FRONTIER, states == FAR, rise.shape[1]
    draws = np.random.default_rng(SEED).multinomial(questions, np.full(questions, 1 / questions), size=_DRAWS)
    weights = np.vstack([np.ones(questions), draws])  # the first row is the estimate itself
    gaps = _gap(weights, rise, frontier, far)
    if not np.isfinite(gaps[0]):
        return None
    low, high = np.nanquantile(gaps[1:], [0.025, 0.975])
    interval = Interval(float(gaps[0]), min(float(low), float(gaps[0])), max(float(high), float(gaps[0])))
    measure = "rise in the share recalled of links to unread frontier topics minus to unread far ones"
    asked = int((frontier.any(axis=0) | far.any(axis=0)).sum())
    return finding_of(interval, None, asked, "recall", measure, corpus, learner, "questions")


def _gap(weights: Array, rise: Array, frontier: Array, far: Array) -> Array:
    """Return the difference of the two groups' mean rise, averaged over moments, for each row of weights, `[draws]`."""
    ours, theirs = weights @ frontier.T, weights @ far.T  # weighted numbers of questions, [draws, moments]
    # A moment at which a group has no question divides by 0 and is left out below.
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = weights @ (frontier * rise).T / ours - weights @ (far * rise).T / theirs
    known = np.isfinite(gaps)
    counted = np.where(known, ours, 0.0)
    with np.errstate(invalid="ignore"):
        means: Array = (np.where(known, gaps, 0.0) * counted).sum(axis=1) / counted.sum(axis=1)
    return means


def _loss(rows: Sequence[Row], planner: Planner, corpus: str, learner: str) -> Finding | None:
    """Return the finding on losses since the start: the drop of frontier topics less that of matched far ones."""
    gaps: dict[int, list[float]] = {}  # by topic, which is the unit: its gaps at several moments are not independent
    for row in rows:
        start = np.array(row["moments"][0]["losses"])
        for moment in row["moments"][1:]:
            for topic, gap in _loss_gaps(np.array(row["topics"]), start, moment, planner):
                gaps.setdefault(topic, []).append(gap)
    means = [float(np.mean(values)) for values in gaps.values()]
    measure = "drop of unread frontier topics minus matched far ones, nats per token"
    return finding(means, "recall", measure, corpus, learner, "topics")


def _loss_gaps(topics: Array, start: Array, moment: dict[str, Any], planner: Planner) -> list[tuple[int, float]]:
    """Return frontier topics at a moment, each with its drop less that of the far topic matched to it."""
    states, drops = np.array(moment["states"]), start - np.array(moment["losses"])
    covariates = Covariates(np.array(moment["cosines"]), planner.log_degree[topics], planner.category[topics])
    ours, pool = np.flatnonzero(states == FRONTIER), np.flatnonzero(states == FAR)
    found = match_pairs(covariates.take(ours), covariates.take(pool))
    pairs = [(row, pool[other]) for row, other in zip(ours, found, strict=True) if other >= 0]
    return [(int(topics[row]), float(drops[row] - drops[other])) for row, other in pairs]
