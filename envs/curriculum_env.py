"""A curriculum as a Gymnasium environment: an action picks a candidate slot, the reward is that of the expansion.

The environment is a thin shell around `Curriculum`; observations are made in `kgrl.envs.features.curriculum_features`.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import DEFAULT_REWARD, CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.envs.features.curriculum_features import FeatureState, observe
from kgrl.envs.features.space import Observation
from kgrl.envs.slot_env import SlotEnv, Step, check_keywords, check_view
from kgrl.errors import KgrlError, MissingDataError, SettingError
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner
from kgrl.learners.make import make_learner
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder
from kgrl.rewards.expression import as_reward

if TYPE_CHECKING:
    from kgrl.envs.rendering import CurriculumPainter

__all__ = [
    "CurriculumEnv",
    "check_env_keywords",
    "fixed_parts",
    "load_env_corpus",
    "make_curriculum_env",
    "make_env_curriculum",
]

_KEYWORDS = ("corpus", "learner", "reward", "slots", "render_mode", "learner_options", "encoder")
_FIXED_IN_LEARNERS = ("corpus", "tokenizer", "tokens", "calibration", "curves", "related")
"""Attributes of kgrl's learners that lessons never change; copies of an environment share them."""

_log = logging.getLogger(__name__)


class CurriculumEnv(SlotEnv):
    """Grow a learner's knowledge by choosing frontier topics.

    Observations, actions, masks, empty slots, rendering and copies are those of every `SlotEnv`; an empty slot teaches
    nothing.

    **Reward**: the curriculum's reward of the expansion.

    **Ending**: terminated when no candidate remains; truncated when the token budget is used up. An episode starts
    from the learner's initial weights and the same nucleus.

    **Info**, besides that of every `SlotEnv`: `topic`, the topic picked, int64, -1 after a reset or an empty slot;
    `tokens`, tokens trained on in the episode, int64; `read` and `solid`, the numbers of topics of which a passage was
    read and that are solid (`CurriculumConfig.mastery`), int64. The record of the latest expansion, with its title,
    probe losses and the parts of its reward, is `env.unwrapped.expansion`.

    Args:
        curriculum: The curriculum; it needs a reward.
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"` (counts and the last picks), `"rgb_array"` (a drawing of the graph) or None.

    Attributes:
        expansions: The records of the episode so far, the nucleus first.

    Raises:
        SettingError: If the curriculum has no reward, `slots` is below 1, or the render mode is unknown.
    """

    def __init__(self, curriculum: Curriculum, *, slots: int = 64, render_mode: str | None = None) -> None:
        super().__init__(slots, render_mode)
        if curriculum.reward is None:
            raise SettingError("an environment needs a curriculum with a reward")
        self.curriculum = curriculum
        self.expansions: list[Expansion] = []
        self._features: FeatureState | None = None
        self._painter: CurriculumPainter | None = None

    def __repr__(self) -> str:
        curriculum = self.curriculum
        assert curriculum.reward is not None
        learner = getattr(curriculum.learner, "kind", type(curriculum.learner).__name__)
        named = f"corpus={curriculum.corpus.name!r}, learner={learner!r}, reward={curriculum.reward.name!r}"
        return f"{type(self).__name__}({named}, slots={self.slots})"

    @property
    def expansion(self) -> Expansion:
        """The record of the latest expansion; that of the nucleus after a reset.

        Raises:
            ResetNeeded: If no episode has begun.
        """
        if not self.expansions:
            raise ResetNeeded("there is no expansion yet; call reset() first")
        return self.expansions[-1]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Go back to the initial weights and learn the nucleus.

        Args:
            seed: Seeds the shortlists and slot orders of this and the following episodes.
            options: Not used.

        Raises:
            KgrlError: If the nucleus leaves no budget or no candidate; if that is since nothing or everything passes
                the criterion of mastery, the message says so.
        """
        return super().reset(seed=seed, options=options)

    def _begin(self, options: dict[str, Any]) -> None:
        self.expansions = list(self.curriculum.start(int(self.np_random.integers(2**31))))
        if self.curriculum.state.out_of_budget or self.curriculum.state.exhausted:
            what = "token of the budget" if self.curriculum.state.out_of_budget else "topic to learn"
            remark = self.curriculum.state.remark_on_mastery()
            way = "raise budget_tokens or choose a smaller nucleus" if remark is None else remark
            raise KgrlError(f"the nucleus left no {what}; {way}")
        self._features = FeatureState(self.curriculum.view)
        self._painter = None

    def _look(self) -> Observation:
        assert self._features is not None
        return self._show(observe(self.curriculum.view, self.slots, self._features))

    def _take(self, topic: int) -> Step:
        """Learn the neighbourhood of a topic."""
        assert self._features is not None
        expansion = self.curriculum.expand(topic)
        self.expansions.append(expansion)
        self._features.record(expansion)
        observation = self._look()
        terminated = not observation["mask"].any()
        return observation, float(expansion.reward or 0.0), terminated, self._ended, self._info()

    @property
    def _ended(self) -> bool:
        return self.curriculum.state.out_of_budget

    def _facts(self, valid: bool) -> dict[str, Any]:
        picked = valid and self.expansion.index > 0
        return {
            "topic": np.int64(self.expansion.topic if picked else -1),
            "tokens": np.int64(self.curriculum.state.tokens),
            "read": np.int64(self.curriculum.state.standing.n_read),
            "solid": np.int64(len(self.curriculum.state.frontier.solid)),
        }

    def _text(self, *, colour: bool = True) -> str:
        from kgrl.envs.rendering import state_text

        return state_text(self.curriculum.view, self.expansions, colour=colour)

    def _image(self) -> NDArray[np.uint8]:
        from kgrl.envs.rendering import CurriculumPainter

        self._painter = self._painter or CurriculumPainter()
        return self._painter.paint(self.curriculum.view, self.expansions)

    def _unchanging(self) -> Iterable[object]:
        observed = [] if self._features is None else [self._features.tables, self._features.goals]
        return [*fixed_parts(self.curriculum), *self.expansions, *observed]


def fixed_parts(curriculum: Curriculum) -> Iterator[object]:
    """Yield the parts of a curriculum that never change while it is taught, which copies can share.

    Args:
        curriculum: The curriculum.
    """
    research, learner = curriculum.state.research, curriculum.learner
    yield from (research, research.corpus, research.corpus.graph, research.retriever, research.embeddings)
    # Snapshots are never written to: learners go back to them again and again.
    yield from (curriculum.state.initial, curriculum._nucleated, curriculum.teacher.measurer._reference)
    yield from (getattr(learner, name) for name in _FIXED_IN_LEARNERS if hasattr(learner, name))


def make_curriculum_env(
    corpus: str | Corpus = "vital",
    learner: str | Learner = "simulated",
    reward: Any = DEFAULT_REWARD,
    *,
    slots: int = 64,
    render_mode: str | None = None,
    learner_options: Mapping[str, Any] | None = None,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    **config: Any,
) -> CurriculumEnv:
    """Make the environment that is registered as `kgrl/Curriculum-v0`.

    Args:
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        learner: A learner or the name of one; a name gives each environment of a vector its own. `"simulated"`, the
            default as in `make_vec`, has learning curves that were fitted to a real learner, for corpora with a
            calibration; `"scratch"` and `"lora"` teach a real model.
        reward: A reward, its name, or a function of an expansion.
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"`, `"rgb_array"` or None.
        learner_options: Options of a learner given by name.
        encoder: Embeds the passages: `"static"`, `"minilm"`, or another encoder, by its Hugging Face name or folder.
        config: Fields of `CurriculumConfig`: `budget_tokens`, `goal`, `nucleus`, `seed` and so on.

    Raises:
        UnknownNameError: If a keyword or a name is unknown; the message suggests the nearest.
        SettingError: If a setting is out of range.
        MissingDataError: If the corpus is not on this machine, or no calibration ships for it.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/Curriculum-v0", corpus="vital", goal="Mathematics")    # doctest: +SKIP
    """
    check_env_keywords(config)
    check_view(slots, render_mode, CurriculumEnv.metadata["render_modes"])
    curriculum = make_env_curriculum(corpus, learner, reward, CurriculumConfig(**config), learner_options, encoder)
    return CurriculumEnv(curriculum, slots=slots, render_mode=render_mode)


# gym.make reads the metadata of the entry point, to wrap environments for modes such as "rgb_array_list".
make_curriculum_env.metadata = CurriculumEnv.metadata  # type: ignore[attr-defined]


def check_env_keywords(config: Mapping[str, Any], others: Sequence[str] = ()) -> None:
    """Refuse settings that no curriculum has.

    Args:
        config: The settings by keyword.
        others: Further keywords that the environment takes, which the message lists.

    Raises:
        UnknownNameError: If there is an unknown one; the message suggests the nearest.
    """
    settings = [field.name for field in fields(CurriculumConfig)]
    if not config.keys() <= set(settings):
        check_keywords(config, [*settings, *_KEYWORDS, *others])


def make_env_curriculum(
    corpus: str | Corpus,
    learner: str | Learner,
    reward: Any,
    config: CurriculumConfig,
    learner_options: Mapping[str, Any] | None,
    encoder: AnyEncoder,
) -> Curriculum:
    """Make the curriculum of an environment from its keywords; see `make_curriculum_env`.

    Raises:
        SettingError: If there are options of a learner that is made already.
        MissingDataError: If the corpus is not on this machine, or no calibration ships for it.
    """
    options, reward = dict(learner_options or {}), as_reward(reward)
    if options and not isinstance(learner, str):
        raise SettingError("learner_options are for a learner given by name; set them where the learner is made")
    _use_one_thread_in_workers()
    corpus = load_env_corpus(corpus)
    _log.info("making a curriculum on %r", corpus.name)
    if learner == "simulated":
        options["calibration"] = _calibration(corpus, options.get("calibration", "builtin"))
    if isinstance(learner, str):
        learner = make_learner(learner, corpus, seed=config.seed, encoder=encoder, **options)
    return Curriculum.make(corpus, learner, reward, config, encoder=encoder)


def _use_one_thread_in_workers() -> None:
    """Compute with one thread in processes that were forked, such as those of asynchronous vector environments.

    OpenMP's threads do not survive a fork: a parallel computation in the new process would wait for them for ever.
    """
    if multiprocessing.parent_process() is None:
        return
    for module, function in (("torch", "set_num_threads"), ("faiss", "omp_set_num_threads")):
        if module in sys.modules:  # in processes that were started afresh nothing is loaded yet, and nothing is wrong
            getattr(sys.modules[module], function)(1)


def _calibration(corpus: Corpus, calibration: Any) -> Any:
    from kgrl.learners.simulated.learner import calibration_of

    try:
        return calibration_of(corpus, calibration)
    except MissingDataError as error:
        raise MissingDataError(f'{error}; or teach a small model itself: learner="scratch"') from error


def load_env_corpus(corpus: str | Corpus) -> Corpus:
    """Load the corpus of an environment. Those opened last stay open for the next environment.

    Args:
        corpus: A corpus, which is returned as it is, or a name or folder that `kgrl.data.load_corpus` knows.
    """
    if isinstance(corpus, Corpus):
        return corpus
    # Data sources bring readers and downloaders, which a corpus at hand does without.
    from kgrl.data.load import load_corpus

    _log.info("loading the corpus %r", corpus)
    return load_corpus(corpus)
