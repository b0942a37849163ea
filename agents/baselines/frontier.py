"""Baselines that pick one topic at a time: the curricula that a curiosity agent has to beat.

They read the graph, the embeddings, readers' clicks or the current losses; none of them learns. Ties are broken by the
curriculum's generator unless a class says otherwise.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents
from kgrl.builtin import click_counts
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.nucleus import pagerank
from kgrl.graph.topic_graph import IntArray

__all__ = [
    "BreadthFirst",
    "Closure",
    "Degree",
    "DepthFirst",
    "GreedyLoss",
    "LeastLoss",
    "MarkovReader",
    "Oracle",
    "PageRank",
    "RandomFrontier",
    "RandomGlobal",
    "SampledAgent",
    "ScoringAgent",
    "Similarity",
]

Scores = NDArray[np.floating]

_BACK_OFF = 10.0
"""Number of clicks that the prior by in-degree counts as; the same as in `kgrl.agents.pretraining.baselines.Markov`."""


@agents.register("random")
class RandomFrontier(BaseAgent):
    """Uniform over the frontier; of the simple baselines the hardest to beat."""

    reads_probes = False

    def choose(self, view: View) -> int:
        """Return a candidate drawn uniformly."""
        return int(view.rng.choice(view.candidates))


@agents.register("random-global")
class RandomGlobal(BaseAgent):
    """Uniform over all topics that are not learned, linked or not: a curriculum without a graph."""

    frontier_only = False
    reads_probes = False

    def choose(self, view: View) -> int:
        """Return a topic with text drawn uniformly from those not learned; its cost grows with the graph."""
        return int(view.rng.choice(np.flatnonzero(view.trainable & ~view.frontier.is_solid)))


@agents.register("bfs")
class BreadthFirst(BaseAgent):
    """The candidate discovered first; of those discovered together, the one with the lowest number."""

    reads_probes = False

    def choose(self, view: View) -> int:
        """Return the candidate that was discovered first."""
        return int(view.candidates[0])


@agents.register("dfs")
class DepthFirst(BaseAgent):
    """The candidate discovered last; of those discovered together, the one with the highest number."""

    reads_probes = False

    def choose(self, view: View) -> int:
        """Return the candidate that was discovered last."""
        return int(view.candidates[-1])


class ScoringAgent(BaseAgent):
    """Base class of agents that pick the candidate with the largest score, ties at random.

    Subclasses define `score`.

    Example:
        >>> class FewestLinks(ScoringAgent):
        ...     def score(self, view: View, candidates: IntArray) -> Scores:
        ...         return -view.graph.degree[candidates].astype(np.float64)
        >>> FewestLinks()
        FewestLinks()
    """

    @abstractmethod
    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return one score for each candidate, shape `[candidates]`."""

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates and their chances, in proportion to 1/rank by score, both of shape `[candidates]`."""
        candidates = view.candidates
        # The second argsort inverts the first: the rank of each candidate, 0 for the best.
        chances = 1.0 / (1.0 + np.argsort(np.argsort(-self.score(view, candidates), kind="stable")))
        return candidates, chances / chances.sum()

    def choose(self, view: View) -> int:
        """Return a candidate of the largest score."""
        candidates = view.candidates
        scores = self.score(view, candidates)
        return int(view.rng.choice(candidates[scores == scores.max()]))


@agents.register("degree")
class Degree(ScoringAgent):
    """The candidate with most links, whether to learned topics or to others."""

    reads_probes = False

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the number of undirected links."""
        return view.graph.degree[candidates].astype(np.float64)


@agents.register("pagerank")
class PageRank(ScoringAgent):
    """The candidate with the largest PageRank personalised to the nucleus (Brin and Page 1998), computed once."""

    reads_probes = False

    def reset(self, view: View) -> None:
        """Compute the PageRank; the cost grows with the graph."""
        self._rank = pagerank(view.graph, view.nucleus)

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the PageRank."""
        return self._rank[candidates]


@agents.register("closure")
class Closure(ScoringAgent):
    """The candidate with the largest share of its links leading to learned topics: |N(v) ∩ S| / (c + |N(v)|).

    N(v) are the topics linked with v in either direction, S the learned topics.

    Args:
        c: Links added to the denominator. Without them, a topic whose only link leads to S would always win.

    Raises:
        ValueError: If `c` is negative.

    Example:
        >>> Closure(c=1.0)
        Closure(c=1.0)
    """

    reads_probes = False

    def __init__(self, c: float = 10.0) -> None:
        if c < 0:
            raise ValueError(f"c must not be negative, not {c}")
        self.c = c

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the shares of learned neighbours, 0 to 1."""
        return view.frontier.links_to_solid[candidates] / (self.c + view.graph.degree[candidates])


@agents.register("similarity")
class Similarity(ScoringAgent):
    """The candidate with the largest cosine to the mean embedding of the goal, or of the nucleus without a goal."""

    reads_probes = False

    def reset(self, view: View) -> None:
        """Compute the direction of the goal."""
        # Not normalised: its length is the same for all candidates, so the product orders them like the cosine.
        self._direction = view.embeddings[view.nucleus if view.goal is None else view.goal].mean(axis=0)

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return products with the mean embedding, which order candidates like their cosines."""
        products: Scores = view.embeddings[candidates] @ self._direction
        return products


class SampledAgent(ScoringAgent):
    """Base class of scoring agents whose scores are costly: they judge a sample of the candidates.

    Subclasses define `judge`.

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
        """Return the candidates with equal chances: judging them only to state preferences would cost too much."""
        candidates = view.candidates
        return candidates, np.full(len(candidates), 1.0 / max(1, len(candidates)))

    def score(self, view: View, candidates: IntArray) -> Scores:
        """Return the values of `judge`; minus infinity outside the sample and for NaN."""
        drawn = view.rng.permutation(len(candidates))[: self.sample]
        scores = np.full(len(candidates), -np.inf)
        scores[drawn] = np.nan_to_num(self.judge(view, candidates[drawn]), nan=-np.inf)
        return scores

    @abstractmethod
    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the score of each topic, NaN where there is none, shape `[topics]`."""


@agents.register("greedy-loss")
class GreedyLoss(SampledAgent):
    """The candidate on which the learner's present probe loss is largest.

    The tokens read to measure are booked on the coming expansion. Topics without probe passages are picked only if no
    candidate can be measured.

    Args:
        sample: Most candidates measured at a step, drawn uniformly.
    """

    reads_probes = False

    def __init__(self, sample: int = 16) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the probe losses in nats per token."""
        return view.measure(topics)


@agents.register("least-loss")
class LeastLoss(SampledAgent):
    """The candidate on which the learner's present probe loss is smallest; the opposite of `GreedyLoss`.

    Args:
        sample: Most candidates measured at a step, drawn uniformly.
    """

    reads_probes = False

    def __init__(self, sample: int = 16) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the probe losses in nats per token, negated."""
        return -view.measure(topics)


@agents.register("oracle")
class Oracle(SampledAgent):
    """The candidate whose expansion would leave the lowest mean probe loss, found by trying candidates on forks.

    The oracle is close to a ceiling for other agents, not an optimum, for three reasons. It looks one expansion ahead,
    while a worse topic now may open better ones. It tries a sample of the candidates. And it measures on probe
    passages, never on the exam, so part of the drop it picks by is luck with the few passages of the probe. Reports
    score it by the exam, like every agent. Without a goal the mean is over all topics, with a goal over the goal's.

    Each candidate tried costs as much learning as an expansion. This is booked as probing and not taken from the token
    budget, so the oracle is for comparison, not for use.

    Args:
        sample: Most candidates tried at a step, drawn uniformly.

    Raises:
        ValueError: If `sample` is below 1.
    """

    reads_probes = False

    def __init__(self, sample: int = 8) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the drops of the mean probe loss in nats per token; see `View.try_topics`."""
        return view.try_topics(topics)


@agents.register("markov")
class MarkovReader(BaseAgent):
    """A first-order Markov model of readers without a goal, with back-off to in-degree, over the candidates.

    The chance of a candidate v is in proportion to n(page, v) + 10 in(v) / sum of in over the candidates. Here n counts
    the clicks of Wikispeedia's readers on the link from the topic picked last (the page) to v, matched by title, and
    in(v) is 1 plus the number of links to v. Where no clicks are known, candidates are drawn by in-degree.
    """

    reads_probes = False

    def reset(self, view: View) -> None:
        """Begin at the nucleus's first topic."""
        self._page = int(view.nucleus[0])
        self._clicks = click_counts(view.graph)
        self._in_degree = np.bincount(view.graph.indices, minlength=len(view.graph)).astype(np.float64)

    def observe(self, expansion: Expansion) -> None:
        """Move to the topic that was picked."""
        self._page = expansion.topic

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates and the chance of each, both of shape `[candidates]`."""
        candidates = view.candidates
        at = view.graph.positions(np.full(len(candidates), self._page), candidates)
        clicks = np.where(at >= 0, self._clicks.links[at], 0.0)  # -1 marks pairs without a link
        prior = self._in_degree[candidates] + 1.0  # above 0, so that every candidate is possible
        chances = clicks + _BACK_OFF * prior / prior.sum()
        return candidates, chances / chances.sum()

    def choose(self, view: View) -> int:
        """Return a candidate drawn by its chance."""
        candidates, chances = self.preferences(view)
        return int(view.rng.choice(candidates, p=chances))
