"""Tables that features of walks are looked up in: a graph's topics, links and clicks as arrays.

Features of a topic or a link never change while somebody reads; those that depend on the path are made in
`kgrl.envs.features.walk_features` from these tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import FOLDER, click_counts, project
from kgrl.envs.features.arrays import GraphTables
from kgrl.envs.features.names import LINK_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES
from kgrl.graph.nucleus import pagerank
from kgrl.graph.relations import TopicRelations, coherence
from kgrl.graph.row_kernels import ranks_in_rows
from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.memo import keep_recent, read_only
from kgrl.traces.click_counts import ClickCounts

__all__ = ["WalkTables", "walk_tables"]

FloatArray = NDArray[np.float32]

_LAST = ("similarity_rank", "in_degree_rank", "log_place", "place_rank")
"""Columns in which 0 would mean the first of all."""
_SMOOTHING = 10.0
_FAR = 20_000  # words; beyond it, or unmentioned, every link is as far


@dataclass(frozen=True)
class WalkTables:
    """A graph as the curiosity policy reads it.

    Args:
        relations: Cosines and links of pairs of topics.
        counts: Clicks of readers; several tables where training leaves each fold's own clicks out, else one.
    """

    relations: TopicRelations
    counts: tuple[ClickCounts, ...]

    @property
    def graph(self) -> TopicGraph:
        """The topic graph."""
        return self.relations.graph

    @cached_property
    def topics(self) -> FloatArray:
        """Features of each topic, in the order of `TOPIC_FEATURES`, float32 `[topics, features]`."""
        graph = self.graph
        importance = np.log(np.maximum(len(graph) * pagerank(graph), 1e-9))
        degrees = (np.log1p(values) for values in (self.in_degree, np.diff(graph.indptr), graph.degree))
        arriving, leaving, joined = degrees
        return np.column_stack([arriving / 5, leaving / 5, importance / 5, joined / 5]).astype(np.float32)

    @cached_property
    def in_degree(self) -> NDArray[np.int64]:
        """Number of links to each topic, int64 `[topics]`."""
        return np.bincount(self.graph.indices, minlength=len(self.graph))

    @cached_property
    def categories(self) -> NDArray[np.int64]:
        """A number for each topic's category, `[topics]`; topics without one are alone in theirs."""
        numbers = np.unique(np.array(self.graph.categories), return_inverse=True)[1].astype(np.int64)
        alone = np.array([not name for name in self.graph.categories], dtype=bool)
        numbers[alone] = len(numbers) + np.flatnonzero(alone)
        return numbers

    @cached_property
    def links(self) -> FloatArray:
        """Features of each link, in the order of `LINK_FEATURES`, float32 `[links + 1, features]`.

        The last row, which position -1 finds, stands for pairs that are no link.
        """
        rows = np.zeros((self.graph.n_links + 1, len(LINK_FEATURES)), dtype=np.float32)
        for at, column in enumerate(self._link_columns()):
            rows[:-1, at] = column
        rows[-1, [LINK_FEATURES.index(name) for name in _LAST]] = 1.0
        return rows

    def _link_columns(self) -> Iterator[NDArray[np.generic]]:
        """Yield the columns of `links`, one at a time, since a graph may have a hundred million links."""
        graph, relations = self.graph, self.relations
        sources, targets = graph.links()
        yield relations.mutual()
        common, adamic_adar = relations.common_neighbours()
        yield np.log1p(common) / 4
        yield np.log1p(adamic_adar) / 3
        yield 4 * common / np.maximum(graph.degree[sources] + graph.degree[targets] - common, 1)
        similarity = relations.link_cosines()
        yield similarity
        yield self._relative_rank(similarity)
        yield self._relative_rank(self.in_degree[targets])
        yield self.categories[sources] == self.categories[targets]
        yield from self._place_columns()
        yield self.topics[sources, TOPIC_FEATURES.index("log_out_degree")]

    @cached_property
    def transitions(self) -> FloatArray:
        """Readers' clicks on each link, in the order of `TRANSITION_FEATURES`, `[tables, links + 1, features]`."""
        shape = len(self.counts), self.graph.n_links + 1, len(TRANSITION_FEATURES)
        rows = np.zeros(shape, dtype=np.float32)  # of which the system gives no memory where nothing is written
        for table, counts in enumerate(self.counts):
            if counts.links.any():
                rows[table, :-1] = self._transition_columns(counts.links)
        return rows

    @cached_property
    def projected(self) -> FloatArray:
        """Topic embeddings in few dimensions, float32 `[topics, PROJECTED]`."""
        return project(self.relations.embeddings)

    @cached_property
    def outlook(self) -> FloatArray:
        """The means of the embeddings of each topic's targets, in few dimensions, float32 `[topics, PROJECTED]`."""
        return project(self.relations.mean_target)

    @cached_property
    def by_counts(self) -> tuple[GraphTables, ...]:
        """The tables as kernels read them, one record for each table of counts."""
        graph, relations = self.graph, self.relations
        joined = graph.undirected
        first = GraphTables(
            out_starts=graph.indptr,
            out=graph.indices,
            near_starts=joined[0],
            near=joined[1],
            share=(1.0 / np.maximum(graph.degree, 1)).astype(np.float32),
            topics=self.topics,
            coherence=5 * coherence(graph, relations.embeddings).astype(np.float32),
            links=self.links,
            transitions=self.transitions[0],
            categories=self.categories,
            embeddings=np.asarray(relations.embeddings),
            mean_targets=relations.mean_target,
            projected=self.projected,
            outlook=self.outlook,
            keys=self.counts[0].keys,
            after=self.counts[0].after,
            contexts=self.counts[0].contexts,
            totals=self.counts[0].totals,
        )
        parts = zip(self.transitions, self.counts, strict=True)
        each = (
            first._replace(transitions=rows, keys=own.keys, after=own.after, contexts=own.contexts, totals=own.totals)
            for rows, own in parts
        )
        # Kernels are compiled for each type of array they meet, and one that may be written is another type.
        return tuple(GraphTables(*(read_only(array) for array in record)) for record in each)

    def _place_columns(self) -> tuple[NDArray[np.floating], ...]:
        """From `mentioned` to `place_rank`."""
        places = self.graph.places if self.graph.places is not None else np.full(self.graph.n_links, -1)
        mentioned = places >= 0
        words = np.where(mentioned, np.minimum(places, _FAR), _FAR)
        return (
            mentioned.astype(np.float32),
            np.log1p(self._rank(-words)) / 4 * mentioned,
            np.log1p(words) / np.log1p(_FAR),
            self._relative_rank(-words),
        )

    def _transition_columns(self, clicks: FloatArray) -> FloatArray:
        """The columns for one table of counts."""
        graph = self.graph
        sources, targets = graph.links()
        n_links = np.maximum(np.diff(graph.indptr), 1)
        from_page = np.bincount(sources, clicks, minlength=len(graph))
        to_target = np.bincount(targets, clicks, minlength=len(graph))
        expected = np.bincount(targets, (from_page / n_links)[sources], minlength=len(graph))
        lift = np.log((to_target + 1) / (expected + 1))
        by_lift = np.exp(lift)[targets]
        by_lift /= np.bincount(sources, by_lift, minlength=len(graph))[sources]
        share = (clicks + _SMOOTHING * by_lift) / (from_page[sources] + _SMOOTHING)
        columns = (
            np.log1p(clicks) / 3,
            np.log(share * n_links[sources]) / 3,
            1 / (1 + self._rank(share)),
            np.log1p(from_page[sources]) / 6,
            lift[targets] / 2,
            np.log1p(to_target[targets]) / 5,
            np.log(by_lift * n_links[sources]) / 3,
        )
        return np.column_stack(columns).astype(np.float32)

    def _rank(self, values: NDArray[np.number]) -> NDArray[np.int64]:
        """The rank of each link's value among the links of its page, 0 for the largest, `[links]`."""
        return ranks_in_rows(read_only(self.graph.indptr), values.astype(np.float64))

    def _relative_rank(self, values: NDArray[np.number]) -> NDArray[np.floating]:
        """The same from 0 to 1."""
        sources, _ = self.graph.links()
        relative: NDArray[np.floating] = self._rank(values) / np.maximum(np.diff(self.graph.indptr)[sources] - 1, 1)
        return relative


@keep_recent(8)  # a benchmark goes through two corpora, each as it is and with two kinds of traps
def walk_tables(graph: TopicGraph, embeddings: FloatArray, clicks: Path = FOLDER) -> WalkTables:
    """Return the tables of a graph; those of the last few graphs are kept.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        clicks: Folder of the clicks that features are made from.
    """
    return WalkTables(TopicRelations(graph, embeddings), (click_counts(graph, clicks),))
