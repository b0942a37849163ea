"""The question `order`: is a curriculum that follows links better than the same lessons shuffled?

The lessons of an agent are recorded first, without teaching. Then a learner is taught them in the agent's order, and
the same learner, put back, in a random order. Passages and first weights are the same; only the order differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.make import make_agent
from kgrl.benchmark.hypothesis.findings import Finding, finding
from kgrl.benchmark.hypothesis.measuring import PreparedCorpus, Row
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.learners.base import Learned, Learner
from kgrl.probes.prober import Prober, sample_topics
from kgrl.runs.metrics import aulc

__all__ = ["AGENTS", "compare_orders", "order_findings", "recorded", "shuffled"]

AGENTS = ("random", "closure", "similarity")
"""Agents that follow links and never look at a loss, so that their picks can be recorded before any learning."""
BUDGET = 20_000
"""Tokens of a curriculum."""
_MOMENTS = 10
"""Exams along a curriculum, the one before any training not counted."""
_SET_SIZE = 64
"""Most topics of the curriculum that the second exam measures."""
_MEASURES = (
    ("AULC of the exam shuffled minus in order, nats per token", 1, False),
    ("final exam loss shuffled minus in order, nats per token", 1, True),
    ("AULC of the set's probes shuffled minus in order, nats per token", 2, False),
    ("final loss of the set's probes shuffled minus in order, nats per token", 2, True),
)
"""The measures: name, column of the curve, and whether its last point counts instead of the area under it."""


class Counting:
    """A learner that counts the tokens of its lessons and learns nothing, to record an agent's picks.

    Args:
        learner: The learner whose tokens are counted.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        """Return the tokens and passages that the learner would have learned, with a loss of 0."""
        ends = np.cumsum(self.count_tokens(passages))
        tokens = min(token_budget, int(ends[-1]))
        return Learned(tokens, 0.0, (0.0,) * (int(np.searchsorted(ends, tokens)) + 1))

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return zeros."""
        return np.zeros(len(passages), dtype=np.float32)

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        """Return the learner's numbers of tokens."""
        return self._learner.count_tokens(passages)

    def snapshot(self) -> None:
        """Nothing changes."""

    def restore(self, snapshot: object) -> None:
        """Nothing changes."""

    def save(self, folder: Any) -> None:
        """There is nothing to save."""

    def load(self, folder: Any) -> None:
        """There is nothing to load."""


def recorded(place: PreparedCorpus, learner: Learner, agent: str, seed: int, budget: int) -> list[Expansion]:
    """Return the expansions of an agent's curriculum, the nucleus first, without teaching the learner."""
    config = CurriculumConfig(seed=seed, budget_tokens=budget)
    return list(place.curriculum(Counting(learner), config).run(make_agent(agent)))


def shuffled(steps: Sequence[Expansion], seed: int) -> list[Expansion]:
    """Return the expansions with the nucleus first, as before, and the others in random order."""
    order = np.random.default_rng(seed).permutation(len(steps) - 1)
    return [steps[0], *(steps[1 + int(i)] for i in order)]


@dataclass(frozen=True)
class _Exams:
    """Two exams: over all topics, on exam passages; over topics of the curriculum, on probe passages.

    Args:
        exam: The exam over all topics.
        prober: Measures the learner on probe passages.
        topics: The topics of the second exam.
    """

    exam: Exam
    prober: Prober
    topics: NDArray[np.int32]

    @classmethod
    def of(cls, corpus: Corpus, learner: Learner, steps: Sequence[Expansion]) -> _Exams:
        """Return the exams for a curriculum."""
        own = np.unique([topic for step in steps for topic in step.neighbourhood]).astype(np.int32)
        return cls(Exam(corpus), Prober(corpus, learner, {}), sample_topics(corpus, Split.PROBE, _SET_SIZE, 0, own))

    def take(self) -> tuple[float, float]:
        """Return the mean losses of both exams, in nats per token."""
        own = self.prober.losses(self.topics)
        return float(self.exam.losses(self.prober.learner).mean()), float(own.mean())


def taught(
    corpus: Corpus, learner: Learner, steps: Sequence[Expansion], exams: _Exams
) -> list[tuple[int, float, float]]:
    """Teach a learner expansions and return both exams' curve: tokens, loss of all topics, loss of the set's topics."""
    tokens, total = 0, sum(step.tokens for step in steps)
    curve = [(0, *exams.take())]
    for step in steps:
        tokens += learner.learn(corpus.select(step.passages), step.tokens).tokens
        if tokens - curve[-1][0] >= total / _MOMENTS or tokens == total:
            curve.append((tokens, *exams.take()))
    return curve


def compare_orders(place: PreparedCorpus, name: str, agent: str, seed: int, budget: int | None = None) -> Row:
    """Teach one learner in the order of an agent, and one with the same weights in a shuffled order.

    Args:
        place: The prepared corpus.
        name: The learner by name.
        agent: The agent by name.
        seed: Seeds the weights, the agent and the shuffling.
        budget: Tokens; `BUDGET` if None.
    """
    learner = make_float32_learner(name, place.corpus, seed=seed)
    steps, start = recorded(place, learner, agent, seed, budget or BUDGET), learner.snapshot()
    exams, row = _Exams.of(place.corpus, learner, steps), {"agent": agent, "seed": seed, "expansions": len(steps)}
    for order, lessons in (("links", steps), ("shuffled", shuffled(steps, seed))):
        learner.restore(start)  # one learner for both orders, so that the weights they begin with are the same
        row[order] = taught(place.corpus, learner, lessons, exams)
    return row


def order_findings(rows: Sequence[Row], corpus: str, learner: str) -> list[Finding]:
    """Return for each agent by how much shuffling raised the losses, paired by seed.

    Args:
        rows: The results of `compare_orders`, one for each agent and seed.
        corpus: The corpus by name.
        learner: The learner by name.
    """
    found = []
    for agent in AGENTS:
        own = [row for row in rows if row["agent"] == agent]
        for measure, column, final in _MEASURES:
            gaps = [_merit(row["shuffled"], column, final) - _merit(row["links"], column, final) for row in own]
            found.append(finding(gaps, "order", measure, corpus, f"{learner}, {agent}", "seeds"))
    return [f for f in found if f is not None]


def _merit(curve: Sequence[Sequence[float]], column: int, final: bool) -> float:
    points = [(int(point[0]), float(point[column])) for point in curve]
    return points[-1][1] if final else aulc(points, points[-1][0])
