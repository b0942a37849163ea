"""Features of candidates, given where the reader is and has been: what the curiosity policy sees of a walk.

The same function describes a click of a recorded trace, the state of `kgrl/RabbitHole-v0` and that of a curriculum,
whose path is the topics it learned last. Many walks are described at once; empty slots are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import project
from kgrl.envs.features.walk_tables import LINK_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES, WalkTables
from kgrl.graph.relations import TopicRelations
from kgrl.graph.topic_graph import IntArray
from kgrl.traces.trace import SEEN, STACK

__all__ = ["GOAL_FEATURES", "PATH_FEATURES", "WALK_FEATURES", "GoalTables", "Walks", "walk_features"]

FloatArray = NDArray[np.float32]

PATH_FEATURES = (
    "log_clicks_after",  # ln(1 + clicks on it after the same previous page) / 2
    "click_share_after",  # those clicks / (3 + all clicks on the page after that previous page)
    "log_page_clicks_after",  # ln(1 + all clicks on the page after that previous page) / 3
    "previous_similarity",  # cosine to the previous page
    "nearest_similarity",  # largest cosine to a page below the current one on the stack, -.2 at least
    "approach",  # cosine to the page minus cosine to the previous page
    "start_similarity",  # cosine to the first page
    "departure",  # cosine to the page minus cosine to the first page
    "joined_previous",  # 1 where it is linked with the previous page in either direction
    "joined_stack",  # number of pages below on the stack that it is linked with / 3
    "on_stack",  # 1 where it is on the stack
    "left",  # 1 where it was opened and left by a back click
    "left_similarity",  # largest cosine to a page that was left by a back click, 0 at least
    "joined_left",  # number of pages left that it is linked with / 3
    "passed_over",  # number of earlier pages that link to it / 3
    "log_pages_left",  # ln(1 + pages that were left by back clicks) / 2
    "log_depth",  # ln(1 + pages on the stack) / 2
    "start_category",  # 1 where it has the category of the first page
    "page_outlook",  # mean cosine to the page's targets
    "previous_outlook",  # mean cosine to the previous page's targets
    "intent",  # sum over the clicks on the stack of its cosine to what was clicked minus that to the page's mean target
    "last_intent",  # the same for the last click alone
)
"""How a candidate relates to the path."""

GOAL_FEATURES = (
    "goal_similarity",  # cosine to the goal
    "goal_approach",  # that minus the page's
    "goal_gap",  # that minus the largest among the candidates
    "links_to_goal",  # 1 where it links to the goal
    "goal_links_back",  # 1 where the goal links to it
    "log_goal_common",  # ln(1 + two-step paths between it and the goal, in any direction) / 4
    "log_goal_paths",  # ln(1 + two-step paths from it to the goal) / 3
    "goal_category",  # share of the goal's topics that have its category
    "is_goal",  # 1 where it belongs to the goal
)
"""How a candidate relates to the goal; all are 0 where there is none."""

WALK_FEATURES = ("linked", *TOPIC_FEATURES, *LINK_FEATURES, *TRANSITION_FEATURES, *PATH_FEATURES, *GOAL_FEATURES)
"""The columns of a walk's candidates; `linked` is 1 where the page links to the candidate."""


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
) -> FloatArray:
    """Describe the candidates of walks.

    Args:
        tables: The graph's tables.
        walks: The readers.
        candidates: The candidates of each, -1 where a slot is empty, `[walks, slots]`.
        links: Position of the link from the page to each candidate, -1 where there is none, `[walks, slots]`.
        goals: The goals; needed where a reader has one.

    Returns:
        Features in the order of `WALK_FEATURES`, float32 `[walks, slots, features]`.
    """
    filled = candidates >= 0
    topics = np.where(filled, candidates, 0)
    parts = (
        (links >= 0)[..., None],
        tables.topics[topics],
        tables.links[links],
        tables.transitions[walks.counts[:, None], links],
        _path_features(tables, walks, topics, links),
        _goal_features(walks, topics, filled, goals),
    )
    features: FloatArray = np.concatenate(parts, axis=-1, dtype=np.float32)
    features[~filled] = 0.0
    return features


def _path_features(tables: WalkTables, walks: Walks, topics: IntArray, links: NDArray[np.int64]) -> FloatArray:
    relations = tables.relations
    page, previous = walks.stack[:, -1:], walks.stack[:, -2:-1]
    has_previous = previous >= 0
    clicks, page_clicks = _clicks_after(tables, walks, links)
    to_page, to_start = relations.cosine(page, topics), relations.cosine(walks.start[:, None], topics)
    to_previous = relations.cosine(previous, topics) * has_previous
    below, on_stack = walks.stack[:, :-1], (walks.stack[:, None, :] == topics[..., None]).any(-1)
    left = _left(walks)
    earlier = np.where(walks.seen != page, walks.seen, -1)
    columns = (
        np.log1p(clicks) / 2,
        clicks / (3 + page_clicks),
        np.log1p(page_clicks) / 3,
        to_previous,
        np.maximum(_largest_cosine(relations, below, topics, -1.0), -0.2),
        to_page - to_previous,
        to_start,
        to_page - to_start,
        _joined(relations, previous, topics).sum(-1),
        _joined(relations, below, topics).sum(-1) / 3,
        on_stack,
        (left[:, None, :] == topics[..., None]).any(-1),
        _largest_cosine(relations, left, topics, 0.0),
        _joined(relations, left, topics).sum(-1) / 3,
        _linked_from(relations, earlier, topics).sum(-1) / 3,
        np.log1p((left >= 0).sum(-1, keepdims=True)) / 2,
        np.log1p(walks.depth)[:, None] / 2,
        tables.categories[topics] == tables.categories[walks.start][:, None],
        relations.outlook(page, topics),
        relations.outlook(previous, topics) * has_previous,
        *_intents(relations, walks.stack, topics),
    )
    return np.stack([np.broadcast_to(column, topics.shape) for column in columns], axis=-1).astype(np.float32)


def _clicks_after(tables: WalkTables, walks: Walks, links: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Clicks on candidates, and on any link of the page, after the same previous page."""
    clicks, page_clicks = np.zeros(links.shape, dtype=np.float32), np.zeros((len(links), 1), dtype=np.float32)
    for table in np.unique(walks.counts).tolist():
        rows = walks.counts == table
        previous, page = walks.stack[rows, -2:-1], walks.stack[rows, -1:]
        clicks[rows], page_clicks[rows] = tables.counts[table].after_page(previous, page, links[rows])
    return clicks, page_clicks


def _goal_features(walks: Walks, topics: IntArray, filled: NDArray[np.bool_], goals: GoalTables | None) -> FloatArray:
    features = np.zeros((*topics.shape, len(GOAL_FEATURES)), dtype=np.float32)
    aimed = walks.goal >= 0
    if goals is None or not aimed.any():
        return features
    goal, topics, page = walks.goal[aimed, None], topics[aimed], walks.stack[aimed, -1:]
    similarity = goals.similarity[goal, topics].astype(np.float32)
    best = np.where(filled[aimed], similarity, -1.0).max(axis=1, keepdims=True)
    columns = (
        similarity,
        similarity - goals.similarity[goal, page],
        similarity - best,
        goals.to_goal[goal, topics],
        goals.from_goal[goal, topics],
        np.log1p(goals.common[goal, topics].astype(np.float32)) / 4,
        np.log1p(goals.paths[goal, topics].astype(np.float32)) / 3,
        goals.category[goal, topics],
        goals.inside[goal, topics],
    )
    features[aimed] = np.stack(columns, axis=-1)
    return features


def _intents(relations: TopicRelations, stack: IntArray, topics: IntArray) -> tuple[FloatArray, FloatArray]:
    """How much more candidates resemble what was clicked than what was on offer, for all clicks and for the last.

    With choices proportional to exp(cosine to a goal) this is, for a goal that is close to the candidate, the first
    term of the log-likelihood of the path.
    """
    clicked = (stack[:, 1:] >= 0) & (stack[:, :-1] >= 0)
    pages, targets = (np.where(clicked, part, 0)[:, None, :] for part in (stack[:, :-1], stack[:, 1:]))
    gains = relations.cosine(targets, topics[..., None]) - relations.outlook(pages, topics[..., None])
    gains *= clicked[:, None, :]
    return gains.sum(axis=-1), gains[..., -1]


def _left(walks: Walks) -> IntArray:
    """The pages that were opened and left by a back click, -1 elsewhere, in the shape of `seen`."""
    stays = (walks.seen[:, :, None] == walks.stack[:, None, :]).any(-1)
    # What was opened before the lowest page we know of a deeper stack may be on that stack still.
    lowest = walks.seen == walks.stack[:, :1]
    before = np.logical_or.accumulate(lowest[:, ::-1], axis=1)[:, ::-1]
    return np.where(stays | (before & (walks.depth > STACK)[:, None]), -1, walks.seen)


def _largest_cosine(relations: TopicRelations, pages: IntArray, topics: IntArray, least: float) -> FloatArray:
    """The largest cosine of each candidate to one of its reader's pages; `least` where there are none."""
    cosines = relations.cosine(pages[:, None, :], topics[..., None])
    largest: FloatArray = np.where(pages[:, None, :] >= 0, cosines, np.float32(least)).max(axis=-1)
    return largest


def _linked_from(relations: TopicRelations, pages: IntArray, topics: IntArray) -> NDArray[np.bool_]:
    """Whether pages link to candidates, `[walks, slots, pages]`."""
    known = pages[:, None, :] >= 0
    return relations.linked(np.where(known, pages[:, None, :], 0), topics[..., None]) & known


def _joined(relations: TopicRelations, pages: IntArray, topics: IntArray) -> NDArray[np.bool_]:
    """Whether pages and candidates are linked in either direction, `[walks, slots, pages]`."""
    known = pages[:, None, :] >= 0
    others = np.where(known, pages[:, None, :], 0)
    back = relations.linked(topics[..., None], others)
    return (relations.linked(others, topics[..., None]) | back) & known


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
