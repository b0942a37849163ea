"""Link navigation as a Gymnasium environment: wander over pages, or find the way to a target.

The observation is the curriculum environment's, so one policy acts in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.envs.curriculum_env import load_env_corpus
from kgrl.envs.features.space import Observation, Slots, observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.envs.slot_env import SlotEnv, Step, check_keywords, check_view
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder

if TYPE_CHECKING:
    from kgrl.envs.rendering import WalkPainter

__all__ = ["RabbitHoleEnv", "make_rabbit_hole_env"]

FloatArray = NDArray[np.float32]


class RabbitHoleEnv(SlotEnv):
    """Follow links over a topic graph.

    Observations, actions, masks, empty slots, rendering and copies are those of every `SlotEnv`; features of learning
    are 0. Candidates are the links of the current page, in random order. If a page has more links than there are slots,
    a random choice of them is shown, the target among them.

    **Reward**: with a target, 1 for reaching it and else 0. Without one, 1 for a page not opened before and else 0.

    **Ending**: terminated on the target, and on a page without links; truncated after `max_steps` clicks.

    **Info**, besides that of every `SlotEnv`: `topic`, the current page, and `target`, -1 without one, int64. The
    title of the current page is `env.unwrapped.title`.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        target: Give each episode a target to reach, drawn uniformly from the topics that can be reached in `max_steps`
            clicks.
        max_steps: Clicks after which an episode is truncated.
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"` (the pages opened as a line of titles), `"rgb_array"` (a drawing of them) or
            None.

    Attributes:
        path: The pages opened in the episode, in order, the current one last.
        target: The topic to reach, -1 for none.

    Raises:
        SettingError: If no topic has a link, a number is below 1, or the render mode is unknown.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1, 2], [1, 2, 0])
        >>> env = RabbitHoleEnv(graph, np.eye(3, dtype=np.float32), slots=4)
        >>> observation, info = env.reset(seed=0, options={"start": 0})
        >>> observation, reward, terminated, truncated, info = env.step(info["action_mask"].argmax())
        >>> env.title, reward
        ('Set', 1.0)
    """

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
        self.path: list[int] = []
        self.target = -1
        self._tables = walk_tables(graph, embeddings)
        self._goals: GoalTables | None = None
        self._painter: WalkPainter | None = None
        self._starts = np.flatnonzero(np.diff(graph.indptr))
        if not len(self._starts):
            raise SettingError("link navigation needs a graph with links; this one has none")

    def __repr__(self) -> str:
        settings = f"target={self.has_target}, max_steps={self.max_steps}, slots={self.slots}"
        return f"{type(self).__name__}({self.graph!r}, {settings})"

    @property
    def title(self) -> str:
        """The title of the current page.

        Raises:
            ResetNeeded: If no episode has begun.
        """
        if not self.path:
            raise ResetNeeded("no page is open yet; call reset() first")
        return self.graph.titles[self.path[-1]]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Open a first page.

        Args:
            seed: Seeds starts, targets and slots of this and the following episodes.
            options: `start` and `target`, topic numbers, instead of drawn ones.

        Raises:
            SettingError: If the start has no links or is the target, or one of them is not a topic.
        """
        return super().reset(seed=seed, options=options)

    def _begin(self, options: dict[str, Any]) -> None:
        start, self.target = self._draw_ends(options)
        self.path = [start]
        goal = np.array([self.target], dtype=np.int32)
        self._goals = None if self.target < 0 else GoalTables.of(self._tables, [goal])
        self._painter = None

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
        return {"topic": np.int64(self.path[-1]), "target": np.int64(self.target)}

    def _text(self, *, colour: bool = True) -> str:
        walked = " > ".join(self.graph.titles[topic] for topic in self.path)
        return walked if self.target < 0 else f"{walked} (target: {self.graph.titles[self.target]})"

    def _image(self) -> NDArray[np.uint8]:
        from kgrl.envs.rendering import WalkPainter

        topics = self._current.topics
        self._painter = self._painter or WalkPainter()
        return self._painter.paint(self.graph, self.path, topics[topics >= 0], self.target, self.max_steps)

    def _unchanging(self) -> Iterable[object]:
        return self.graph, self._tables, self._goals, self._starts

    def _draw_ends(self, options: dict[str, Any]) -> tuple[int, int]:
        """Return the start and the target of an episode; -1 for no target."""
        start = int(options["start"]) if "start" in options else int(self.np_random.choice(self._starts))
        target = int(options["target"]) if "target" in options else -1
        for name, topic in (("start", start), ("target", max(target, 0))):
            if not 0 <= topic < len(self.graph):
                raise SettingError(f"the {name} {topic} is not a topic: there are {len(self.graph)}, counted from 0")
        if not len(self.graph.out(start)):
            raise SettingError(f"{self.graph.titles[start]!r} has no links to follow; choose another start")
        if start == target:
            raise SettingError(f"{self.graph.titles[start]!r} is both start and target; choose another start")
        return start, target if "target" in options else self._draw_target(start)

    def _draw_target(self, start: int) -> int:
        """Draw a topic that can be reached in time; -1 if episodes have no target."""
        if not self.has_target:
            return -1
        # Breadth first, one click a round: `edge` are the pages that are reached with the latest click.
        reached, edge = np.zeros(len(self.graph), dtype=bool), np.array([start])
        for _ in range(self.max_steps):
            reached[edge] = True
            edge = np.unique(np.concatenate([self.graph.out(topic) for topic in edge.tolist()] or [edge]))
            edge = edge[~reached[edge]]
        reached[edge] = True
        reached[start] = False
        return int(self.np_random.choice(np.flatnonzero(reached)))

    def _look(self) -> Observation:
        # As many links of the page as fit, in random order, the target among them.
        drawn = self.np_random.permutation(self.graph.out(self.path[-1]))
        ahead = np.argsort(drawn != self.target, kind="stable")[: self.slots]
        topics: IntArray = np.full(self.slots, -1, dtype=np.int32)
        topics[: len(ahead)] = self.np_random.permutation(drawn[ahead])
        links = np.full(self.slots, -1, dtype=np.int64)
        filled = topics >= 0
        links[filled] = self.graph.positions(np.full(filled.sum(), self.path[-1]), topics[filled])
        walk = Walks.forward(self.path, aimed=self._goals is not None)
        batch = observe_walks(self._tables, walk, topics[None], links[None], self._goals)
        return self._show(Slots({name: values[0] for name, values in batch.items()}, topics))


def make_rabbit_hole_env(
    corpus: str | Corpus = "vital",
    *,
    target: bool = False,
    max_steps: int = 20,
    slots: int = 64,
    render_mode: str | None = None,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    **unknown: Any,
) -> RabbitHoleEnv:
    """Make the environment that is registered as `kgrl/RabbitHole-v0`.

    Args:
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        target: Give each episode a target to reach.
        max_steps: Clicks after which an episode is truncated.
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"`, `"rgb_array"` or None.
        encoder: Embeds the passages: `"static"`, `"minilm"`, or another encoder, by its Hugging Face name or folder.
        unknown: Other keywords are refused.

    Raises:
        UnknownNameError: If there are other keywords; the message suggests the nearest.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/RabbitHole-v0", target=True)    # doctest: +SKIP
    """
    check_keywords(unknown, ["corpus", "target", "max_steps", "slots", "render_mode", "encoder"])
    check_view(slots, render_mode, RabbitHoleEnv.metadata["render_modes"])
    # The index brings FAISS, which link navigation over embeddings at hand does without.
    from kgrl.retrieval.corpus_index import embed_corpus

    corpus = load_env_corpus(corpus)
    embeddings = embed_corpus(corpus, as_encoder(encoder))[1]
    return RabbitHoleEnv(
        corpus.graph, embeddings, target=target, max_steps=max_steps, slots=slots, render_mode=render_mode
    )


# gym.make reads the metadata of the entry point, to wrap environments for modes such as "rgb_array_list".
make_rabbit_hole_env.metadata = RabbitHoleEnv.metadata  # type: ignore[attr-defined]
