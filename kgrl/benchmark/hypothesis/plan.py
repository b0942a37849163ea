"""Which topics are measured after which topic is learned: linked ones, their matched controls, and some farther away.

Plans depend on the corpus and its embeddings alone, so that every learner is measured on the same forks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.benchmark.hypothesis.matching import CALIPERS, Calipers, Covariates, match_pairs, standardised_difference
from kgrl.corpus import Corpus, Split
from kgrl.probes.questions import distances_from

__all__ = ["FAR", "Measured", "Plan", "Planner", "balance"]

SEED = 20_26
"""Plans are the same for every learner and seed."""
FAR = 4
"""Distances from here on are one, topics that no way leads to among them."""
_PAIRS, _RING = 6, 4
_LEAST_WORDS = 40
"""Words of a topic's own that it must have to be learned; the leads of vital articles have few more."""
_POOL_SAMPLE = 200
_ANY = Calipers(np.inf, np.inf, category=False)


@dataclass(frozen=True)
class Measured:
    """A topic that is measured.

    Args:
        topic: The topic.
        role: `"linked"`, `"control"` (its match) or `"ring"` (some other, to see distances by).
        pair: The number of the pair, the same for the two of it; -1 in rings.
        distance: Links from the learned topic, at most `FAR`.
        cosine: Of its embedding to that of the learned topic.
        log_degree: Logarithm of 1 plus its degree.
        same_category: Whether it is of the learned topic's category.
        names: Whether its probe passage has the learned topic's title.
    """

    topic: int
    role: str
    pair: int
    distance: int
    cosine: float
    log_degree: float
    same_category: bool
    names: bool


@dataclass(frozen=True)
class Plan:
    """What is measured around one topic.

    Args:
        topic: The topic that is learned.
        measured: What is measured.
        linked: How many linked topics have a probe passage.
        unmatched: How many of them no control is found for.
        before: Covariates of all linked topics, and of a sample of all that are not, for the balance before matching.
    """

    topic: int
    measured: tuple[Measured, ...]
    linked: int
    unmatched: int
    before: tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]


class Planner:
    """Plans the measurements on a corpus.

    Args:
        corpus: The corpus.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.

    Attributes:
        taught: Whether each topic is in the half that learners in the trained state have read; others are learned on
            forks, shape `[topics]`.
    """

    def __init__(self, corpus: Corpus, embeddings: NDArray[np.float32]) -> None:
        self.corpus, self.embeddings = corpus, embeddings
        self.log_degree = np.log1p(corpus.graph.degree.astype(np.float64))
        numbers = {name: number for number, name in enumerate(sorted(set(corpus.graph.categories)))}
        self.category = np.array([numbers[name] for name in corpus.graph.categories], dtype=np.int64)
        drawn = np.random.default_rng(SEED).permutation(len(corpus.graph))
        self.taught = np.zeros(len(corpus.graph), dtype=bool)
        self.taught[drawn[: len(drawn) // 2]] = True
        self._order = drawn[len(drawn) // 2 :]
        self._first, self._probed = corpus.first_ids(Split.PROBE), corpus.has(Split.PROBE)

    @cached_property
    def candidates(self) -> list[int]:
        """The topics that may be learned, in the order in which they are drawn: those with enough text, and links."""
        return [int(topic) for topic in self._order if self._is_candidate(int(topic))]

    def _is_candidate(self, topic: int) -> bool:
        words = sum(len(text.split()) for text in self.corpus.of(topic, Split.TRAIN).texts)
        return bool(self._probed[topic]) and words >= _LEAST_WORDS and self.corpus.graph.degree[topic] > 0

    def plans(self) -> Iterator[Plan]:
        """Plan around each candidate in turn; a plan may have no pair, where no control is near enough."""
        return (self.plan(topic) for topic in self.candidates)

    def plan(self, topic: int) -> Plan:
        """Plan around one topic."""
        rng = np.random.default_rng([SEED, topic])
        distance = distances_from(self.corpus.graph, [topic])
        distance = np.where(distance < 0, FAR, np.minimum(distance, FAR))
        cosine = (self.embeddings @ self.embeddings[topic]).astype(np.float64)
        eligible = np.flatnonzero(self._probed & (distance > 0))
        linked, pool = eligible[distance[eligible] == 1], eligible[distance[eligible] > 1]
        covariates = Covariates(cosine, self.log_degree, self.category)
        found = match_pairs(covariates.take(linked), covariates.take(pool))
        pairs = rng.permutation(np.flatnonzero(found >= 0))[:_PAIRS]
        ours, controls = linked[pairs], pool[found[pairs]]
        rings = [self._ring(covariates, ours, np.setdiff1d(pool[distance[pool] == k], controls)) for k in (2, 3, FAR)]
        roles = [("linked", ours), ("control", controls), *(("ring", ring) for ring in rings)]
        measured = tuple(
            self._measured(topic, int(other), role, number if role != "ring" else -1, distance, cosine)
            for role, others in roles
            for number, other in enumerate(others)
        )
        sample = rng.permutation(pool)[:_POOL_SAMPLE]
        before = (self._balance(topic, linked, cosine), self._balance(topic, sample, cosine))
        return Plan(topic, measured, len(linked), int((found < 0).sum()), before)

    def _ring(self, covariates: Covariates, ours: NDArray[np.int64], ring: NDArray[np.int64]) -> NDArray[np.int64]:
        """The topics of a ring that are most like linked ones, however unlike that is."""
        found = match_pairs(covariates.take(ours[:_RING]), covariates.take(ring), _ANY)
        return ring[found[found >= 0]]

    def _measured(
        self, topic: int, other: int, role: str, pair: int, distance: NDArray[Any], cosine: NDArray[np.float64]
    ) -> Measured:
        text = self.corpus.texts[self._first[other]].casefold()
        return Measured(
            topic=other,
            role=role,
            pair=pair,
            distance=int(distance[other]),
            cosine=float(cosine[other]),
            log_degree=float(self.log_degree[other]),
            same_category=bool(self.category[other] == self.category[topic]),
            names=self.corpus.graph.titles[topic].split(" (")[0].casefold() in text,
        )

    def _balance(self, topic: int, others: Any, cosine: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {
            "cosine": cosine[others],
            "log_degree": self.log_degree[others],
            "same_category": (self.category[others] == self.category[topic]).astype(np.float64),
        }


def balance(plans: list[Plan]) -> dict[str, Any]:
    """Return how alike linked topics and controls are, before and after matching, and how many were not matched.

    Args:
        plans: Plans around all topics that were drawn, those without a pair among them.
    """
    measured = [m for plan in plans for m in plan.measured]
    rows = {}
    for name in ("cosine", "log_degree", "same_category"):
        before = [np.concatenate([plan.before[side][name] for plan in plans]) for side in (0, 1)]
        after = [
            np.array([float(getattr(m, name)) for m in measured if m.role == role]) for role in ("linked", "control")
        ]
        rows[name] = {"before": standardised_difference(*before), "after": standardised_difference(*after)}
    return {
        "calipers": {"cosine": CALIPERS.cosine, "log_degree": CALIPERS.log_degree, "category": "the same"},
        "standardised_differences": rows,
        "drawn": len(plans),
        "without_a_pair": sum(not plan.measured for plan in plans),
        "linked": sum(plan.linked for plan in plans),
        "unmatched": sum(plan.unmatched for plan in plans),
        "pairs_measured": sum(m.role == "linked" for m in measured),
    }
