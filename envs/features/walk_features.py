"""Features of candidates, given where the reader is and has been: a walk as the curiosity policy sees it.

The same kernels describe a click of a recorded trace, the state of `kgrl/RabbitHole-v0` and that of a curriculum,
whose path is the topics it learned last. Many walks are described at once; empty slots are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import project
from kgrl.envs.features.names import PATH_ROWS, PATH_WIDTH, TOPIC_GOAL_FEATURES, WALK_FEATURES
from kgrl.envs.features.walk_kernels import describe_walks
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph.topic_graph import IntArray
from kgrl.traces.trace import SEEN, STACK

__all__ = ["GoalTables", "Walks", "walk_features"]

FloatArray = NDArray[np.float32]


class GoalTables(NamedTuple):
    """Relations of topics to some goals, each `[goals, topics]`; a goal is one topic or a set of them.

    Args:
        vectors: The mean of the goal's embeddings, projected, float32 `[goals, PROJECTED]`.
        similarity: Cosine to the goal's mean embedding.
        to_goal: Whether a topic links to the goal.
        from_goal: Whether the goal links to it.
        common: Two-step paths to the goal along links of any direction.
        paths: Two-step paths to the goal along links.
        category: Share of the goal's topics with the topic's category.
        inside: Whether a topic belongs to the goal.
    """

    vectors: FloatArray
    similarity: NDArray[np.floating]
    to_goal: NDArray[np.bool_]
    from_goal: NDArray[np.bool_]
    common: NDArray[np.floating]
    paths: NDArray[np.floating]
    category: NDArray[np.floating]
    inside: NDArray[np.bool_]

    def features(self, goals: IntArray | int, topics: IntArray | slice) -> FloatArray:
        """Return the features of topics towards goals, in the order of `TOPIC_GOAL_FEATURES`.

        Args:
            goals: Rows of the tables.
            topics: Topics, in a shape that goals are broadcast to.

        Returns:
            Float32 `[..., 7]`.
        """
        at = goals, topics
        columns = (
            self.similarity[at],
            self.to_goal[at],
            self.from_goal[at],
            # In single precision at least: tables of every topic are kept in half.
            np.log1p(self.common[at], dtype=np.result_type(self.common, np.float32)) / 4,
            np.log1p(self.paths[at], dtype=np.result_type(self.paths, np.float32)) / 3,
            self.category[at],
            self.inside[at],
        )
        return np.stack(columns, axis=-1).astype(np.float32)

    @classmethod
    def of(cls, tables: WalkTables, goals: list[IntArray]) -> GoalTables:
        """Relate all topics to each of some goals, given as their topics."""
        return cls(*(np.stack(rows) for rows in zip(*(_relate(tables, goal) for goal in goals), strict=True)))

    @classmethod
    def of_each_topic(cls, tables: WalkTables) -> GoalTables:
        """Relate all topics to each of them, in half precision: 12 bytes for each pair of topics."""
        graph, embeddings = tables.graph, tables.relations.embeddings
        links = np.zeros((len(graph), len(graph)), dtype=np.float32)
        links[graph.links()] = 1.0
        joined = np.maximum(links, links.T)
        same = tables.categories[:, None] == tables.categories
        return cls(
            vectors=tables.projected,
            similarity=(embeddings @ embeddings.T).astype(np.float16),
            to_goal=links.T > 0,
            from_goal=links > 0,
            common=(joined @ joined).astype(np.float16),
            paths=(links @ links).T.astype(np.float16),
            category=same,
            inside=np.eye(len(graph), dtype=bool),
        )


class Walks(NamedTuple):
    """Readers, each on a page; the arrays are those of a `ClickTable`.

    Args:
        stack: Pages from the first to the current one, the last 10, right-aligned, -1 where there are fewer.
        seen: Pages in the order they were opened, the last 12, right-aligned.
        start: The first page.
        depth: Pages on the stack.
        goal: The row of each reader's goal in the goal tables, -1 for none.
        counts: The table of click counts that each reader's features are made from.
    """

    stack: IntArray
    seen: IntArray
    start: IntArray
    depth: IntArray
    goal: IntArray
    counts: IntArray

    @classmethod
    def forward(cls, path: Sequence[int] | IntArray, *, aimed: bool) -> Walks:
        """Return the walk of one reader who never went back, with the first goal of the goal tables or none.

        Args:
            path: The pages that were opened, the current one last.
            aimed: Whether there is a goal.

        Example:
            >>> Walks.forward([4, 7], aimed=False).stack[0].tolist()
            [-1, -1, -1, -1, -1, -1, -1, -1, 4, 7]
        """
        row = np.full(max(STACK, SEEN), -1, dtype=np.int32)
        kept = path[-len(row) :]
        row[len(row) - len(kept) :] = kept
        start, depth, goal, counts = np.array([[path[0]], [len(path)], [0 if aimed else -1], [0]], dtype=np.int32)
        return cls(row[None, -STACK:], row[None, -SEEN:], start, depth, goal, counts)


def walk_features(
    tables: WalkTables, walks: Walks, candidates: IntArray, links: NDArray[np.int64], goals: GoalTables | None = None
) -> tuple[FloatArray, FloatArray]:
    """Describe the candidates of walks, and their paths.

    Args:
        tables: The graph's tables.
        walks: The readers.
        candidates: The candidates of each, -1 where a slot is empty, `[walks, slots]`; no topic twice in a row.
        links: Position of the link from the page to each candidate, -1 where there is none, `[walks, slots]`.
        goals: The goals; needed where a reader has one.

    Returns:
        Features of candidates in the order of `kgrl.envs.features.names.WALK_FEATURES`, float32 `[walks, slots,
        features]`, zeros in empty slots; and the rows of `path`, float32 `[walks, PATH_ROWS, PATH_WIDTH]`, clipped.
    """
    features = np.zeros((*candidates.shape, len(WALK_FEATURES)), dtype=np.float32)
    path = np.empty((len(candidates), PATH_ROWS, PATH_WIDTH), dtype=np.float32)
    # One type for all callers, so that the kernels are compiled once.
    walks = Walks(*(np.ascontiguousarray(part, dtype=np.int32) for part in walks))
    slots = np.ascontiguousarray(candidates, dtype=np.int32)
    towards, of_page = _towards_goals(walks, slots, goals)
    for table in np.unique(walks.counts).tolist():
        rows = np.flatnonzero(walks.counts == table)
        describe_walks(tables.by_counts[table], rows, walks, slots, links, towards, of_page, features, path)
    return features, path


def _towards_goals(walks: Walks, candidates: IntArray, goals: GoalTables | None) -> tuple[FloatArray, FloatArray]:
    """Look up the relations of candidates and pages to their readers' goals, for `describe_walks`."""
    aimed = walks.goal >= 0
    if goals is None or not aimed.any():
        return np.empty((0, 0, len(TOPIC_GOAL_FEATURES)), dtype=np.float32), np.empty(0, dtype=np.float32)
    towards = np.zeros((*candidates.shape, len(TOPIC_GOAL_FEATURES)), dtype=np.float32)
    of_page = np.zeros(len(candidates), dtype=np.float32)
    goal = walks.goal[aimed]
    # Position -1 of an empty slot finds the last topic; nobody reads what is written there.
    towards[aimed] = goals.features(goal[:, None], candidates[aimed])
    of_page[aimed] = goals.similarity[goal, walks.stack[aimed, -1]]
    return towards, of_page


def _relate(tables: WalkTables, goal: IntArray) -> tuple[NDArray[np.generic], ...]:
    """The relations of all topics to one goal; see `GoalTables`."""
    graph, embeddings = tables.graph, tables.relations.embeddings
    inside = np.zeros(len(graph), dtype=np.float32)
    inside[goal] = 1.0
    mean = embeddings[goal].sum(axis=0)
    norm = np.linalg.norm(mean)
    to_goal = _reaching(tables, inside)
    shares = np.bincount(tables.categories[goal], minlength=tables.categories.max() + 1) / max(len(goal), 1)
    direction = mean / norm if norm > 0 else mean
    return (
        project(direction[None])[0],
        embeddings @ direction,
        to_goal > 0,
        np.bincount(graph.indices, inside[graph.links()[0]], minlength=len(graph)) > 0,
        graph.adjacency @ (graph.adjacency @ inside),
        _reaching(tables, to_goal),
        shares[tables.categories],
        inside > 0,
    )


def _reaching(tables: WalkTables, values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sums of `values` over the targets of each topic's links."""
    sources, targets = tables.graph.links()
    return np.bincount(sources, values[targets], minlength=len(tables.graph)).astype(np.float64)
