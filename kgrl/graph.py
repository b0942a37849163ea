"""The topic graph, in compressed sparse row form, and its frontier.

`TopicGraph` is immutable. `Frontier` is the state of a curriculum on it: which topics are learned and which are one
link away. Neither knows about text, learners or rewards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from kgrl.errors import UnknownNameError

__all__ = ["Frontier", "TopicGraph"]

IntArray = NDArray[np.int32]


class TopicGraph:
    """Topics and the links between them.

    Links are directed (source mentions target). The frontier of a curriculum ignores the direction, so the undirected
    neighbourhood is the one most methods speak of.

    Args:
        titles: One title for each topic, without repeats.
        indptr: Row starts of the compressed sparse rows, int64, shape `[topics + 1]`.
        indices: Link targets, int32, shape `[links]`, ascending within a row and without repeats or self-links.
        categories: One category name for each topic, `""` where there is none.
        places: Words of the source's text before it first mentions the target, -1 where it does not, int32 `[links]`;
            None where links' texts were not looked at. Readers click early links more than late ones.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 0], [1, 2])
        >>> graph.out(0).tolist(), graph.neighbours(1).tolist(), graph.n_links
        ([1, 2], [0], 2)
    """

    def __init__(
        self,
        titles: Sequence[str],
        indptr: NDArray[np.int64],
        indices: IntArray,
        categories: Sequence[str] | None = None,
        places: IntArray | None = None,
    ) -> None:
        self.titles = tuple(titles)
        self.indptr = indptr
        self.indices = indices
        self.places = places
        self.categories = tuple(categories) if categories is not None else ("",) * len(self.titles)
        if len(self.indptr) != len(self.titles) + 1 or len(self.categories) != len(self.titles):
            raise ValueError(
                f"{len(self.titles)} titles need {len(self.titles) + 1} row starts and as many categories as titles, "
                f"not {len(self.indptr)} and {len(self.categories)}"
            )
        if places is not None and len(places) != len(indices):
            raise ValueError(f"{len(indices)} links need as many places, not {len(places)}")
        self._index = {title: topic for topic, title in enumerate(self.titles)}
        if len(self._index) != len(self.titles):
            repeated = next(t for i, t in enumerate(self.titles) if self._index[t] != i)
            raise ValueError(f"the title {repeated!r} stands for two topics")

    @classmethod
    def from_links(
        cls, titles: Sequence[str], sources: ArrayLike, targets: ArrayLike, categories: Sequence[str] | None = None
    ) -> TopicGraph:
        """Build a graph from link end points; repeats and self-links are dropped.

        Args:
            titles: One title for each topic.
            sources: Topic numbers the links start from, shape `[links]`.
            targets: Topic numbers the links lead to, shape `[links]`.
            categories: One category name for each topic.

        Raises:
            ValueError: If an end point is not a topic.
        """
        from_, to = np.asarray(sources, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        n = len(titles)
        if len(from_) and (min(from_.min(), to.min()) < 0 or max(from_.max(), to.max()) >= n):
            raise ValueError(f"a link end point is outside the {n} topics")
        keep = from_ != to
        keys = np.unique(from_[keep] * n + to[keep])
        indptr = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(np.bincount(keys // max(n, 1), minlength=n), out=indptr[1:])
        return cls(titles, indptr, (keys % max(n, 1)).astype(np.int32), categories)

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any]) -> TopicGraph:
        """Build a graph from networkx: nodes are titles, the node attribute `category` is kept.

        An undirected graph becomes links both ways.

        Example:
            >>> TopicGraph.from_networkx(nx.path_graph(["a", "b", "c"])).degree.tolist()
            [1, 2, 1]
        """
        titles = [str(node) for node in graph]
        number = {node: topic for topic, node in enumerate(graph)}
        directed = graph if graph.is_directed() else graph.to_directed()
        ends = np.array([(number[a], number[b]) for a, b in directed.edges()], dtype=np.int64).reshape(-1, 2)
        categories = [str(data.get("category", "")) for _, data in graph.nodes(data=True)]
        return cls.from_links(titles, ends[:, 0], ends[:, 1], categories)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return the graph as a networkx `DiGraph` of titles, with the node attribute `category`."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from((t, {"category": c}) for t, c in zip(self.titles, self.categories, strict=True))
        sources, targets = self.links()
        graph.add_edges_from((self.titles[a], self.titles[b]) for a, b in zip(sources, targets, strict=True))
        return graph

    def with_places(self, places: IntArray) -> TopicGraph:
        """Return the same graph with the places of its links; see the class's arguments."""
        return TopicGraph(self.titles, self.indptr, self.indices, self.categories, places)

    def __len__(self) -> int:
        return len(self.titles)

    def __repr__(self) -> str:
        return f"TopicGraph({len(self)} topics, {self.n_links} links)"

    @property
    def n_links(self) -> int:
        """Number of directed links."""
        return len(self.indices)

    def links(self) -> tuple[IntArray, IntArray]:
        """Return the sources and targets of all links, each int32 of shape `[links]`."""
        sources = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))
        return sources, self.indices

    def out(self, topic: int) -> IntArray:
        """Return the topics that `topic` links to, ascending, as a view."""
        return self.indices[self.indptr[topic] : self.indptr[topic + 1]]

    def positions(self, sources: ArrayLike, targets: ArrayLike) -> NDArray[np.int64]:
        """Return where links are in `indices`, -1 for pairs that are no link.

        Args:
            sources: Topics the links start from, shape `[n]`.
            targets: Topics they lead to, shape `[n]`.

        Returns:
            Positions, int64 of shape `[n]`.

        Example:
            >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 0, 2], [1, 2, 0])
            >>> graph.positions([0, 2, 1], [2, 0, 0]).tolist()
            [1, 2, -1]
        """
        from_, to = np.asarray(sources, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        low, end = self.indptr[from_], self.indptr[from_ + 1]
        high = end.copy()
        # A binary search in all rows at once: rows are ascending, and no key of a whole graph's links is ever made.
        while (unfinished := low < high).any():
            middle = (low + high) // 2
            below = np.zeros(len(low), dtype=bool)
            below[unfinished] = self.indices[middle[unfinished]] < to[unfinished]
            low, high = np.where(below, middle + 1, low), np.where(below | ~unfinished, high, middle)
        found = low < end
        found[found] = self.indices[low[found]] == to[found]
        return np.where(found, low, -1)

    def neighbours(self, topic: int) -> IntArray:
        """Return the topics linked with `topic` in either direction, ascending, as a view."""
        indptr, indices = self._undirected
        return indices[indptr[topic] : indptr[topic + 1]]

    @cached_property
    def adjacency(self) -> sparse.csr_array:
        """The undirected adjacency matrix, float32 of ones, shape `[topics, topics]`."""
        indptr, indices = self._undirected
        ones = np.ones(len(indices), dtype=np.float32)
        return sparse.csr_array((ones, indices, indptr), shape=(len(self), len(self)))

    @cached_property
    def degree(self) -> IntArray:
        """Number of undirected neighbours of each topic, int32 of shape `[topics]`."""
        return np.diff(self._undirected[0]).astype(np.int32)

    @cached_property
    def _undirected(self) -> tuple[NDArray[np.int64], IntArray]:
        sources, targets = self.links()
        both = sparse.coo_array(
            (np.ones(2 * len(sources), dtype=bool), (np.r_[sources, targets], np.r_[targets, sources])),
            shape=(len(self), len(self)),
        ).tocsr()
        both.sum_duplicates()
        return both.indptr.astype(np.int64), both.indices.astype(np.int32)

    @cached_property
    def components(self) -> IntArray:
        """The number of each topic's connected component, ignoring direction, int32 of shape `[topics]`."""
        labels: IntArray = sparse.csgraph.connected_components(self.adjacency, directed=False)[1].astype(np.int32)
        return labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over titles, categories and links; the same graph has the same fingerprint on every machine."""
        digest = hashlib.sha256("\0".join([*self.titles, *self.categories]).encode())
        digest.update(self.indptr.tobytes())
        digest.update(self.indices.tobytes())
        return digest.hexdigest()

    def index(self, title: str) -> int:
        """Return the number of the topic called `title`.

        Raises:
            UnknownNameError: If there is none; the message suggests the nearest title.
        """
        topic = self._index.get(title)
        if topic is None:
            raise UnknownNameError("topic", title, self.titles)
        return topic

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        """The categories that topics have, sorted, `""` left out."""
        return tuple(sorted(set(self.categories) - {""}))

    def in_category(self, name: str) -> IntArray:
        """Return the topics of a category, ascending.

        Raises:
            UnknownNameError: If no topic has that category; the message lists the categories.
        """
        if name not in self.category_names:
            raise UnknownNameError("category", name, self.category_names)
        return np.array([t for t, category in enumerate(self.categories) if category == name], dtype=np.int32)


class Frontier:
    """The learned topics and the topics one link away from them, kept up to date as topics are learned.

    Learning a topic costs time proportional to its links, whatever the size of the graph.

    Args:
        graph: The topic graph.
        learned: Topics learned from the start, in order.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 2], [1, 2, 3])
        >>> frontier = Frontier(graph, [0])
        >>> frontier.topics.tolist()
        [1]
        >>> frontier.learn(1)
        >>> frontier.topics.tolist(), frontier.learned.tolist()
        ([2], [0, 1])
    """

    def __init__(self, graph: TopicGraph, learned: Iterable[int] = ()) -> None:
        self.graph = graph
        self._links = np.zeros(len(graph), dtype=np.int32)
        self._is_learned = np.zeros(len(graph), dtype=bool)
        # A dict keeps the order of discovery and removes in constant time; bfs and dfs need that order.
        self._discovered: dict[int, None] = {}
        self._learned: list[int] = []
        for topic in learned:
            self.learn(topic)

    def learn(self, topic: int) -> None:
        """Move a topic to the learned set and discover its neighbours. Learning a topic twice changes nothing."""
        if self._is_learned[topic]:
            return
        self._is_learned[topic] = True
        self._learned.append(int(topic))
        self._discovered.pop(int(topic), None)
        near = self.graph.neighbours(topic)
        self._links[near] += 1
        # A topic seen for the first time has exactly one link with the learned set.
        fresh = near[(self._links[near] == 1) & ~self._is_learned[near]]
        self._discovered.update(dict.fromkeys(fresh.tolist()))

    @property
    def topics(self) -> IntArray:
        """The frontier in order of discovery, int32."""
        return np.fromiter(self._discovered, dtype=np.int32, count=len(self._discovered))

    @property
    def learned(self) -> IntArray:
        """The learned topics in the order they were learned, int32."""
        return np.array(self._learned, dtype=np.int32)

    @property
    def is_learned(self) -> NDArray[np.bool_]:
        """Whether each topic is learned, shape `[topics]`, as a read-only view."""
        view = self._is_learned.view()
        view.flags.writeable = False
        return view

    @property
    def links_to_learned(self) -> IntArray:
        """Number of learned neighbours of each topic, int32 of shape `[topics]`, as a read-only view."""
        view = self._links.view()
        view.flags.writeable = False
        return view

    def __contains__(self, topic: object) -> bool:
        return topic in self._discovered

    def __len__(self) -> int:
        return len(self._discovered)
