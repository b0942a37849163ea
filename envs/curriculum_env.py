"""A curriculum as a Gymnasium environment: an action picks a candidate slot, the reward is what it was worth.

The environment is a thin shell around `Curriculum`; what is observed is made in `kgrl.envs.features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.envs.features import FeatureState, Observation, Slots, observation_space, observe
from kgrl.errors import KgrlError
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner

if TYPE_CHECKING:
    from kgrl.envs.rendering import GraphPainter

__all__ = ["CurriculumEnv", "make_curriculum_env"]

_MOST_INVALID = 1_000


class CurriculumEnv(gym.Env[Observation, np.int64]):
    """Grow a learner's knowledge by choosing frontier topics.

    **Observation**: `candidates`, `mask` and `global`; see `kgrl.envs.features`.

    **Action**: a candidate slot. Slots have no lasting meaning: they are drawn and shuffled anew at every step. Which
    slots are filled is told by `action_masks()` (bool), by `info["action_mask"]` (int8) and by the observation.

    **An empty slot** teaches nothing, costs nothing and gives reward 0; the observation stays as it is and
    `info["invalid_action"]` is True. Environment checkers and agents without masks need that. After 1,000 empty slots
    without a valid one between them `InvalidAction` is raised, since such an agent would never end its episode.

    **Reward**: the curriculum's reward of the expansion.

    **Ending**: terminated when no candidate is left to learn; truncated when the token budget is used up. An episode
    starts from the learner's initial weights and the same nucleus.

    **Info**: `expansion` (the record, None after an empty slot), `topic` and `title` of the pick, `slot_topics` (int32,
    -1 where empty), `action_mask`, `invalid_action`.

    Args:
        curriculum: What is grown; it needs a reward.
        slots: Number of candidate slots.
        render_mode: `"ansi"` (text), `"rgb_array"` (a drawing of the graph) or None.

    Raises:
        ValueError: If the curriculum has no reward, there is no slot, or the render mode is not known.
    """

    # Gymnasium reads the metadata from the class.
    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(self, curriculum: Curriculum, *, slots: int = 64, render_mode: str | None = None) -> None:
        if curriculum.reward is None:
            raise ValueError("an environment needs a curriculum with a reward")
        if slots < 1:
            raise ValueError(f"slots must be at least 1, not {slots}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'ansi', 'rgb_array' or None, not {render_mode!r}")
        self.curriculum = curriculum
        self.slots = slots
        self.render_mode = render_mode
        self.observation_space = observation_space(slots)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(slots)
        self.expansions: list[Expansion] = []
        self._now: Slots | None = None
        self._painter: GraphPainter | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Go back to the initial weights and learn the nucleus.

        Args:
            seed: Seeds the shortlists and slot orders of this and the following episodes.
            options: Not used.

        Raises:
            KgrlError: If the nucleus leaves no budget or no candidate.
        """
        super().reset(seed=seed)
        nucleus = self.curriculum.start(int(self.np_random.integers(2**31)))
        if self.curriculum.out_of_budget or self.curriculum.exhausted:
            what = "token of the budget" if self.curriculum.out_of_budget else "topic to learn"
            raise KgrlError(f"the nucleus left no {what}; raise budget_tokens or choose a smaller nucleus")
        self.expansions = [nucleus]
        self._features = FeatureState(self.curriculum.view)
        self._invalid = 0
        self._painter = None
        return self._look(), self._info(nucleus)

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Learn the neighbourhood of the topic in a slot.

        Raises:
            InvalidAction: If there is no such slot, or after 1,000 empty slots in a row.
            ResetNeeded: If the episode has not begun or has ended.
        """
        topic = self._topic(action)
        if topic < 0:
            return self._skip(int(action))
        expansion = self.curriculum.expand(topic)
        self.expansions.append(expansion)
        self._features.record(expansion)
        self._invalid = 0
        observation = self._look()
        terminated = not observation["mask"].any()
        reward = float(expansion.reward or 0.0)
        return observation, reward, bool(terminated), self.curriculum.out_of_budget, self._info(expansion)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which slots are filled, shape `[slots]`; sb3-contrib asks for this."""
        return self._current.topics >= 0

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the state as text or as an image, uint8 `[height, width, 3]`."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: gym.make(..., render_mode='ansi' or 'rgb_array')")
            return None
        # Drawing needs matplotlib and rich, which training does not.
        from kgrl.envs import rendering

        if self.render_mode == "ansi":
            return rendering.describe(self.curriculum.view, self.expansions)
        if self._painter is None:
            self._painter = rendering.GraphPainter()
        return self._painter.paint(self.curriculum.view, self.expansions)

    @property
    def _current(self) -> Slots:
        if self._now is None:
            raise ResetNeeded("call reset() first")
        return self._now

    def _look(self) -> Observation:
        self._now = observe(self.curriculum.view, self.slots, self._features)
        return self._copy()

    def _copy(self) -> Observation:
        return {name: values.copy() for name, values in self._current.observation.items()}

    def _topic(self, action: np.int64 | int) -> int:
        topics = self._current.topics
        if not 0 <= action < self.slots:
            raise InvalidAction(f"slot {action} does not exist: there are {self.slots}, counted from 0")
        if self.curriculum.out_of_budget or topics.max() < 0:
            raise ResetNeeded("the episode has ended; call reset()")
        return int(topics[action])

    def _skip(self, slot: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._invalid += 1
        if self._invalid >= _MOST_INVALID:
            raise InvalidAction(f"slot {slot} is empty, like the {self._invalid - 1} before it; mind the action mask")
        return self._copy(), 0.0, False, False, self._info(None)

    def _info(self, expansion: Expansion | None) -> dict[str, Any]:
        topics = self._current.topics
        return {
            "expansion": expansion,
            "topic": -1 if expansion is None else expansion.topic,
            "title": "" if expansion is None else expansion.title,
            "slot_topics": topics.copy(),
            "action_mask": (topics >= 0).astype(np.int8),
            "invalid_action": expansion is None,
        }


def make_curriculum_env(
    corpus: str | Corpus = "vital",
    learner: str | Learner = "scratch",
    reward: Any = "mean-prediction-gain",
    *,
    slots: int = 64,
    render_mode: str | None = None,
    learner_options: Mapping[str, Any] | None = None,
    **config: Any,
) -> CurriculumEnv:
    """Make the environment that is registered as `kgrl/Curriculum-v0`.

    Args:
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        learner: A learner or the name of one; a name gives each environment of a vector its own.
        reward: A reward, its name, or a function of an expansion.
        slots: Number of candidate slots.
        render_mode: `"ansi"`, `"rgb_array"` or None.
        learner_options: Options of a learner given by name.
        config: Fields of `CurriculumConfig`: `budget_tokens`, `goal`, `nucleus`, `seed` and so on.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/Curriculum-v0", corpus="vital", goal="Mathematics")    # doctest: +SKIP
    """
    if isinstance(corpus, str):
        # Data sources bring readers and downloaders; a corpus at hand needs none.
        from kgrl.data import load_corpus

        corpus = load_corpus(corpus)
    options = dict(learner_options or {})
    curriculum = Curriculum.make(corpus, learner, reward, CurriculumConfig(**config), **options)
    return CurriculumEnv(curriculum, slots=slots, render_mode=render_mode)
