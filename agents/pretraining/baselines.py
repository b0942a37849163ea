"""Next-click predictors without a network, which the curiosity policy has to beat.

Markov models read counts of training clicks and back off: order two to order one, order one to in-degree. The
distribution of the level below counts as `_BACK_OFF` further observations (a Dirichlet prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import ClickPredictor, OfferedLinks, candidates_of
from kgrl.traces.trace import ClickTable

__all__ = ["Markov", "Popularity", "TextSimilarity", "Uniform", "click_baselines"]

FloatArray = NDArray[np.float32]

_BACK_OFF = 10.0
_TEMPERATURE = 0.1  # of the softmax over cosines, which hardly exceed 0.8


@dataclass(frozen=True)
class Uniform:
    """The uniform distribution over a page's links.

    Args:
        graph: The topic graph.
    """

    graph: TopicGraph

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return log-probabilities; see `ClickPredictor`."""
        rows = candidates_of(self.graph, clicks.page)
        return _normalised(np.ones(len(rows.links)), rows)


@dataclass(frozen=True)
class Popularity:
    """Links in proportion to the in-degree of their target.

    Args:
        graph: The topic graph.
    """

    graph: TopicGraph

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return log-probabilities; see `ClickPredictor`."""
        rows = candidates_of(self.graph, clicks.page)
        in_degree = np.bincount(self.graph.indices, minlength=len(self.graph))
        return _normalised(in_degree[self.graph.indices[rows.links]], rows)


@dataclass(frozen=True)
class TextSimilarity:
    """Links by the similarity of page and target: softmax over the cosines of their embeddings.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
    """

    graph: TopicGraph
    embeddings: FloatArray

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return log-probabilities; see `ClickPredictor`."""
        rows = candidates_of(self.graph, clicks.page)
        sources, targets = self.graph.links()
        cosines = np.einsum("ld,ld->l", self.embeddings[sources], self.embeddings[targets])
        return _normalised(np.exp(cosines[rows.links] / _TEMPERATURE), rows)


@dataclass(frozen=True)
class Markov:
    """A Markov model of clicks with back-off.

    Args:
        counts: Counts of training clicks.
        order: Number of pages that a click depends on, 1 or 2.
    """

    counts: ClickCounts
    order: int

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return log-probabilities; see `ClickPredictor`."""
        graph = self.counts.graph
        rows = candidates_of(graph, clicks.page)
        probabilities = np.exp(Popularity(graph).log_probabilities(clicks).astype(np.float64))
        levels = [self.counts.links[rows.links]]
        if self.order > 1:
            previous, page = clicks.stack[:, -2][rows.owner], clicks.page[rows.owner]
            levels.append(self.counts.after_page(previous, page, rows.links)[0])
        # From the lowest level up: each level's result is the prior of the next.
        for seen in levels:
            totals = np.add.reduceat(seen, rows.starts[:-1])[rows.owner]  # clicks on the page, [candidates]
            probabilities = (seen + _BACK_OFF * probabilities) / (totals + _BACK_OFF)
        return np.log(probabilities).astype(np.float32)


def click_baselines(counts: ClickCounts, embeddings: FloatArray) -> dict[str, ClickPredictor]:
    """Return the predictors that a policy is compared with, by name.

    Args:
        counts: Counts of training clicks, for the Markov models.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
    """
    graph = counts.graph
    return {
        "uniform": Uniform(graph),
        "indegree": Popularity(graph),
        "markov1": Markov(counts, 1),
        "markov2": Markov(counts, 2),
        "similarity": TextSimilarity(graph, embeddings),
    }


def _normalised(weights: NDArray[np.number], rows: OfferedLinks) -> FloatArray:
    """Return the logarithms of weights divided by their sum over each click's candidates."""
    totals = np.add.reduceat(weights.astype(np.float64), rows.starts[:-1])
    return np.log(weights / totals[rows.owner]).astype(np.float32)
