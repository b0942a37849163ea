"""Observations of curiosity policies: the same for a curriculum, link navigation and a recorded click.

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
from kgrl.envs.features.names import (
    CLIP,
    FEATURES,
    GLOBAL,
    GLOBAL_FEATURES,
    PATH_ROWS,
    PATH_WIDTH,
    WALK_FEATURES,
)
from kgrl.envs.features.walk_features import GoalTables, Walks, walk_features
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph.topic_graph import IntArray
from kgrl.system.memory import check_fits

__all__ = ["Observation", "Slots", "observation_layout", "observation_space", "observe_walks"]

_COPIES = 4
"""Arrays of an observation's size that an environment has at least: the bounds of its space, and two observations."""

FloatArray = NDArray[np.float32]
Observation = dict[str, NDArray[Any]]


class Slots(NamedTuple):
    """An observation and what its slots stand for.

    Args:
        observation: As `observation_space` says.
        topics: The topic of each slot, int32 `[slots]`; -1 where the slot is empty.
    """

    observation: Observation
    topics: IntArray


def observation_layout(slots: int) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Return the shape and the type of each part of an observation with this many candidate slots."""
    shapes = {
        "candidates": (slots, len(FEATURES)),
        "topics": (slots, PROJECTED),
        "path": (PATH_ROWS, PATH_WIDTH),
        "goal": (PROJECTED,),
        "global": (len(GLOBAL_FEATURES),),
    }
    return {**{name: (shape, np.float32) for name, shape in shapes.items()}, "mask": ((slots,), np.int8)}


def observation_space(slots: int) -> spaces.Dict:
    """Return the space of observations with this many candidate slots: a flat `Dict` of boxes.

    `candidates` are the features of the slots, `topics` their projected embeddings, `path` the way there, `goal` the
    projected embedding of the goal, `mask` 1 for filled slots, `global` the features of the state.

    Raises:
        SettingError: If so many slots would not fit in memory.
    """
    width = (len(FEATURES) + PROJECTED) * np.dtype(np.float32).itemsize
    check_fits(slots, _COPIES * width, "candidate slots")
    boxes: dict[str, spaces.Space[NDArray[np.generic]]] = {}
    for name, (shape, dtype) in observation_layout(slots).items():
        low, high = (0, 1) if name == "mask" else (-CLIP, CLIP)
        boxes[name] = spaces.Box(low, high, shape, dtype)  # type: ignore[arg-type]
    return spaces.Dict(boxes)


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
    features = np.zeros((*candidates.shape, len(FEATURES)), dtype=np.float32)
    features[..., : len(WALK_FEATURES)], path = walk_features(tables, walks, candidates, links, goals)
    topics = tables.projected[candidates]
    topics[~filled] = 0.0
    state = np.zeros((len(candidates), len(GLOBAL_FEATURES)), dtype=np.float32)
    state[:, GLOBAL.has_goal] = walks.goal >= 0
    goal = np.zeros((len(candidates), PROJECTED), dtype=np.float32)
    if goals is not None:
        goal[walks.goal >= 0] = goals.vectors[walks.goal[walks.goal >= 0]]
    floats = {"candidates": features, "topics": topics, "path": path, "goal": goal, "global": state}
    clipped = {name: np.clip(values, -CLIP, CLIP, out=values) for name, values in floats.items()}
    return {**clipped, "mask": filled.astype(np.int8)}
