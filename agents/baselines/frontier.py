"""Baseline curricula: what a curiosity agent has to beat.

All look at the graph, the embeddings or the current losses; none of them learns. Ties are broken by the curriculum's
generator unless said otherwise.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents
from kgrl.curriculum.view import View
from kgrl.graph.nucleus import pagerank
from kgrl.graph.topic_graph import IntArray

__all__ = [
    "BreadthFirst",
    "Closure",
    "Degree",
    "GreedyLoss",
    "PageRank",
    "RandomFrontier",
    "RandomGlobal",
    "SampledAgent",
    "ScoringAgent",
    "Similarity",
]

Scores = NDArray[np.floating]


@agents.register("random")
class RandomFrontier(BaseAgent):
    """Uniform over the frontier: the baseline that is hardest to beat."""

    def choose(self, view: View) -> int:
        """Return a candidate drawn uniformly."""
        return int(view.rng.choice(view.candidates))


@agents.register("random-global")
class RandomGlobal(BaseAgent):
    """Uniform over all topics that are not learned, linked or not: a curriculum without a graph."""

    frontier_only = False

    def choose(self, view: View) -> int:
        """Return a topic with text drawn uniformly from those not learned; its cost grows with the graph."""
        return int(view.rng.choice(np.flatnonzero(view.trainable & ~view.frontier.is_learned)))


@agents.register("bfs")
class BreadthFirst(BaseAgent):
    """The frontier topic discovered first; of those discovered together, the one with the lowest number."""

    def choose(self, view: View) -> int:
        """Return the candidate that was discovered first."""
        return int(view.candidates[0])


class ScoringAgent(BaseAgent):
    """Picks the candidate with the largest score, ties at random; subclasses define `score`."""

    @abstractmethod
    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return one score for each candidate, shape `[candidates]`."""

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates and chances in proportion to 1 over the rank, since the best are picked in turn."""
        candidates = view.candidates
        chances = 1.0 / (1.0 + np.argsort(np.argsort(-self.score(view, candidates), kind="stable")))
        return candidates, chances / chances.sum()

    def choose(self, view: View) -> int:
        """Return a candidate of the largest score."""
        candidates = view.candidates
        scores = self.score(view, candidates)
        return int(view.rng.choice(candidates[scores == scores.max()]))


@agents.register("degree")
class Degree(ScoringAgent):
    """The candidate with most links, learned or not."""

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the number of undirected links."""
        return view.graph.degree[candidates].astype(np.float64)


@agents.register("pagerank")
class PageRank(ScoringAgent):
    """The candidate with the largest PageRank personalised to the nucleus, computed once for each curriculum."""

    def reset(self, view: View) -> None:
        """Compute the PageRank; the cost grows with the graph."""
        self._rank = pagerank(view.graph, view.nucleus)

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the PageRank."""
        return self._rank[candidates]


@agents.register("closure")
class Closure(ScoringAgent):
    """The candidate most of whose links lead to what is learned: |N(v) n S| / (c + |N(v)|).

    Args:
        c: Held against topics with few links, in links; without it a topic whose only link is learned always wins.
    """

    def __init__(self, c: float = 10.0) -> None:
        if c < 0:
            raise ValueError(f"c must not be negative, not {c}")
        self.c = c

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the share of learned neighbours."""
        return view.frontier.links_to_learned[candidates] / (self.c + view.graph.degree[candidates])


@agents.register("similarity")
class Similarity(ScoringAgent):
    """The candidate with the largest cosine to the mean embedding of the goal, or of the nucleus without a goal."""

    def reset(self, view: View) -> None:
        """Compute the direction of the goal."""
        # Its length is the same for all candidates, so that the dot product orders them like the cosine.
        self._direction = view.embeddings[view.nucleus if view.goal is None else view.goal].mean(axis=0)

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return what orders candidates like the cosine."""
        products: Scores = view.embeddings[candidates] @ self._direction
        return products


class SampledAgent(ScoringAgent):
    """An agent whose scores are costly, so that it judges a sample of the candidates; subclasses define `judge`.

    Args:
        sample: Most candidates judged at a step.

    Raises:
        ValueError: If `sample` is below 1.
    """

    def __init__(self, sample: int) -> None:
        if sample < 1:
            raise ValueError(f"sample must be at least 1, not {sample}")
        self.sample = sample

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates, all alike: to judge them only in order to fetch pages would cost too much."""
        candidates = view.candidates
        return candidates, np.full(len(candidates), 1.0 / max(1, len(candidates)))

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return what `judge` says; minus infinity outside the sample and where it says NaN."""
        drawn = view.rng.permutation(len(candidates))[: self.sample]
        scores = np.full(len(candidates), -np.inf)
        scores[drawn] = np.nan_to_num(self.judge(view, candidates[drawn]), nan=-np.inf)
        return scores

    @abstractmethod
    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the score of each topic, NaN where there is none."""


@agents.register("greedy-loss")
class GreedyLoss(SampledAgent):
    """The candidate on which the learner's probe loss is largest now.

    Measuring reads probe passages, and that is booked on the coming expansion. Topics without probe passages are picked
    only where no candidate can be measured.

    Args:
        sample: Most candidates measured at a step, drawn uniformly.
    """

    def __init__(self, sample: int = 16) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the probe losses in nats per token."""
        return view.measure(topics)
