"""Plans of the question `transfer`: the topics to measure around each learned topic, chosen before any lesson.

These are some topics linked with the learned one, a matched control for each of them, and some topics farther away. A
control is as similar to the learned topic, as popular and of the same category, but not linked with it: the topics of a
pair differ by the link alone. A plan depends on the corpus and its embeddings alone, so that every learner is
measured on the same topics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from kgrl.corpus import Corpus, Split
from kgrl.probes.questions import distances_from

__all__ = [
    "CALIPERS",
    "FAR",
    "SEED",
    "Calipers",
    "Covariates",
    "Measured",
    "Plan",
    "Planner",
    "balance",
    "match_pairs",
    "standardised_difference",
]

FloatArray = NDArray[np.float64]

SEED = 20_26
"""Plans are the same for every learner and seed."""
FAR = 4
"""The largest distance told apart, in links; farther topics and unreachable ones count as this."""
_PAIRS, _RING = 6, 4
"""Most pairs around a learned topic, and most further topics at each distance of 2, 3 and `FAR`."""
_LEAST_WORDS = 40
"""Words of train passages that a topic needs to be learned; the leads of vital articles have few more."""
_POOL_SAMPLE = 200
"""Unlinked topics whose covariates stand for all of them in the balance before matching."""
_NEVER = 1e6
"""The cost of a pair outside the calipers: above any sum of costs inside."""


@dataclass(frozen=True)
class Covariates:
    """The covariates that topics are matched on.

    Args:
        cosine: Cosine of each topic's embedding to that of the learned topic, shape `[n]`.
        log_degree: Natural logarithm of 1 plus the number of its links, shape `[n]`.
        category: Number of its category, shape `[n]`.
    """

    cosine: FloatArray
    log_degree: FloatArray
    category: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cosine)

    def take(self, rows: NDArray[np.int64]) -> Covariates:
        """Return the covariates of some topics, by position."""
        return Covariates(self.cosine[rows], self.log_degree[rows], self.category[rows])


@dataclass(frozen=True)
class Calipers:
    """Calipers: the largest differences allowed within a pair. Without them, rare kinds of topics get unlike matches.

    Args:
        cosine: Most difference of the cosines.
        log_degree: Most difference of the logarithms of degrees.
        category: Whether both must be of one category.
    """

    cosine: float
    log_degree: float
    category: bool


CALIPERS = Calipers(cosine=0.05, log_degree=float(np.log(2)), category=True)
"""Degrees differ by a factor of two at most. Half a standard deviation of cosines: those of one topic to the others of
an encyclopaedia spread by about 0.1."""
_ANY = Calipers(np.inf, np.inf, category=False)


def match_pairs(treated: Covariates, pool: Covariates, calipers: Calipers = CALIPERS) -> NDArray[np.int64]:
    """Match topics to topics of a pool, each of which serves once: as many pairs as possible, then as near as possible.

    The distance of two topics is the root of the summed squares of the differences of cosine and log-degree, each in
    units of its caliper in `CALIPERS`. Optimal matching (Rosenbaum 1989) does not depend on the order of topics, as
    greedy matching would.

    Args:
        treated: The topics to match.
        pool: The topics to match them to.
        calipers: The largest differences within a pair.

    Returns:
        Positions in the pool, int64 of shape `[treated]`; -1 for topics without a match within the calipers.

    Example:
        >>> linked = Covariates(np.array([0.5, 0.9]), np.zeros(2), np.zeros(2, int))
        >>> others = Covariates(np.array([0.1, 0.47, 0.52]), np.zeros(3), np.zeros(3, int))
        >>> match_pairs(linked, others).tolist()
        [2, -1]
    """
    found = np.full(len(treated), -1, dtype=np.int64)
    if not len(treated) or not len(pool):
        return found
    cosine = np.abs(treated.cosine[:, None] - pool.cosine)  # [treated, pool], as are the arrays below
    degree = np.abs(treated.log_degree[:, None] - pool.log_degree)
    allowed = (cosine <= calipers.cosine) & (degree <= calipers.log_degree)
    if calipers.category:
        allowed &= treated.category[:, None] == pool.category
    cost = np.hypot(cosine / CALIPERS.cosine, degree / CALIPERS.log_degree)
    # One pair outside the calipers costs more than all pairs inside, so the assignment has as few of them as possible.
    rows, columns = linear_sum_assignment(np.where(allowed, cost, _NEVER))
    kept = allowed[rows, columns]
    found[rows[kept]] = columns[kept]
    return found


def standardised_difference(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the difference of two means in units of their pooled standard deviation; 0 where nothing varies.

    The usual figure for the balance of a matching: unlike a test, it does not grow with the number of topics. Below 0.1
    covariates count as balanced (Austin 2009).

    Example:
        >>> round(standardised_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0])), 3)
        0.707
    """
    if min(len(ours), len(theirs)) < 2:
        return 0.0
    spread = float(np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 2))
    return float(ours.mean() - theirs.mean()) / spread if spread else 0.0


@dataclass(frozen=True)
class Measured:
    """A topic that is measured.

    Args:
        topic: The topic.
        role: `"linked"`, `"control"` (the match of a linked one) or `"ring"` (a topic of another distance).
        pair: Number of the pair, the same for both of its topics; -1 in rings.
        distance: Links from the learned topic, at most `FAR`.
        cosine: Cosine of its embedding to that of the learned topic.
        log_degree: Natural logarithm of 1 plus its degree.
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
    """The measurements around one topic.

    Args:
        topic: The topic that is learned.
        measured: The topics that are measured.
        linked: Number of linked topics with a probe passage.
        unmatched: Number of linked topics without a control.
        before: Covariates of all linked topics, and of a sample of the unlinked ones, for the balance before matching.
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
        taught: Whether each topic is in the half that learners in the trained state have read, bool `[topics]`. The
            topics that forks learn are of the other half.
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
        """The topics that may be learned, in the order of the draw: with enough text, a probe passage and links."""
        return [int(topic) for topic in self._order if self._can_be_learned(int(topic))]

    def _can_be_learned(self, topic: int) -> bool:
        words = sum(len(text.split()) for text in self.corpus.of(topic, Split.TRAIN).texts)
        return bool(self._probed[topic]) and words >= _LEAST_WORDS and self.corpus.graph.degree[topic] > 0

    def plans(self) -> Iterator[Plan]:
        """Plan around each candidate in turn. A plan without a control that is near enough has no pair."""
        return (self.plan(topic) for topic in self.candidates)

    def plan(self, topic: int) -> Plan:
        """Plan around one topic."""
        rng = np.random.default_rng([SEED, topic])  # a topic has the same plan whatever was planned before
        distance = distances_from(self.corpus.graph, [topic])
        distance = np.where(distance < 0, FAR, np.minimum(distance, FAR))  # -1 stands for unreachable
        cosine = (self.embeddings @ self.embeddings[topic]).astype(np.float64)
        eligible = np.flatnonzero(self._probed & (distance > 0))
        linked, pool = eligible[distance[eligible] == 1], eligible[distance[eligible] > 1]
        covariates = Covariates(cosine, self.log_degree, self.category)
        found = match_pairs(covariates.take(linked), covariates.take(pool))
        pairs = rng.permutation(np.flatnonzero(found >= 0))[:_PAIRS]
        ours, controls = linked[pairs], pool[found[pairs]]
        # Controls are left out of the rings, so that no topic is measured twice.
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
        """Return the topics of a ring that are most like the linked ones; without calipers, they may be unlike them.

        `by_distance` adjusts for the differences that remain.
        """
        found = match_pairs(covariates.take(ours[:_RING]), covariates.take(ring), _ANY)
        return ring[found[found >= 0]]

    def _measured(
        self, topic: int, other: int, role: str, pair: int, distance: NDArray[Any], cosine: NDArray[np.float64]
    ) -> Measured:
        text = self.corpus.texts[self._first[other]].casefold()
        # Without what tells namesakes apart: "Set (mathematics)" is written "set" in a text.
        title = self.corpus.graph.titles[topic].split(" (")[0].casefold()
        return Measured(
            topic=other,
            role=role,
            pair=pair,
            distance=int(distance[other]),
            cosine=float(cosine[other]),
            log_degree=float(self.log_degree[other]),
            same_category=bool(self.category[other] == self.category[topic]),
            names=title in text,
        )

    def _balance(self, topic: int, others: Any, cosine: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {
            "cosine": cosine[others],
            "log_degree": self.log_degree[others],
            "same_category": (self.category[others] == self.category[topic]).astype(np.float64),
        }


def balance(plans: list[Plan]) -> dict[str, Any]:
    """Return the balance of the matching: differences of linked topics and controls before and after, and counts.

    Args:
        plans: Plans around all topics that were drawn, with or without a pair.
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
