"""Tasks as Gymnasium environments: `gym.make("kgrl:kgrl/Noisy-v0")`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from kgrl.benchmark.tasks import Task, make_task
from kgrl.corpus import Corpus
from kgrl.envs.curriculum_env import CurriculumEnv, check_env_keywords, make_curriculum_env
from kgrl.learners.base import Learner
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder

__all__ = ["make_task_env"]

_log = logging.getLogger(__name__)


def make_task_env(
    task: str,
    corpus: str | Corpus | None = None,
    learner: str | Learner = "scratch",
    reward: Any = None,
    *,
    slots: int = 64,
    render_mode: str | None = None,
    learner_options: Mapping[str, Any] | None = None,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    **config: Any,
) -> CurriculumEnv:
    """Make the environment of a task: that of `make_curriculum_env`, with the task's corpus, reward and settings.

    The first environment of a task on a machine embeds the passages of its traps, which takes seconds. Progress is
    shown on a terminal, and logged. Later environments find them in kgrl's cache.

    Args:
        task: The task by name.
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows; the task's usual one if None.
        learner: A learner or the name of one; the default is the benchmark's.
        reward: A reward, its name, or a function of an expansion; the task's own if None.
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"`, `"rgb_array"` or None.
        learner_options: Options of a learner given by name.
        encoder: Embeds the passages: `"static"`, `"minilm"`, or another encoder, by its Hugging Face name or folder.
        config: Fields of `CurriculumConfig`, such as `seed` and `budget_tokens`, which take the place of the task's.

    Raises:
        UnknownNameError: If a keyword or a name is unknown; the message suggests the nearest.
        SettingError: If a setting is out of range or does not fit the corpus.
        MissingDataError: If the corpus is not on this machine.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/Target-v0", corpus="vital", budget_tokens=3000)    # doctest: +SKIP
    """
    check_env_keywords(config)  # before minutes are spent on a task
    made = _task(task, corpus)
    return make_curriculum_env(
        made.corpus,
        learner,
        made.reward if reward is None else reward,
        slots=slots,
        render_mode=render_mode,
        learner_options=learner_options,
        encoder=encoder,
        **{**asdict(made.config), **config},
    )


# gym.make reads the metadata of the entry point, to wrap environments for modes such as "rgb_array_list".
make_task_env.metadata = CurriculumEnv.metadata  # type: ignore[attr-defined]


def _task(name: str, corpus: str | Corpus | None) -> Task:
    """Return a task; the latest ones are kept."""
    began = time.perf_counter()
    _log.info("making the task %r%s", name, "" if corpus is None else f" of {corpus!r}")
    # The files of a folder may change between two environments.
    in_folder = isinstance(corpus, str) and Path(corpus).is_dir()
    task = make_task(name, corpus) if in_folder else _recent_task(name, corpus)
    _log.info("the task %r is ready after %.1f s: %r", name, time.perf_counter() - began, task.corpus)
    return task


_recent_task = lru_cache(maxsize=2)(make_task)
"""Planting traps takes seconds, and a corpus of its own for each environment much memory."""
