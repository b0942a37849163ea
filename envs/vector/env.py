"""Many simulated curricula as one vector environment: arrays instead of objects, advanced by compiled kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import numba
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import DEFAULT_REWARD, LEAST_TOKENS, CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.envs.curriculum_env import check_env_keywords, fixed_parts, make_env_curriculum
from kgrl.envs.features.arrays import Workspace
from kgrl.envs.features.curriculum_features import blank_observations, goal_features, named
from kgrl.envs.features.space import Observation, observation_layout, observation_space
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.envs.slot_env import MOST_INVALID, stalled_warning
from kgrl.envs.vector.checks import RENDER_MODES, check_batched, check_shape, check_undirected
from kgrl.envs.vector.kernels import advance_rows
from kgrl.envs.vector.rewards import VectorRewards, scores_together
from kgrl.envs.vector.state import (
    SharedTables,
    VectorState,
    blank_episodes,
    blank_expansions,
    blank_learned,
    bytes_each,
    learner_fits,
    task_tables,
)
from kgrl.envs.vector.variety import EpisodeTask, Variety, draw_tasks, stack_nuclei
from kgrl.errors import KgrlError
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner
from kgrl.learners.simulated.kernels import NOISE
from kgrl.learners.simulated.learner import SimulatedLearner, calibration_of
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder
from kgrl.rewards.expression import as_reward
from kgrl.system.memory import check_fits

if TYPE_CHECKING:
    from kgrl.envs.vector.rendering import CopyRenderer

__all__ = ["CurriculumVectorEnv", "make_curriculum_vector_env"]

Info = dict[str, Any]
Rows = NDArray[np.int64]


class CurriculumVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """Many copies of `CurriculumEnv` with simulated learners, advanced together.

    The first episode ever begun compiles for about half a minute; after that the result is read from numba's cache.
    As many threads as numba is allowed share the work (`NUMBA_NUM_THREADS`).

    With the same seeds, copy `i` goes through the same episodes as a `CurriculumEnv` of the same curriculum does.
    Spaces, rewards, endings and empty slots are those of that environment; episodes may also differ in their task
    and their learner, see `Variety`. `copy.deepcopy` gives an independent vector that goes on identically.

    **Info** holds what a `CurriculumEnv` gives, as arrays with a first axis of copies, so as Gymnasium's own vector
    environments would: `topic`, `tokens`, `read` and `solid` int64, `slot_topics` int32, `action_mask`,
    `invalid_action` and `stalled` int8. Beside each `key` stands the mask `_key`, bool `[num_envs]`, which is True for
    copies that have the entry. With same-step resets `final_obs` and `final_info` are there after steps that end an
    episode; their masks say where. The records of the copies' latest expansions, with titles and probe losses, are
    `envs.unwrapped.expansions`.

    Args:
        curriculum: The curriculum; its learner is simulated, and it has a reward.
        num_envs: Number of copies.
        slots: Number of candidate slots.
        render_mode: `"ansi"` or `"rgb_array"`, for `render` to return a frame of each copy, or None.
        autoreset_mode: When episodes that have ended begin anew: at the next step, in the same step, or never.
        variety: Differences between episodes; None gives all of them the curriculum's task and learner.
        copy: Copy observations; otherwise the arrays that are returned change with the next step.

    Raises:
        SettingError: If the learner is not simulated, a reward is missing or needs more than probes, the
            curriculum has stages, its corpus has prerequisites, the render mode is unknown, or so many copies do not
            fit in memory.
    """

    metadata: Info = {"render_modes": RENDER_MODES, "render_fps": 2}  # noqa: RUF012 - Gymnasium's way

    def __init__(
        self,
        curriculum: Curriculum,
        num_envs: int = 1,
        *,
        slots: int = 64,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        variety: Variety | None = None,
        copy: bool = True,
    ) -> None:
        check_shape(num_envs, slots, render_mode)
        check_batched(curriculum.learner, curriculum.reward, curriculum.config)
        check_undirected(curriculum.corpus)
        assert isinstance(curriculum.learner, SimulatedLearner)
        self.curriculum, self.num_envs, self.slots, self.copy = curriculum, num_envs, slots, copy
        self._check_memory()  # before anything is made of that size
        self.autoreset_mode, self.render_mode = AutoresetMode(autoreset_mode), render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(slots)
        self.single_action_space = Discrete(slots)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._threads = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
        self._pool = ThreadPoolExecutor(self._threads)
        self._set_up(curriculum.learner, variety)
        self._over = np.zeros(num_envs, dtype=bool)
        self._invalid = np.zeros(num_envs, dtype=np.int64)
        self._warned = False
        self._scores = np.full(num_envs, np.nan)  # rewards of the latest expansions, NaN after a reset
        self._renderer: CopyRenderer | None = None
        self._generators: list[np.random.Generator] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # `deepcopy` looks parts up in the memo first: those that are their own copies there are shared.
        memo.update({id(part): part for part in (*fixed_parts(self.curriculum), *self._fixed, self._fixed, self.tasks)})
        memo[id(self._pool)] = ThreadPoolExecutor(self._threads)
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__dict__.update({name: deepcopy(value, memo) for name, value in vars(self).items()})
        return twin

    def _check_memory(self) -> None:
        corpus, layout = self.curriculum.corpus, observation_layout(self.slots)
        seen = sum(prod(shape) * np.dtype(kind).itemsize for shape, kind in layout.values())
        lesson = self.curriculum.config.expansion_tokens
        check_fits(self.num_envs, bytes_each(len(corpus.graph), len(corpus), seen, lesson), "copies of the environment")

    def _set_up(self, learner: SimulatedLearner, variety: Variety | None) -> None:
        """Make all arrays."""
        self._varied = variety is not None
        self._fixed = self._shared_tables(learner, variety)
        self._state = self._blank_state(learner.seed)
        counts_style = variety is None or variety.style
        self._rewards = VectorRewards(self.curriculum, self._fixed, self._state, counts_style=counts_style)

    def _shared_tables(self, learner: SimulatedLearner, variety: Variety | None) -> SharedTables:
        """Return what never changes, and draw the tasks it is about."""
        curriculum, graph = self.curriculum, self.curriculum.corpus.graph
        self.tasks = self._tasks(variety)
        calibrations, members = [learner.calibration], [learner.member]
        if variety is not None and variety.calibrations:
            calibrations = [calibration_of(curriculum.corpus, name) for name in variety.calibrations]
        fits = learner_fits(calibrations, len(graph), None if variety is not None and variety.members else members)
        if variety is not None and not variety.noise:
            fits.curves.values[:, NOISE] = 0.0
        walks = walk_tables(graph, curriculum.state.embeddings)
        assert curriculum.reward is not None
        # Frames tell training losses, too.
        records = not scores_together(curriculum.reward) or self.render_mode is not None
        return SharedTables(
            graph=walks.by_counts[0],
            goals=goal_features(walks, [(task.goal, task.nucleus) for task in self.tasks]),
            tasks=task_tables(curriculum, self.tasks, stack_nuclei(self.tasks), fits, records=records),
            research=curriculum.state.research.tables,
            related=learner.related,
            curves=fits.curves,
        )

    def _blank_state(self, seed: int) -> VectorState:
        """Return room for everything that changes; `seed` seeds the noise of measurements."""
        corpus, dimensions = self.curriculum.corpus, self.curriculum.state.embeddings.shape[1]
        topics = len(corpus.graph)
        episodes = blank_episodes(self.num_envs, topics, len(corpus))
        episodes.noise[:] = seed
        return VectorState(
            known=blank_learned(self.num_envs, topics, dimensions),
            episodes=episodes,
            latest=blank_expansions(self.num_envs, self._fixed.tasks),
            workspace=Workspace(
                slot_of=np.full((self._threads, topics), -1, dtype=np.int16),
                pool=np.empty((self._threads, 2, topics), dtype=np.int32),
            ),
            shown=blank_observations(self.num_envs, self.slots),
        )

    def _tasks(self, variety: Variety | None) -> list[EpisodeTask]:
        curriculum = self.curriculum
        if variety is None:
            return [EpisodeTask(curriculum.goal, curriculum.nucleus, curriculum.state.trainable, whole=True)]
        graph, size = curriculum.corpus.graph, curriculum.config.nucleus_size
        return draw_tasks(graph, curriculum.state.embeddings, variety, curriculum.state.trainable, size)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[Observation, Info]:
        """Begin new episodes.

        Args:
            seed: One number, from which copy `i` gets the `i`-th after it; or one for each copy.
            options: `reset_mask`, bool `[num_envs]`, True for the copies that begin anew; all without it.

        Raises:
            KgrlError: If a nucleus leaves no budget or no candidate.
        """
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        rows = np.flatnonzero(mask)
        self._seed([seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed, rows)
        self._begin(rows)
        nobody = np.zeros(self.num_envs, dtype=bool)
        return self._look(), self._info(np.full(self.num_envs, -1), nobody, nobody)

    def step(self, actions: NDArray[np.int64]) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Take the candidates in slots, one for each copy.

        Raises:
            InvalidAction: If actions are not as many integers as there are copies, or a slot does not exist.
            ResetNeeded: If no episode has begun, or one has ended and episodes do not begin by themselves.
        """
        picks, again = self._picks(actions), self._over.copy()
        rewards = np.zeros(self.num_envs)
        picks[again] = -1
        rows = np.flatnonzero(picks >= 0)
        if len(rows):
            self._advance(rows, picks[rows])
            self._scores[rows] = rewards[rows] = self._rewards.of(rows)
            self._keep_for_frames(rows)
        invalid = (picks < 0) & ~again
        stalled = self._count_invalid(invalid)
        if again.any():
            self._begin(np.flatnonzero(again))
        truncated = (self._out_of_budget() & ~again & ~invalid) | stalled
        terminated = ~self._state.shown.mask.any(axis=1) & ~again & ~invalid
        self._over = terminated | truncated
        info = self._info(picks, invalid, stalled)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._over.any():
            info = self._begin_in_same_step(info)
        return self._look(), rewards, terminated, truncated, info

    def expansion(self, row: int) -> Expansion:
        """Return the record of a copy's latest expansion, that of the nucleus after a reset.

        It has no wall-clock, no cost of probing, and no parts of the reward.
        """
        record, score = self._rewards.expansion(row), self._scores[row]
        return record if np.isnan(score) else replace(record, reward=float(score))

    @property
    def expansions(self) -> list[Expansion]:
        """The record of each copy's latest expansion; see `expansion`.

        Raises:
            ResetNeeded: If no episode has begun.
        """
        if not self._generators:
            raise ResetNeeded("there are no expansions yet; call reset() first")
        return [self.expansion(row) for row in range(self.num_envs)]

    def render(self) -> tuple[Any, ...] | None:
        """Return a frame of each copy: text, or an image, uint8 `[height, width, 3]`.

        Raises:
            ResetNeeded: If no episode has begun.
        """
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode, for example gym.make_vec(..., render_mode='rgb_array')")
            return None
        if self._renderer is None:
            raise ResetNeeded("there is nothing to render yet; call reset() first")
        return tuple(self._renderer.frame(row, self.render_mode) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _seed(self, seeds: Sequence[int | None] | None, rows: Rows) -> None:
        seeds = [None] * self.num_envs if seeds is None else seeds
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} copies need as many seeds, not {len(seeds)}")
        if not self._generators:
            self._generators = [seeding.np_random(seed)[0] for seed in seeds]
            return
        for row in rows.tolist():
            if seeds[row] is not None:
                self._generators[row] = seeding.np_random(seeds[row])[0]

    def _begin(self, rows: Rows) -> None:
        """Draw the tasks of episodes and learn their nuclei."""
        for row in rows.tolist():
            generator = self._generators[row]
            if self._varied:
                self._state.episodes.task[row] = generator.integers(len(self.tasks))
                self._state.episodes.fit[row] = generator.integers(len(self._fixed.tasks.calibration))
                self._state.episodes.noise[row] = generator.integers(2**31)
            self._state.known.seed[row] = np.random.default_rng(int(generator.integers(2**31))).integers(2**63)
        self._advance(rows, np.full(len(rows), -1))
        self._rewards.begin(rows)
        self._over[rows], self._invalid[rows], self._scores[rows] = False, 0, np.nan
        self._keep_for_frames(rows)
        spent = self._out_of_budget()[rows]
        if spent.any() or not self._state.shown.mask[rows].any(axis=1).all():
            what = "token of the budget" if spent.any() else "topic to learn"
            raise KgrlError(f"the nucleus left no {what}; raise budget_tokens or choose a smaller nucleus")

    def _keep_for_frames(self, rows: Rows) -> None:
        """Keep the latest records of copies, which frames are drawn from."""
        if self.render_mode is None:
            return
        # Drawing needs matplotlib and rich, which training does not.
        from kgrl.envs.vector.rendering import CopyRenderer

        self._renderer = self._renderer or CopyRenderer(self.curriculum, self.num_envs)
        for row in rows.tolist():
            self._renderer.add(row, self.expansion(row), self.tasks[self._state.episodes.task[row]])

    def _advance(self, rows: Rows, picks: Rows) -> None:
        """Advance rows in threads; compiled code releases the interpreter's lock."""
        parts = np.array_split(np.arange(len(rows)), max(1, min(len(rows), self._threads)))

        def work(thread: int) -> None:
            advance_rows(rows[parts[thread]], picks[parts[thread]], thread, self._fixed, self._state)

        list(self._pool.map(work, range(len(parts))))

    def _begin_in_same_step(self, info: Info) -> Info:
        """Begin episodes anew where they have just ended; their last observations and infos go into `info`."""
        ended, over = np.flatnonzero(self._over), self._over.copy()
        seen = named(self._state.shown)
        final = np.full(self.num_envs, None, dtype=object)
        for row in ended.tolist():
            final[row] = {name: values[row].copy() for name, values in seen.items()}
        self._begin(ended)
        nobody = self._over = np.zeros_like(over)
        again = self._info(np.where(over, -1, info["topic"]), (info["invalid_action"] > 0) & ~over, nobody)
        ended_info = {name: over if name.startswith("_") else values for name, values in info.items()}
        return {**again, "final_obs": final, "_final_obs": over, "final_info": ended_info, "_final_info": over}

    def _picks(self, actions: object) -> NDArray[np.int64]:
        """Return the topics in slots, -1 where they are empty."""
        if not self._generators:
            raise ResetNeeded("call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise ResetNeeded(f"episodes have ended in copies {np.flatnonzero(self._over).tolist()}; reset these")
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or not np.issubdtype(given.dtype, np.integer):
            needed = f"{self.num_envs} slots are needed, integers of shape ({self.num_envs},)"
            raise InvalidAction(f"{needed}, not {actions!r}; pass actions.astype(int) if that is meant")
        if given.min() < 0 or given.max() >= self.slots:
            raise InvalidAction(f"slots from 0 to {self.slots - 1} are needed, not {actions!r}")
        picks: NDArray[np.int64] = self._state.shown.slots[np.arange(self.num_envs), given].astype(np.int64)
        return picks

    def _count_invalid(self, invalid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Count empty slots in a row; return the copies that have had so many that their episodes are truncated."""
        self._invalid = np.where(invalid, self._invalid + 1, 0)
        stalled: NDArray[np.bool_] = self._invalid >= MOST_INVALID
        if stalled.any() and not self._warned:
            self._warned = True
            gym.logger.warn(stalled_warning(f"episodes in copies {np.flatnonzero(stalled).tolist()} were"))
        return stalled

    def _out_of_budget(self) -> NDArray[np.bool_]:
        out: NDArray[np.bool_] = self._fixed.tasks.budget - self._state.episodes.tokens < LEAST_TOKENS
        return out

    def _look(self) -> Observation:
        seen = named(self._state.shown)
        return {name: values.copy() for name, values in seen.items()} if self.copy else seen

    def _info(self, topics: NDArray[np.int64], invalid: NDArray[np.bool_], stalled: NDArray[np.bool_]) -> Info:
        facts: Info = {
            "topic": topics,
            "tokens": self._state.episodes.tokens.copy(),
            "read": self._state.episodes.n_read.copy(),
            "solid": self._state.known.n_learned.copy(),
            "slot_topics": self._state.shown.slots.copy(),
            "action_mask": self._state.shown.mask.copy(),
            "invalid_action": invalid.astype(np.int8),
            "stalled": stalled.astype(np.int8),
        }
        return {**facts, **{f"_{name}": np.ones(self.num_envs, dtype=bool) for name in facts}}


def make_curriculum_vector_env(
    num_envs: int = 1,
    corpus: str | Corpus = "vital",
    learner: str | Learner = "simulated",
    reward: Any = DEFAULT_REWARD,
    *,
    slots: int = 64,
    render_mode: str | None = None,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    variety: Variety | None = None,
    copy: bool = True,
    learner_options: Mapping[str, Any] | None = None,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    **config: Any,
) -> CurriculumVectorEnv:
    """Make the vector environment that is registered as `kgrl/Curriculum-v0`.

    Args:
        num_envs: Number of copies.
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        learner: `"simulated"`, or such a learner; others go with `vectorization_mode="sync"`.
        reward: A reward, its name, or a function of an expansion.
        slots: Number of candidate slots.
        render_mode: `"ansi"`, `"rgb_array"` or None.
        autoreset_mode: When episodes that have ended begin anew.
        variety: Differences between episodes; None for none.
        copy: Copy observations; otherwise the arrays that are returned change with the next step.
        learner_options: Options of a learner given by name.
        encoder: Embeds the passages: `"static"`, `"minilm"`, or another encoder, by its Hugging Face name or folder.
        config: Fields of `CurriculumConfig`.

    Raises:
        UnknownNameError: If a keyword or a name is unknown; the message suggests the nearest.
        SettingError: If a setting is out of range, or the learner, the reward, stages or the corpus's prerequisites
            cannot be advanced together.
        MissingDataError: If the corpus is not on this machine, or no calibration ships for it.

    Example:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("kgrl:kgrl/Curriculum-v0", num_envs=256)    # doctest: +SKIP
    """
    check_env_keywords(config, ["num_envs", "autoreset_mode", "variety", "copy"])
    check_shape(num_envs, slots, render_mode)
    reward, settings = as_reward(reward), CurriculumConfig(**config)
    check_batched(learner, reward, settings)
    curriculum = make_env_curriculum(corpus, learner, reward, settings, learner_options, encoder)
    return CurriculumVectorEnv(
        curriculum,
        num_envs,
        slots=slots,
        render_mode=render_mode,
        autoreset_mode=autoreset_mode,
        variety=variety,
        copy=copy,
    )
