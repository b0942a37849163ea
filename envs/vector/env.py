"""Many simulated curricula as one vector environment: arrays in place of objects, compiled in `vector_kernels`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from kgrl.envs.features.arrays import Scratch
from kgrl.envs.features.curriculum_features import aims_of, room, seen_as
from kgrl.envs.features.space import Observation, observation_space
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.envs.slot_env import MOST_INVALID
from kgrl.envs.vector.kernels import advance_rows
from kgrl.envs.vector.rewards import State, VectorRewards, scores_together
from kgrl.envs.vector.state import blank_courses, blank_known, blank_lessons, bytes_each, fits_of, material_of
from kgrl.envs.vector.variety import EpisodeTask, Variety, draw_tasks, stack_nuclei
from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion
from kgrl.learners.simulated.kernels import NOISE
from kgrl.learners.simulated.learner import SimulatedLearner, calibration_of
from kgrl.rewards.base import MEASURES
from kgrl.system.memory import check_fits

__all__ = ["CurriculumVectorEnv", "make_curriculum_vector_env"]

Info = dict[str, Any]
Rows = NDArray[np.int64]


class CurriculumVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """Many copies of `CurriculumEnv` with simulated learners, advanced together.

    The first episode ever begun compiles for about half a minute; after that the result is read from numba's cache.
    As many threads as numba is allowed share the work (`NUMBA_NUM_THREADS`).

    With the same seeds, copy `i` goes through the same episodes as a `CurriculumEnv` of the same curriculum does.
    Spaces, rewards, endings and empty slots are those of that environment; all episodes may also differ in their task
    and their learner, see `Variety`.

    **Info**: `topic` (int64, -1 after an empty slot or a reset), `tokens` (int64, trained on in the episode),
    `slot_topics`, `action_mask` and `invalid_action`, each with a first axis of copies; with same-step resets
    `final_obs` and `final_info` where an episode has ended, as Gymnasium's own vector environments give them.
    `expansion(i)` makes the record of a copy's latest expansion.

    Args:
        curriculum: What is grown; its learner is simulated, and it has a reward.
        num_envs: Number of copies.
        slots: Number of candidate slots.
        autoreset_mode: When episodes that have ended begin anew: at the next step, in the same step, or never.
        variety: How episodes differ; None gives all of them the curriculum's task and learner.
        copy: Whether observations are copied; otherwise the arrays that are returned change with the next step.

    Raises:
        SettingError: If the learner is not simulated, there is no reward, the curriculum has stages, or so many copies
            do not fit in memory.
    """

    metadata: Info = {"render_modes": []}  # noqa: RUF012 - Gymnasium's way

    def __init__(
        self,
        curriculum: Curriculum,
        num_envs: int = 1,
        *,
        slots: int = 64,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        variety: Variety | None = None,
        copy: bool = True,
    ) -> None:
        if num_envs < 1 or slots < 1:
            raise SettingError(f"num_envs and slots must be at least 1, not {num_envs} and {slots}")
        if not isinstance(curriculum.learner, SimulatedLearner) or curriculum.reward is None:
            raise SettingError("a vector environment needs a curriculum with a simulated learner and a reward")
        if curriculum.reward.needs & MEASURES:
            measured = " and ".join(sorted(curriculum.reward.needs & MEASURES))
            raise SettingError(
                f"the reward {curriculum.reward.name!r} needs {measured}, which vector environments do not measure; "
                "use kgrl/Curriculum-v0 with gym.make"
            )
        if curriculum.config.stages:
            raise SettingError(
                "vector environments know no stages; use kgrl/Forgetting-v0 with gym.make, which has those of the task"
            )
        self.curriculum, self.num_envs, self.slots, self.copy = curriculum, num_envs, slots, copy
        self._check_memory()  # before anything is made of that size
        self.autoreset_mode = AutoresetMode(autoreset_mode)
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
        self._generators: list[np.random.Generator] = []

    def _check_memory(self) -> None:
        corpus, space = self.curriculum.corpus, observation_space(self.slots)
        seen = sum(int(np.prod(box.shape or ())) * np.dtype(box.dtype).itemsize for box in space.values())
        lesson = self.curriculum.config.expansion_tokens
        check_fits(self.num_envs, bytes_each(len(corpus.graph), len(corpus), seen, lesson), "copies of the environment")

    def _set_up(self, learner: SimulatedLearner, variety: Variety | None) -> None:
        """Make all arrays."""
        curriculum, graph = self.curriculum, self.curriculum.corpus.graph
        self.tasks = self._tasks(variety)
        calibrations, members = [learner.calibration], [learner.member]
        if variety is not None and variety.calibrations:
            calibrations = [calibration_of(curriculum.corpus, name) for name in variety.calibrations]
        fits = fits_of(calibrations, len(graph), None if variety is not None and variety.members else members)
        if variety is not None and not variety.noise:
            fits.curves.values[:, NOISE] = 0.0
        walks, nuclei = walk_tables(graph, curriculum.state.embeddings), stack_nuclei(self.tasks)
        assert curriculum.reward is not None
        records = not scores_together(curriculum.reward)
        self._material = material_of(curriculum, self.tasks, nuclei, fits, records=records)
        self._known = blank_known(self.num_envs, len(graph), curriculum.state.embeddings.shape[1])
        self._courses = blank_courses(self.num_envs, len(graph), len(curriculum.corpus))
        self._courses.noise[:] = learner.seed
        self._lessons = blank_lessons(self.num_envs, self._material)
        slot_of = np.full((self._threads, len(graph)), -1, dtype=np.int16)
        scratch = Scratch(slot_of, np.empty((self._threads, 2, len(graph)), dtype=np.int32))
        self._shown = room(self.num_envs, self.slots)
        self._varied = variety is not None
        state = State(self._material, fits.curves, self._known, self._courses, self._lessons)
        self._rewards = VectorRewards(curriculum, state, counts_style=variety is None or variety.style)
        fixed = (walks.compiled, aims_of(walks, [(task.goal, task.nucleus) for task in self.tasks]), self._material)
        taught = (curriculum.state.research.tables, learner.kin, fits.curves)
        self._arrays = (*fixed, *taught, self._known, self._courses, self._lessons, scratch, self._shown)

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
            options: `reset_mask`, bool `[num_envs]`: which copies begin anew; all without it.

        Raises:
            KgrlError: If a nucleus leaves no budget or no candidate.
        """
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        rows = np.flatnonzero(mask)
        self._seed([seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed, rows)
        self._begin(rows)
        return self._look(), self._info(np.full(self.num_envs, -1), np.zeros(self.num_envs, dtype=bool))

    def step(self, actions: NDArray[np.int64]) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Take the candidates in slots, one for each copy.

        Raises:
            InvalidAction: If there is no such slot, or after 1,000 empty slots in a row.
            ResetNeeded: If no episode has begun, or one has ended and episodes do not begin by themselves.
        """
        picks, again = self._picks(np.asarray(actions, dtype=np.int64)), self._over.copy()
        rewards = np.zeros(self.num_envs)
        picks[again] = -1
        rows = np.flatnonzero(picks >= 0)
        if len(rows):
            self._advance(rows, picks[rows])
            rewards[rows] = self._rewards.of(rows)
        invalid = (picks < 0) & ~again
        self._count_invalid(invalid)
        if again.any():
            self._begin(np.flatnonzero(again))
        truncated = self._out_of_budget() & ~again & ~invalid
        terminated = ~self._shown.mask.any(axis=1) & ~again & ~invalid
        self._over = terminated | truncated
        info = self._info(picks, invalid)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._over.any():
            info = self._begin_in_same_step(info)
        return self._look(), rewards, terminated, truncated, info

    def expansion(self, row: int) -> Expansion:
        """Return the record of a copy's latest expansion; it has no wall-clock and no cost of probing."""
        return self._rewards.expansion(row)

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads end."""
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
        """Draw what episodes are about and learn their nuclei."""
        for row in rows.tolist():
            generator = self._generators[row]
            if self._varied:
                self._courses.task[row] = generator.integers(len(self.tasks))
                self._courses.fit[row] = generator.integers(len(self._material.calibration))
                self._courses.noise[row] = generator.integers(2**31)
            self._known.seed[row] = np.random.default_rng(int(generator.integers(2**31))).integers(2**63)
        self._advance(rows, np.full(len(rows), -1))
        self._rewards.begin(rows)
        self._over[rows], self._invalid[rows] = False, 0
        spent = self._out_of_budget()[rows]
        if spent.any() or not self._shown.mask[rows].any(axis=1).all():
            what = "token of the budget" if spent.any() else "topic to learn"
            raise KgrlError(f"the nucleus left no {what}; raise budget_tokens or choose a smaller nucleus")

    def _advance(self, rows: Rows, picks: Rows) -> None:
        """Have threads share the rows; compiled code lets go of the interpreter's lock."""
        parts = np.array_split(np.arange(len(rows)), max(1, min(len(rows), self._threads)))

        def work(thread: int) -> None:
            advance_rows(rows[parts[thread]], picks[parts[thread]], thread, *self._arrays)

        list(self._pool.map(work, range(len(parts))))

    def _begin_in_same_step(self, info: Info) -> Info:
        """Begin episodes anew where they have just ended; what ended them is kept in `info`."""
        ended, over = np.flatnonzero(self._over), self._over.copy()
        seen = seen_as(self._shown)
        final = np.full(self.num_envs, None, dtype=object)
        for row in ended.tolist():
            final[row] = {name: values[row].copy() for name, values in seen.items()}
        self._begin(ended)
        self._over = np.zeros_like(over)
        again = self._info(np.where(over, -1, info["topic"]), info["invalid_action"])
        return {**again, "final_obs": final, "_final_obs": over, "final_info": info, "_final_info": over}

    def _picks(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The topics in slots, -1 where they are empty."""
        if not self._generators:
            raise ResetNeeded("call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise ResetNeeded(f"episodes have ended in copies {np.flatnonzero(self._over).tolist()}; reset these")
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= self.slots:
            raise InvalidAction(f"{self.num_envs} slots from 0 to {self.slots - 1} are needed, not {actions!r}")
        return self._shown.slots[np.arange(self.num_envs), actions].astype(np.int64)

    def _count_invalid(self, invalid: NDArray[np.bool_]) -> None:
        self._invalid = np.where(invalid, self._invalid + 1, 0)
        if self._invalid.max() >= MOST_INVALID:
            row = int(self._invalid.argmax())
            raise InvalidAction(f"copy {row} was given {MOST_INVALID} empty slots in a row; mind the action mask")

    def _out_of_budget(self) -> NDArray[np.bool_]:
        out: NDArray[np.bool_] = self._material.budget - self._courses.tokens < LEAST_TOKENS
        return out

    def _look(self) -> Observation:
        seen = seen_as(self._shown)
        return {name: values.copy() for name, values in seen.items()} if self.copy else seen

    def _info(self, topics: NDArray[np.int64], invalid: NDArray[np.bool_]) -> Info:
        facts: Info = {
            "topic": topics,
            "tokens": self._courses.tokens.copy(),
            "slot_topics": self._shown.slots.copy(),
            "action_mask": self._shown.mask.copy(),
            "invalid_action": invalid,
        }
        everywhere = np.ones(self.num_envs, dtype=bool)
        return {**facts, **{f"_{name}": everywhere for name in facts}}


def make_curriculum_vector_env(
    num_envs: int = 1,
    corpus: str | Corpus = "vital",
    learner: str | SimulatedLearner = "simulated",
    reward: Any = DEFAULT_REWARD,
    *,
    slots: int = 64,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    variety: Variety | None = None,
    copy: bool = True,
    learner_options: Mapping[str, Any] | None = None,
    **config: Any,
) -> CurriculumVectorEnv:
    """Make the vector environment that is registered as `kgrl/Curriculum-v0`.

    Args:
        num_envs: Number of copies.
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows.
        learner: `"simulated"`, or such a learner.
        reward: A reward, its name, or a function of an expansion.
        slots: Number of candidate slots.
        autoreset_mode: When episodes that have ended begin anew.
        variety: How episodes differ; None for all the same.
        copy: Whether observations are copied; otherwise the arrays that are returned change with the next step.
        learner_options: Options of a learner given by name.
        config: Fields of `CurriculumConfig`.

    Example:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("kgrl:kgrl/Curriculum-v0", num_envs=256,
        ...                     vectorization_mode="vector_entry_point", learner="simulated")    # doctest: +SKIP
    """
    if isinstance(corpus, str):
        from kgrl.data.load import load_corpus

        corpus = load_corpus(corpus)
    curriculum = Curriculum.make(corpus, learner, reward, CurriculumConfig(**config), **dict(learner_options or {}))
    return CurriculumVectorEnv(
        curriculum, num_envs, slots=slots, autoreset_mode=autoreset_mode, variety=variety, copy=copy
    )
