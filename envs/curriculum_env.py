"""A curriculum as a Gymnasium environment: an action picks a candidate slot, the reward is what it was worth.

The environment is a thin shell around `Curriculum`; what is observed is made in
`kgrl.envs.features.curriculum_features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import DEFAULT_REWARD, CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.envs.features.curriculum_features import FeatureState, observe
from kgrl.envs.features.space import Observation
from kgrl.envs.slot_env import SlotEnv, Step
from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner

if TYPE_CHECKING:
    from kgrl.envs.rendering import GraphPainter

__all__ = ["CurriculumEnv", "make_curriculum_env"]


class CurriculumEnv(SlotEnv):
    """Grow a learner's knowledge by choosing frontier topics.

    Observations, actions, masks and empty slots are those of every `SlotEnv`; an empty slot teaches nothing.

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
        SettingError: If the curriculum has no reward, there is no slot, or the render mode is not known.
    """

    # Gymnasium reads the metadata from the class.
    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(self, curriculum: Curriculum, *, slots: int = 64, render_mode: str | None = None) -> None:
        super().__init__(slots, render_mode)
        if curriculum.reward is None:
            raise SettingError("an environment needs a curriculum with a reward")
        self.curriculum = curriculum
        self.expansions: list[Expansion] = []
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
        if self.curriculum.state.out_of_budget or self.curriculum.state.exhausted:
            what = "token of the budget" if self.curriculum.state.out_of_budget else "topic to learn"
            raise KgrlError(f"the nucleus left no {what}; raise budget_tokens or choose a smaller nucleus")
        self.expansions = [nucleus]
        self._features = FeatureState(self.curriculum.view)
        self._invalid = 0
        self._painter = None
        return self._look(), self._info()

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the state as text or as an image, uint8 `[height, width, 3]`."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: gym.make(..., render_mode='ansi' or 'rgb_array')")
            return None
        # Drawing needs matplotlib and rich, which training does not.
        from kgrl.envs import rendering

        if self.render_mode == "ansi":
            return rendering.state_text(self.curriculum.view, self.expansions)
        if self._painter is None:
            self._painter = rendering.GraphPainter()
        return self._painter.paint(self.curriculum.view, self.expansions)

    @property
    def _ended(self) -> bool:
        return self.curriculum.state.out_of_budget

    def _take(self, topic: int) -> Step:
        """Learn the neighbourhood of a topic."""
        expansion = self.curriculum.expand(topic)
        self.expansions.append(expansion)
        self._features.record(expansion)
        observation = self._look()
        terminated = not observation["mask"].any()
        return observation, float(expansion.reward or 0.0), terminated, self._ended, self._info()

    def _look(self) -> Observation:
        return self._show(observe(self.curriculum.view, self.slots, self._features))

    def _facts(self, valid: bool) -> dict[str, Any]:
        expansion = self.expansions[-1] if valid else None
        return {
            "expansion": expansion,
            "topic": -1 if expansion is None else expansion.topic,
            "title": "" if expansion is None else expansion.title,
        }


def make_curriculum_env(
    corpus: str | Corpus = "vital",
    learner: str | Learner = "scratch",
    reward: Any = DEFAULT_REWARD,
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
        from kgrl.data.load import load_corpus

        corpus = load_corpus(corpus)
    options = dict(learner_options or {})
    curriculum = Curriculum.make(corpus, learner, reward, CurriculumConfig(**config), **options)
    return CurriculumEnv(curriculum, slots=slots, render_mode=render_mode)
