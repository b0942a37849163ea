"""Statistics of traces: length, share of returns, clustering of the visited pages, and moves between categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.trace import BACK, Trace

__all__ = ["TraceStats", "trace_stats"]

_SMALLEST_NETWORK = 3
"""Pages that a triangle needs."""
_OTHERS = "other"


@dataclass
class TraceStats:
    """Statistics of some traces, gathered one trace at a time.

    A step is any action of a reader after opening the first page: a forward click or a back click.

    Attributes:
        lengths: Number of traces by their number of steps.
        outcomes: Number of traces by outcome.
        backs: Number of back clicks.
        returns: Number of steps to a page that was opened before in the same trace: back clicks, and forward clicks to
            such a page.
        moves: Number of forward clicks by the categories they lead from and to; clicks from or to a topic without a
            category are left out.
        clusterings: Clustering coefficient of each trace that opened three pages or more; see `clustering`.
    """

    lengths: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    backs: int = 0
    returns: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    clusterings: list[float] = field(default_factory=list)

    def add(self, trace: Trace, graph: TopicGraph) -> None:
        """Add one trace, a walk on the graph."""
        self.lengths[len(trace.steps) - 1] += 1
        self.outcomes[str(trace.outcome)] += 1
        self.backs += trace.steps.count(BACK)
        opened = {trace.steps[0]}
        # pages() has one entry more than there are steps; each step was taken on the page before it.
        for page, step in zip(trace.pages(), trace.steps[1:], strict=False):
            self.returns += step == BACK or step in opened
            if step != BACK:
                opened.add(step)
                move = graph.categories[page], graph.categories[step]
                self.moves.update([move] if all(move) else [])
        if len(opened) >= _SMALLEST_NETWORK:
            self.clusterings.append(_clustering(graph, opened))

    def __repr__(self) -> str:
        return f"TraceStats({self.traces:,} traces, {self.steps:,} steps)"

    @property
    def traces(self) -> int:
        """Number of traces."""
        return self.lengths.total()

    @property
    def steps(self) -> int:
        """Number of steps."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def back_share(self) -> float:
        """Share of steps that are back clicks."""
        return self.backs / max(self.steps, 1)

    @property
    def return_rate(self) -> float:
        """Share of steps that lead to a page opened before in the same trace; see `returns`."""
        return self.returns / max(self.steps, 1)

    @property
    def clustering(self) -> float | None:
        """Mean clustering coefficient of the graph among the pages of each trace, None without a trace of three pages.

        The coefficient of a page is the share of pairs of its neighbours that are linked themselves, with links read
        as undirected, and 0 for fewer than two neighbours (Watts and Strogatz 1998). A trace's coefficient is the mean
        over its pages. Traces that opened fewer than three pages have none.
        """
        return float(np.mean(self.clusterings)) if self.clusterings else None

    @property
    def within_category(self) -> float | None:
        """Share of forward clicks that stay in a category; None if topics have no categories."""
        stay = sum(count for (before, after), count in self.moves.items() if before == after)
        return stay / self.moves.total() if self.moves else None

    def category_matrix(self, most: int) -> tuple[list[str], NDArray[np.int64]]:
        """Return the counts of forward clicks from category to category.

        Args:
            most: Number of categories kept, those with the most clicks from or to them; the others are added up as
                `"other"`.

        Returns:
            The categories' names, and counts by row (from) and column (to), int64 `[categories, categories]`.
        """
        ends = Counter[str]()
        for move, count in self.moves.items():
            ends.update(dict.fromkeys(move, count))  # a move within a category counts once
        kept = [name for name, _ in sorted(ends.items(), key=lambda end: (-end[1], end[0]))[:most]]
        names = [*kept, _OTHERS] if len(ends) > most else kept
        number = {name: at for at, name in enumerate(kept)}
        matrix = np.zeros((len(names), len(names)), dtype=np.int64)
        for (before, after), count in self.moves.items():
            matrix[number.get(before, len(kept)), number.get(after, len(kept))] += count
        return names, matrix

    def figures(self) -> dict[str, Any]:
        """Return the figures for JSON; `category_moves` lists from, to and count, most frequent first.

        Raises:
            ValueError: If no trace was added.
        """
        if not self.lengths:
            raise ValueError("no trace was added, so there are no figures")
        lengths = np.repeat(list(self.lengths), list(self.lengths.values()))
        return {
            "traces": self.traces,
            "outcomes": dict(sorted(self.outcomes.items())),
            "steps": self.steps,
            "length": {
                "mean": float(lengths.mean()),
                "median": float(np.median(lengths)),
                "p90": float(np.quantile(lengths, 0.9)),
                "max": int(lengths.max()),
            },
            "lengths": {str(length): self.lengths[length] for length in sorted(self.lengths)},
            "back_share": self.back_share,
            "return_rate": self.return_rate,
            "clustering": self.clustering,
            "within_category": self.within_category,
            "category_moves": [[*move, count] for move, count in self.moves.most_common()],
        }


def trace_stats(traces: Iterable[Trace], graph: TopicGraph) -> dict[str, TraceStats]:
    """Return the statistics of traces by source. Traces are read one at a time and not kept.

    Args:
        traces: Walks on the graph.
        graph: The topic graph.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1, 2], [1, 2, 0])
        >>> stats = trace_stats([Trace((0, 1, BACK, 1, 2, 0), source="me")], graph)["me"]
        >>> stats.steps, stats.back_share, stats.return_rate, stats.clustering
        (5, 0.2, 0.6, 1.0)
    """
    stats: dict[str, TraceStats] = {}
    for trace in traces:
        stats.setdefault(trace.source, TraceStats()).add(trace, graph)
    return stats


def _clustering(graph: TopicGraph, pages: set[int]) -> float:
    """Return the mean clustering coefficient of the undirected graph among some pages."""
    ordered = np.sort(np.fromiter(pages, dtype=np.int64))
    # Adjacency matrix of the pages, [pages, pages].
    linked = np.stack([np.isin(ordered, graph.neighbours(page)) for page in ordered.tolist()]).astype(np.float64)
    degree = linked.sum(axis=0)
    # Paths of two steps between pages that are linked: each triangle at a page is counted twice, as is each pair of
    # neighbours in degree * (degree - 1).
    triangles = ((linked @ linked) * linked).sum(axis=0)
    return float(np.divide(triangles, degree * (degree - 1), out=np.zeros(len(degree)), where=degree > 1).mean())
