"""Link navigation as a Gymnasium environment: fall down a rabbit hole, or find the way to a target.

The observation is the curriculum environment's, so one policy acts in both.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.envs.features.space import Observation, Slots, observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.envs.slot_env import SlotEnv, Step
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["RabbitHoleEnv", "make_rabbit_hole_env"]

FloatArray = NDArray[np.float32]


class RabbitHoleEnv(SlotEnv):
    """Follow links over a topic graph.

    Observations, actions, masks and empty slots are those of every `SlotEnv`; what concerns learning is 0. Candidates
    are the links of the current page, in random order; of a page with more links than slots, a random choice of them,
    with the target among them.

    **Reward**: with a target, 1 for reaching it and else 0. Without one, 1 for a page not opened before and else 0.

    **Ending**: terminated on the target, and on a page without links; truncated after `max_steps` clicks.

    **Info**: `topic` and `title` of the page, `target` (-1 without one), `slot_topics` (int32, -1 where empty),
    `action_mask`, `invalid_action`.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        target: Whether each episode has a target to reach, drawn uniformly from the topics that can be reached in
            `max_steps` clicks.
        max_steps: Clicks after which an episode is truncated.
        slots: Number of candidate slots.
        render_mode: `"ansi"` (the stack as a line of titles) or None.

    Raises:
        SettingError: If no topic has a link, or a number makes no sense.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1, 2], [1, 2, 0])
        >>> env = RabbitHoleEnv(graph, np.eye(3, dtype=np.float32), slots=4)
        >>> observation, info = env.reset(seed=0, options={"start": 0})
        >>> env.step(int(info["action_mask"].argmax()))[4]["title"]
        'Set'
    """

    # Gymnasium reads the metadata from the class.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        graph: TopicGraph,
        embeddings: FloatArray,
        *,
        target: bool = False,
        max_steps: int = 20,
        slots: int = 64,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(slots, render_mode)
        if max_steps < 1:
            raise SettingError(f"max_steps must be at least 1, not {max_steps}")
        self.graph, self.max_steps, self.has_target = graph, max_steps, target
        self._tables = walk_tables(graph, embeddings)
        self._starts = np.flatnonzero(np.diff(graph.indptr))
        if not len(self._starts):
            raise SettingError("link navigation needs a graph with links; this one has none")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Open a first page.

        Args:
            seed: Seeds starts, targets and slots of this and the following episodes.
            options: `start` and `target`, topic numbers, in place of those that would be drawn.

        Raises:
            SettingError: If the start has no links, is the target, or either is no topic.
        """
        super().reset(seed=seed)
        start, self.target = self._draw_ends(options or {})
        self.path = [start]
        goal = np.array([self.target], dtype=np.int32)
        self._goals = None if self.target < 0 else GoalTables.of(self._tables, [goal])
        self._invalid = 0
        return self._look(), self._info()

    def render(self) -> str | None:
        """Return the pages opened so far as text."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: gym.make(..., render_mode='ansi')")
            return None
        walked = " > ".join(self.graph.titles[topic] for topic in self.path)
        return walked if self.target < 0 else f"{walked} (target: {self.graph.titles[self.target]})"

    @property
    def _ended(self) -> bool:
        return len(self.path) > self.max_steps or self.path[-1] == self.target

    def _take(self, topic: int) -> Step:
        """Open a page."""
        new = topic not in self.path
        self.path.append(topic)
        reached = topic == self.target
        observation = self._look()
        terminated = bool(reached or not observation["mask"].any())
        reward = float(reached if self.target >= 0 else new)
        return observation, reward, terminated, self._ended and not terminated, self._info()

    def _facts(self, valid: bool) -> dict[str, Any]:
        return {"topic": self.path[-1], "title": self.graph.titles[self.path[-1]], "target": self.target}

    def _draw_ends(self, options: dict[str, Any]) -> tuple[int, int]:
        """The start and the target of an episode; -1 for no target."""
        start = int(options["start"]) if "start" in options else int(self.np_random.choice(self._starts))
        target = int(options["target"]) if "target" in options else -1
        for name, topic in (("start", start), ("target", max(target, 0))):
            if not 0 <= topic < len(self.graph):
                raise SettingError(f"the {name} {topic} is no topic: there are {len(self.graph)}, counted from 0")
        if not len(self.graph.out(start)):
            raise SettingError(f"{self.graph.titles[start]!r} has no links to follow; choose another start")
        if start == target:
            raise SettingError(f"{self.graph.titles[start]!r} is both start and target; choose another start")
        return start, target if "target" in options else self._draw_target(start)

    def _draw_target(self, start: int) -> int:
        """A topic that can be reached in time, or -1 where there is none to reach."""
        if not self.has_target:
            return -1
        reached, edge = np.zeros(len(self.graph), dtype=bool), np.array([start])
        for _ in range(self.max_steps):
            reached[edge] = True
            edge = np.unique(np.concatenate([self.graph.out(topic) for topic in edge.tolist()] or [edge]))
            edge = edge[~reached[edge]]
        reached[edge] = True
        reached[start] = False
        return int(self.np_random.choice(np.flatnonzero(reached)))

    def _look(self) -> Observation:
        topics = self._draw_slots()
        links = np.full(self.slots, -1, dtype=np.int64)
        filled = topics >= 0
        links[filled] = self.graph.positions(np.full(filled.sum(), self.path[-1]), topics[filled])
        walk = Walks.forward(self.path, aimed=self._goals is not None)
        batch = observe_walks(self._tables, walk, topics[None], links[None], self._goals)
        return self._show(Slots({name: values[0] for name, values in batch.items()}, topics))

    def _draw_slots(self) -> IntArray:
        """The links of the page in random order, as many as fit, the target among them."""
        drawn = self.np_random.permutation(self.graph.out(self.path[-1]))
        ahead = np.argsort(drawn != self.target, kind="stable")[: self.slots]
        topics = np.full(self.slots, -1, dtype=np.int32)
        topics[: len(ahead)] = self.np_random.permutation(drawn[ahead])
        return topics


def make_rabbit_hole_env(corpus: str | Corpus = "vital", **options: Any) -> RabbitHoleEnv:
    """Make the environment that is registered as `kgrl/RabbitHole-v0`.

    Args:
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        options: Passed on to `RabbitHoleEnv`: `target`, `max_steps`, `slots`, `render_mode`.
    """
    from kgrl.retrieval.corpus_index import embed_corpus
    from kgrl.retrieval.encoder import Encoder

    if isinstance(corpus, str):
        from kgrl.data.load import load_corpus

        corpus = load_corpus(corpus)
    return RabbitHoleEnv(corpus.graph, embed_corpus(corpus, Encoder())[1], **options)
