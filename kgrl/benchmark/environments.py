"""Tasks as Gymnasium environments: `gym.make("kgrl:kgrl/Noisy-v0")`."""

from __future__ import annotations

from typing import Any

from kgrl.benchmark.tasks import make_task
from kgrl.corpus import Corpus
from kgrl.envs.curriculum_env import CurriculumEnv
from kgrl.learners.base import Learner

__all__ = ["make_task_env"]


def make_task_env(
    task: str,
    corpus: str | Corpus | None = None,
    learner: str | Learner = "scratch",
    reward: Any = None,
    *,
    seed: int = 0,
    slots: int = 64,
    render_mode: str | None = None,
    **learner_options: Any,
) -> CurriculumEnv:
    """Make the environment of a task.

    Args:
        task: The task by name.
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows; the task's usual one if None.
        learner: A learner or the name of one.
        reward: A reward, its name, or a function of an expansion; the task's own if None.
        seed: Seeds learner and probes.
        slots: Number of candidate slots.
        render_mode: `"ansi"`, `"rgb_array"` or None.
        learner_options: Options of a learner given by name.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/Target-v0", corpus="vital")    # doctest: +SKIP
    """
    curriculum = make_task(task, corpus).make_curriculum(learner, reward, seed, **learner_options)
    return CurriculumEnv(curriculum, slots=slots, render_mode=render_mode)
