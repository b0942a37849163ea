"""Next-click predictors without a network: what the curiosity policy has to beat.

Markov models read counts of training clicks and back off: order two to order one, order one to in-degree. Each level
counts as `_BACK_OFF` further observations distributed as the level below says.
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
_TEMPERATURE = 0.1  # of cosines, which hardly exceed .8


@dataclass(frozen=True)
class Uniform:
    """Every link is equally likely.

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
    """Links are as likely as many articles link to their target.

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
    """Links are likely whose target's text resembles the page's: softmax over cosines.

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
    """A Markov model with back-off.

    Args:
        counts: Counts of training clicks.
        order: 1 or 2: how many pages the click depends on.
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
        for seen in levels:
            totals = np.add.reduceat(seen, rows.starts[:-1])[rows.owner]
            probabilities = (seen + _BACK_OFF * probabilities) / (totals + _BACK_OFF)
        return np.log(probabilities).astype(np.float32)


def click_baselines(counts: ClickCounts, embeddings: FloatArray) -> dict[str, ClickPredictor]:
    """Return the predictors that scores are reported beside, by name.

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
    """The logarithms of weights divided by their sum over each click's candidates."""
    totals = np.add.reduceat(weights.astype(np.float64), rows.starts[:-1])
    return np.log(weights / totals[rows.owner]).astype(np.float32)
