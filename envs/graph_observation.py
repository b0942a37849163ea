"""A curriculum observed as a graph, for graph networks: solid topics, the frontier, and their links.

Actions keep their meaning: node k is the topic in slot k.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import GraphInstance
from numpy.typing import NDArray

from kgrl.builtin import PROJECTED
from kgrl.curriculum.view import View
from kgrl.envs.curriculum_env import CurriculumEnv
from kgrl.envs.features.names import CLIP, TOPIC_FEATURES
from kgrl.envs.features.space import Observation
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray

__all__ = ["EDGE_FEATURES", "NODE_FEATURES", "GraphObservation"]

FloatArray = NDArray[np.float32]

NODE_FEATURES = (
    "solid",  # 1 where it is solid: read, or known, whichever the criterion of mastery is
    "frontier",  # 1 where it is on the frontier
    "candidate",  # 1 where it is in a slot and can be picked
    "goal",  # 1 where it belongs to the goal
    "recency",  # 1 for the topic solid last, decreasing towards 0 for the first; 0 where not solid
    "read",  # 1 where it was read
    "gap",  # how well it is known, in nats per token; 0 where not estimated
    "log_solid_links",  # ln(1 + links with solid topics) / 5
    "closure",  # share of its links that lead to solid topics
    "aim_similarity",  # cosine to the mean embedding of the goal, or of the nucleus where there is no goal
    "loss",  # its probe loss / 10 nats per token; 0 where not measured
    "progress",  # drop of its probe loss between the last two measurements, nats per token
    "measured",  # 1 where its probe loss is known
    *TOPIC_FEATURES,
    *(f"projected_{axis}" for axis in range(PROJECTED)),  # its embedding in few dimensions
)
"""Columns of `nodes`."""

EDGE_FEATURES = (
    "links",  # 1 where the first node links to the second
    "linked",  # 1 where the second links to the first
    "similarity",  # cosine of the two topics' embeddings
)
"""Columns of `edges`."""

_OWN_FEATURES = len(NODE_FEATURES) - PROJECTED - len(TOPIC_FEATURES)
"""Columns of `nodes` before those that the walk tables have."""


class GraphObservation(gym.Wrapper[GraphInstance, np.int64, Observation, np.int64], gym.utils.RecordConstructorArgs):
    """Observe the solid topics and the frontier of a curriculum as a `gymnasium.spaces.Graph`.

    **Nodes**, float32 `[nodes, features]`, columns as `NODE_FEATURES`: first the candidates in slot order, so that
    action k picks node k; then the topics solid last, the latest first; then frontier topics without a slot, evenly
    spaced in order of discovery. At most `slots + solid + frontier`, and at least one.

    **Edges**, float32 `[edges, features]`, columns as `EDGE_FEATURES`: every pair of shown topics that are linked in
    either direction, once from each end, since messages pass both ways. Of n nodes at most n (n - 1).

    **Info**: that of the environment, and `node_topics`, the topic of each node, int32 `[slots + solid + frontier]`,
    -1 behind the last node.

    Stable-Baselines3 does not take such spaces; see `examples/graph_network.py` for a network in plain torch.

    Args:
        env: A `CurriculumEnv`, wrapped or not.
        solid: Most solid topics to show.
        frontier: Most frontier topics without a slot to show.

    Raises:
        SettingError: If the environment is not a curriculum.

    Example:
        >>> env = GraphObservation(gym.make("kgrl:kgrl/Curriculum-v0"))                      # doctest: +SKIP
        >>> graph, info = env.reset(seed=0)                                                  # doctest: +SKIP
        >>> graph.nodes.shape, graph.edges.shape, graph.edge_links.shape                     # doctest: +SKIP
        ((136, 81), (1042, 3), (1042, 2))
    """

    def __init__(self, env: gym.Env[Observation, np.int64], *, solid: int = 128, frontier: int = 64) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, solid=solid, frontier=frontier)
        super().__init__(env)  # type: ignore[arg-type]  # Gymnasium annotates it as what is shown
        if not isinstance(env.unwrapped, CurriculumEnv):
            raise SettingError(f"only a curriculum can be shown as a graph, not {type(env.unwrapped).__name__}")
        if solid < 1 or frontier < 0:
            raise SettingError(f"solid must be at least 1 and frontier at least 0, not {solid} and {frontier}")
        self.solid, self.frontier = solid, frontier
        self.curriculum = env.unwrapped.curriculum
        self.slots = env.unwrapped.slots
        self.observation_space = spaces.Graph(
            spaces.Box(-CLIP, CLIP, (len(NODE_FEATURES),), np.float32),
            spaces.Box(-CLIP, CLIP, (len(EDGE_FEATURES),), np.float32),
        )
        tables = walk_tables(self.curriculum.corpus.graph, self.curriculum.state.embeddings)
        self._about, self._projected = tables.topics, tables.projected
        self._node = np.full(len(self.curriculum.corpus.graph), -1, dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[GraphInstance, dict[str, Any]]:
        """Go back to the nucleus; see `CurriculumEnv.reset`."""
        _, info = self.env.reset(seed=seed, options=options)
        view = self.curriculum.view
        aim = view.embeddings[view.nucleus if view.goal is None else view.goal].sum(axis=0)
        self._aim: FloatArray = aim / max(float(np.linalg.norm(aim)), 1e-12)
        return self._look(info), info

    def step(self, action: np.int64) -> tuple[GraphInstance, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take the candidate that is node `action`; see `CurriculumEnv.step`."""
        _, reward, terminated, truncated, info = self.env.step(action)
        return self._look(info), reward, terminated, truncated, info

    def _look(self, info: dict[str, Any]) -> GraphInstance:
        slots = info["slot_topics"]
        view, candidates = self.curriculum.view, slots[slots >= 0]
        waiting = view.frontier.topics
        waiting = waiting[~np.isin(waiting, candidates)]
        if len(waiting) > self.frontier:
            waiting = waiting[np.linspace(0, len(waiting), self.frontier, endpoint=False).astype(np.int64)]
        solid = view.frontier.solid[: -self.solid - 1 : -1]  # the latest first
        topics = np.concatenate([candidates, solid, waiting])
        # Of one length, whatever the number of nodes: vectors of environments stack infos.
        info["node_topics"] = np.full(self.slots + self.solid + self.frontier, -1, dtype=np.int32)
        info["node_topics"][: len(topics)] = topics
        links = self._links(view, topics)
        return GraphInstance(self._nodes(view, topics, len(candidates)), _edges(view, topics[links]), links)

    def _nodes(self, view: View, topics: IntArray, candidates: int) -> FloatArray:
        """Return the features of topics, `[topics, len(NODE_FEATURES)]`; the first ones are the candidates."""
        solid, level = view.frontier.is_solid[topics], view.profile.level[topics]
        order = np.zeros(len(topics))
        # Solid topics are shown from the latest backwards.
        order[solid] = 1.0 - np.arange(solid.sum()) / len(view.frontier.solid)
        links = view.frontier.links_to_solid[topics]
        columns = (
            solid,
            ~solid,
            np.arange(len(topics)) < candidates,
            np.zeros(len(topics)) if view.goal is None else np.isin(topics, view.goal),
            order,
            view.knowledge.exposures[topics] > 0,
            np.nan_to_num(view.knowledge.gap[topics]),
            np.log1p(links) / 5,
            links / np.maximum(view.graph.degree[topics], 1),
            view.embeddings[topics] @ self._aim,
            np.nan_to_num(level) / 10,
            view.profile.progress_of(topics),
            ~np.isnan(level),
        )
        known = np.column_stack(columns).astype(np.float32)
        assert known.shape[1] == _OWN_FEATURES
        return np.concatenate([known, self._about[topics], self._projected[topics]], axis=1).clip(-CLIP, CLIP)

    def _links(self, view: View, topics: IntArray) -> NDArray[np.int64]:
        """Return pairs of nodes that are linked in either direction, each from both ends, int64 `[edges, 2]`."""
        rows = [view.graph.neighbours(topic) for topic in topics.tolist()]
        # A table of all topics, kept between steps and cleared after use: filling a new one costs as much as the graph.
        self._node[topics] = np.arange(len(topics))
        first = np.repeat(np.arange(len(topics)), [len(row) for row in rows])
        second = self._node[np.concatenate(rows)]
        self._node[topics] = -1
        return np.column_stack([first, second])[second >= 0]


def _edges(view: View, ends: IntArray) -> FloatArray:
    """Return the features of pairs of topics, `[pairs, features]`."""
    first, second = ends[:, 0], ends[:, 1]
    links = view.graph.positions(first, second) >= 0
    linked = view.graph.positions(second, first) >= 0
    similarity = np.einsum("ed,ed->e", view.embeddings[first], view.embeddings[second])
    return np.column_stack([links, linked, similarity]).astype(np.float32)
