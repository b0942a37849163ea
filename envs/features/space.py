"""What a curiosity policy is shown: the same observation of a curriculum, of link navigation and of a recorded click.

An observation describes a set of candidates, the path that led to them, the goal and the state as a whole. Features are
scaled to about one and clipped, hold nothing of exam, and do not name topics, so that a policy that reads them runs on
any graph. Slot order has no meaning.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from kgrl.builtin import PROJECTED
from kgrl.envs.features.walk_features import WALK_FEATURES, GoalTables, Walks, walk_features
from kgrl.envs.features.walk_tables import LINK_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES, WalkTables
from kgrl.graph.topic_graph import IntArray

__all__ = [
    "CLIP",
    "FEATURES",
    "FEATURE_VERSION",
    "GLOBAL_FEATURES",
    "LEARNING_FEATURES",
    "PATH_ROWS",
    "PATH_WIDTH",
    "Observation",
    "Slots",
    "observation_space",
    "observe_walks",
]

FloatArray = NDArray[np.float32]
Observation = dict[str, NDArray[Any]]

FEATURE_VERSION = 4
"""Raised whenever a feature is added, removed, moved or changes its meaning; saved policies name what they read."""

LEARNING_FEATURES = (
    "log_learned_links",  # ln(1 + links with the learned set) / 5
    "closure",  # share of its links that lead to the learned set
    "aim_similarity",  # cosine to the mean embedding of the goal, or of the nucleus where there is no goal
    "learned_similarity",  # cosine to the mean embedding of the learned set
    "recent_similarity",  # cosine to the mean embedding of the last 8 topics learned
    "nearest_learned_similarity",  # largest cosine to a topic learned
    "loss",  # its probe loss minus the curriculum's latest, nats per token; 0 where not measured
    "progress",  # drop of its probe loss between the last two measurements, nats per token
    "measured",  # 1 where its probe loss is known
    "neighbour_loss",  # mean of `loss` over its measured neighbours; 0 where there are none
    "neighbour_progress",  # mean of `progress` over its measured neighbours
    "neighbours_measured",  # share of its neighbours that are measured
    "age",  # 1 for the topic that has been on the frontier longest, towards 0 for the latest
    "coherence",  # 5 x how much more alike to its linked topics it is than to topics at large
)
"""What a curriculum adds to the features of a walk; all are 0 where nothing is learned. Neighbours are looked at up to
128 a topic, evenly spaced in topic order."""

FEATURES = (*WALK_FEATURES, *LEARNING_FEATURES)
"""Columns of `candidates`."""

GLOBAL_FEATURES = (
    "has_goal",  # 1 where there is a goal
    "loss",  # latest held-out loss / 10 nats per token: mean, else target, else self probe, else training loss
    "loss_drop",  # first such loss minus the latest, nats per token
    "loss_trend",  # drop of that loss in the last expansion, in tenths of a nat per token
    "budget_left",  # share of the token budget that is left
    "learned_share",  # share of topics learned
    "log_learned",  # ln(1 + topics learned) / 10
    "log_frontier",  # ln(1 + candidates) / 10
)
"""Entries of `global`; a walk in which nothing is learned has only the first."""

CLIP = 5.0
"""Every entry of an observation lies in [-CLIP, CLIP]."""

PATH_ROWS = 13
"""Rows of `path`: the last 12 pages opened, in order, and the current one."""
PATH_WIDTH = 2 * PROJECTED + len(TOPIC_FEATURES) + len(LINK_FEATURES) + len(TRANSITION_FEATURES) + 1
"""Columns of `path`: the page's projected embedding; the mean of the links of the page opened before it (in the last
row: of its own links), projected; its topic features; the features of the link from the page opened before it, which
say what kind of links the reader picks; and 1 where it is on the stack. Zeros where there is no page."""


class Slots(NamedTuple):
    """An observation and what its slots stand for.

    Args:
        observation: As `observation_space` says.
        topics: The topic of each slot, int32 `[slots]`; -1 where the slot is empty.
    """

    observation: Observation
    topics: IntArray


def observation_space(slots: int) -> spaces.Dict:
    """Return the space of observations with this many candidate slots: a flat `Dict` of boxes.

    `candidates` are the features of the slots, `topics` their projected embeddings, `path` the way there, `goal` the
    projected embedding of the goal, `mask` 1 for filled slots, `global` the features of the state.
    """
    shapes = {
        "candidates": (slots, len(FEATURES)),
        "topics": (slots, PROJECTED),
        "path": (PATH_ROWS, PATH_WIDTH),
        "goal": (PROJECTED,),
        "global": (len(GLOBAL_FEATURES),),
    }
    boxes: dict[str, spaces.Space[NDArray[np.generic]]] = {
        name: spaces.Box(-CLIP, CLIP, shape, np.float32) for name, shape in shapes.items()
    }
    return spaces.Dict({**boxes, "mask": spaces.Box(0, 1, (slots,), np.int8)})


def observe_walks(
    tables: WalkTables,
    walks: Walks,
    candidates: IntArray,
    links: NDArray[np.int64],
    goals: GoalTables | None = None,
) -> Observation:
    """Observe many walks at once, in which nothing is learned.

    Args:
        tables: The graph's tables.
        walks: The readers.
        candidates: The candidates of each, -1 where a slot is empty, `[walks, slots]`.
        links: Position of the link from the page to each candidate, -1 where there is none, `[walks, slots]`.
        goals: The goals; needed where a reader has one.

    Returns:
        Observations with a first axis of walks.
    """
    filled = candidates >= 0
    learning = np.zeros((*candidates.shape, len(LEARNING_FEATURES)), dtype=np.float32)
    features = walk_features(tables, walks, candidates, links, goals)
    topics = tables.projected[candidates]
    topics[~filled] = 0.0
    state = np.zeros((len(candidates), len(GLOBAL_FEATURES)), dtype=np.float32)
    state[:, 0] = walks.goal >= 0
    goal = np.zeros((len(candidates), PROJECTED), dtype=np.float32)
    if goals is not None:
        goal[walks.goal >= 0] = goals.vectors[walks.goal[walks.goal >= 0]]
    floats = {
        "candidates": np.concatenate([features, learning], axis=-1),
        "topics": topics,
        "path": _path(tables, walks),
        "goal": goal,
        "global": state,
    }
    clipped = {name: np.clip(values, -CLIP, CLIP, out=values) for name, values in floats.items()}
    return {**clipped, "mask": filled.astype(np.int8)}


def _path(tables: WalkTables, walks: Walks) -> FloatArray:
    """The pages opened and the current one, `[walks, PATH_ROWS, PATH_WIDTH]`."""
    pages = np.concatenate([walks.seen, walks.stack[:, -1:]], axis=1)
    offered_on = np.concatenate([np.full_like(pages[:, :1], -1), walks.seen[:, :-1], pages[:, -1:]], axis=1)
    rows = np.zeros((*pages.shape, PATH_WIDTH), dtype=np.float32)
    rows[..., :PROJECTED] = tables.projected[pages]
    rows[..., PROJECTED : 2 * PROJECTED] = tables.outlook[offered_on] * (offered_on >= 0)[..., None]
    links = _links_between(tables, offered_on, pages)
    known = (tables.topics[pages], tables.links[links], tables.transitions[walks.counts[:, None], links])
    rows[..., 2 * PROJECTED : -1] = np.concatenate(known, axis=-1)
    rows[..., -1] = (pages[:, :, None] == walks.stack[:, None, :]).any(-1)
    rows[pages < 0] = 0.0
    return rows


def _links_between(tables: WalkTables, sources: IntArray, targets: IntArray) -> NDArray[np.int64]:
    """Positions of the links between pairs of pages, -1 where a page is missing or there is no link."""
    links = np.full(sources.shape, -1, dtype=np.int64)
    both = (sources >= 0) & (targets >= 0)
    links[both] = tables.graph.positions(sources[both], targets[both])
    return links
