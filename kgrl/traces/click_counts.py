"""Counts of readers' clicks: on each link, and on each link after each previous page.

Saved counts name topics by title, so counts made on one graph can be used on another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.traces.trace import ClickTable, positions

__all__ = ["ClickCounts"]

FloatArray = NDArray[np.float32]
Tensors = dict[str, NDArray[np.generic]]

_MOST = 255
"""Largest saved count: they are bytes, and more clicks than that say nothing further."""


@dataclass(frozen=True)
class ClickCounts:
    """Counts of clicks on one graph.

    Args:
        graph: The topic graph.
        links: Clicks on each link, float32 `[links]`.
        keys: Links clicked after a page, as `previous page * links + position of the link`, ascending,
            int64 `[keys]`.
        after: Clicks of each key, float32 `[keys]`.
        contexts: Pages clicked on from after a page, as `previous page * topics + page`, ascending,
            int64 `[contexts]`.
        totals: Clicks of each context, float32 `[contexts]`.

    Example:
        >>> from kgrl.traces import Trace
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1, 1], [1, 0, 2])
        >>> counts = ClickCounts.of(graph, ClickTable.from_traces([Trace((0, 1, 2)), Trace((0, 1))], graph.titles))
        >>> counts.links.tolist()
        [2.0, 0.0, 1.0]
    """

    graph: TopicGraph
    links: FloatArray
    keys: NDArray[np.int64]
    after: FloatArray
    contexts: NDArray[np.int64]
    totals: FloatArray

    def __repr__(self) -> str:
        return f"ClickCounts({int(self.links.sum()):,} clicks on {np.count_nonzero(self.links):,} links)"

    @classmethod
    def of(cls, graph: TopicGraph, clicks: ClickTable, least_after: int = 1) -> ClickCounts:
        """Return the counts of a table of clicks.

        Args:
            graph: The topic graph.
            clicks: The clicks. Leave out the final ones: they show where the reader wanted to go.
            least_after: Smallest count of a link after a page that is kept; most of these counts are 1.
        """
        at = positions(graph, clicks)
        links = np.bincount(at, minlength=graph.n_links).astype(np.float32)
        previous = clicks.stack[:, -2].astype(np.int64)
        known = previous >= 0
        keys, counts = np.unique((previous * graph.n_links + at)[known], return_counts=True)
        keys, after = keys[counts >= least_after], counts[counts >= least_after].astype(np.float32)
        return cls(graph, links, keys, after, *_contexts(graph, keys, after))

    @classmethod
    def none(cls, graph: TopicGraph) -> ClickCounts:
        """Return the counts of no clicks."""
        nothing, zeros = np.empty(0, dtype=np.int64), np.zeros(graph.n_links, dtype=np.float32)
        return cls(graph, zeros, nothing, zeros[:0], nothing, zeros[:0])

    def without(self, hidden: NDArray[np.bool_]) -> ClickCounts:
        """Return the counts of pages that neither are hidden nor link to a hidden topic.

        The click shares of a page that links to a hidden topic would say that readers never click there. So all counts
        of such a page are left out, and those after a hidden previous page.

        Args:
            hidden: Whether each topic is hidden, shape `[topics]`.
        """
        sources, targets = self.graph.links()
        # Pages that are hidden or link to a hidden topic, bool [topics].
        incomplete = hidden | (np.bincount(sources, hidden[targets], minlength=len(self.graph)) > 0)
        shown = ~incomplete[sources]
        previous, link = np.divmod(self.keys, max(self.graph.n_links, 1))
        kept = shown[link] & ~hidden[previous]
        keys, after = self.keys[kept], self.after[kept]
        return ClickCounts(self.graph, self.links * shown, keys, after, *_contexts(self.graph, keys, after))

    def after_page(self, previous: IntArray, page: IntArray, link: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return the clicks on links after a previous page.

        Args:
            previous: The page before the current one, -1 for none; broadcast against the others.
            page: The current page.
            link: Position of each link, -1 for none.

        Returns:
            Clicks on the links, and clicks on any link of the page, each after that previous page; float32, in the
            shape of `link` and of `page`.
        """
        before = previous.astype(np.int64)
        keys = np.where((before >= 0) & (link >= 0), before * self.graph.n_links + link, -1)
        contexts = np.where(before >= 0, before * len(self.graph) + page, -1)
        return _look_up(self.keys, self.after, keys), _look_up(self.contexts, self.totals, contexts)

    def to_tensors(self) -> Tensors:
        """Return the counts as small arrays: the ends of each counted link by number, counts up to 255, and titles."""
        sources, targets = self.graph.links()
        kept = np.flatnonzero(self.links)
        previous, link = np.divmod(self.keys, max(self.graph.n_links, 1))
        number = np.min_scalar_type(len(self.graph))  # 16 bits for fewer than 65,536 topics
        return {
            "link_ends": np.column_stack([sources[kept], targets[kept]]).astype(number),
            "link_clicks": _bytes(self.links[kept]),
            "after_ends": np.column_stack([previous, sources[link], targets[link]]).astype(number),
            "after_clicks": _bytes(self.after),
            "titles": np.frombuffer("\n".join(self.graph.titles).encode(), dtype=np.uint8),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, graph: TopicGraph) -> ClickCounts:
        """Read what `to_tensors` wrote, on a graph that has some of the same titles.

        Topics that were not counted are treated as hidden; see `without`.

        Args:
            tensors: The arrays.
            graph: The graph to look counts up on.
        """
        titles = tensors["titles"].tobytes().decode().split("\n")
        number = {title: topic for topic, title in enumerate(graph.titles)}
        topics = np.array([number.get(title, -1) for title in titles], dtype=np.int64)
        ends, clicks = topics[tensors["link_ends"].astype(np.int64)], tensors["link_clicks"].astype(np.float32)
        links = np.zeros(graph.n_links, dtype=np.float32)
        at = _positions(graph, ends[:, 0], ends[:, 1])
        links[at[at >= 0]] = clicks[at >= 0]
        previous, page, target = topics[tensors["after_ends"].astype(np.int64)].T
        at = _positions(graph, page, target)
        known = (at >= 0) & (previous >= 0)
        # This graph numbers topics and links in another order than the one that was saved: sort the keys again.
        order = np.argsort((previous * graph.n_links + at)[known])
        keys = (previous * graph.n_links + at)[known][order]
        after = tensors["after_clicks"].astype(np.float32)[known][order]
        unknown = np.ones(len(graph), dtype=bool)
        unknown[topics[topics >= 0]] = False
        return cls(graph, links, keys, after, *_contexts(graph, keys, after)).without(unknown)


def _contexts(graph: TopicGraph, keys: NDArray[np.int64], after: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Add up the clicks of keys with the same previous page and page."""
    if not graph.n_links:  # then there are no keys either, and a division by 0 below
        return keys, after
    sources, _ = graph.links()
    previous, link = np.divmod(keys, graph.n_links)
    both = (previous * len(graph) + sources[link]).astype(np.int64)
    contexts, inverse = np.unique(both, return_inverse=True)
    return contexts, np.bincount(inverse, after, minlength=len(contexts)).astype(np.float32)


def _look_up(keys: NDArray[np.int64], values: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    """Return the values of some of the ascending keys, 0 for one that is not among them."""
    if not len(keys):
        return np.zeros(wanted.shape, dtype=np.float32)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], np.float32(0))


def _positions(graph: TopicGraph, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of links, -1 where an end is unknown or the graph lacks the link."""
    found = np.full(len(sources), -1, dtype=np.int64)
    known = (sources >= 0) & (targets >= 0)
    found[known] = graph.positions(sources[known], targets[known])
    return found


def _bytes(counts: FloatArray) -> NDArray[np.uint8]:
    return np.minimum(counts, _MOST).astype(np.uint8)
