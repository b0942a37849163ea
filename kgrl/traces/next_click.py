"""Next-click prediction: scores of a predictor that ranks the link a reader clicked among all links of the page.

A predictor gives log-probabilities for the links of each click's page, in one flat array for many clicks. Ties get the
expected score of a random order. This module knows neither networks nor sources of traces.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.traces.trace import ClickTable

__all__ = ["ClickPredictor", "ClickScores", "OfferedLinks", "candidates_of", "inductive", "score_clicks"]

FloatArray = NDArray[np.float32]


class OfferedLinks(NamedTuple):
    """Links of the pages that clicks were made on, page after page.

    Args:
        links: Position of each link in `graph.indices`, int64 `[rows]`.
        owner: The click that each row belongs to, int64 `[rows]`.
        starts: The first row of each click, and the number of rows last, int64 `[clicks + 1]`.
    """

    links: NDArray[np.int64]
    owner: NDArray[np.int64]
    starts: NDArray[np.int64]


class ClickPredictor(Protocol):
    """Model of how likely each link of a page is to be clicked."""

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return the log-probability of every link of each click's page.

        Args:
            clicks: The clicks; predictors must not read `chosen`.

        Returns:
            Natural logarithms in the order of `candidates_of`, float32 `[rows]`.
        """
        ...


@dataclass(frozen=True)
class ClickScores:
    """Scores of click predictions.

    Args:
        top1: Share of clicks whose link was ranked first.
        mrr: Mean reciprocal rank.
        nll: Mean negative log-probability, nats per click.
        clicks: Number of clicks.
    """

    top1: float
    mrr: float
    nll: float
    clicks: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the scores ready for JSON."""
        return asdict(self)


def candidates_of(graph: TopicGraph, pages: IntArray) -> OfferedLinks:
    """Return the links of pages.

    Args:
        graph: The topic graph.
        pages: A page for each click, shape `[clicks]`.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 0, 2], [1, 2, 0])
        >>> candidates_of(graph, np.array([2, 0])).links.tolist()
        [2, 0, 1]
    """
    first = graph.indptr[pages].astype(np.int64)
    counts = graph.indptr[pages.astype(np.int64) + 1] - first
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    owner = np.repeat(np.arange(len(pages)), counts)
    # Row number within its click, counted from the page's first link.
    links = np.arange(starts[-1]) - starts[owner] + first[owner]
    return OfferedLinks(links, owner, starts)


def score_clicks(log_probabilities: FloatArray, clicks: ClickTable, graph: TopicGraph) -> ClickScores:
    """Score predictions of clicks.

    A link that ties with `t - 1` others and is beaten by `b` has rank `b + k` with probability `1 / t` for each k
    from 1 to t. Its reciprocal rank is the mean over k.

    Args:
        log_probabilities: What a predictor returned, shape `[rows]`.
        clicks: The clicks; at least one.
        graph: The topic graph.

    Raises:
        ValueError: If there are no clicks, a click is not a link, or there is not one value for each link.

    Example:
        >>> from kgrl.traces import Trace
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 0], [1, 2])
        >>> clicks = ClickTable.from_traces([Trace((0, 1))], graph.titles)
        >>> score_clicks(np.log(np.float32([0.5, 0.5])), clicks, graph)
        ClickScores(top1=0.5, mrr=0.75, nll=0.69..., clicks=1)
    """
    rows = candidates_of(graph, clicks.page)
    if not len(clicks) or len(log_probabilities) != len(rows.links):
        raise ValueError(f"{len(log_probabilities)} values for {len(rows.links)} links of {len(clicks)} clicks")
    is_chosen = graph.indices[rows.links] == clicks.chosen[rows.owner]
    if is_chosen.sum() != len(clicks):
        raise ValueError(f"{len(clicks) - is_chosen.sum()} clicks are not links of the graph")
    chosen = log_probabilities[is_chosen]
    better = np.add.reduceat(log_probabilities > chosen[rows.owner], rows.starts[:-1], dtype=np.int64)
    tied = np.add.reduceat(log_probabilities == chosen[rows.owner], rows.starts[:-1], dtype=np.int64)
    # harmonic[n] is 1 + 1/2 + ... + 1/n, so a mean of reciprocal ranks is one difference.
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, (better + tied).max() + 1))])
    return ClickScores(
        top1=float(np.mean((better == 0) / tied)),
        mrr=float(np.mean((harmonic[better + tied] - harmonic[better]) / tied)),
        nll=float(-chosen.astype(np.float64).mean()),
        clicks=len(clicks),
    )


def inductive(clicks: ClickTable, hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of the clicks made on or to hidden articles, bool `[clicks]`.

    Args:
        clicks: The clicks.
        hidden: Whether each topic is hidden, shape `[topics]`.
    """
    on_or_to: NDArray[np.bool_] = hidden[clicks.page] | hidden[clicks.chosen]
    return on_or_to
