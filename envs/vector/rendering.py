"""Frames of the copies of a vector environment."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.view import View
from kgrl.envs.curriculum_env import fixed_parts
from kgrl.envs.rendering import CurriculumPainter, state_text
from kgrl.envs.vector.variety import EpisodeTask
from kgrl.expansion import Expansion

__all__ = ["CopyRenderer"]


class CopyRenderer:
    """Renders each copy of a vector environment as the single environment would.

    Copies keep arrays, not objects: the records of a copy's episode are replayed into a curriculum, whose view is
    rendered then. The cost grows with the length of the episode.

    Args:
        curriculum: The vector environment's curriculum, which is left as it is.
        num_envs: Number of copies.
    """

    def __init__(self, curriculum: Curriculum, num_envs: int) -> None:
        self._replayed = deepcopy(curriculum, {id(part): part for part in fixed_parts(curriculum)})
        self._episodes: list[list[Expansion]] = [[] for _ in range(num_envs)]
        self._tasks: list[EpisodeTask | None] = [None] * num_envs
        self._painters = [CurriculumPainter() for _ in range(num_envs)]

    def add(self, row: int, expansion: Expansion, task: EpisodeTask) -> None:
        """Keep a record of a copy; that of a nucleus begins an episode.

        Args:
            row: The copy.
            expansion: The record.
            task: The task of its episode.
        """
        if expansion.index == 0:
            self._episodes[row], self._tasks[row], self._painters[row] = [], task, CurriculumPainter()
        self._episodes[row].append(expansion)

    def frame(self, row: int, mode: str) -> str | NDArray[np.uint8]:
        """Return the frame of a copy, text or an image.

        Args:
            row: The copy.
            mode: `"ansi"` or `"rgb_array"`.
        """
        episode = self._episodes[row]
        if mode == "ansi":
            return state_text(self._view(row), episode)
        return self._painters[row].paint(self._view(row), episode)

    def _view(self, row: int) -> View:
        state, task = self._replayed.state, self._tasks[row]
        assert task is not None
        state.clear(0)
        for expansion in self._episodes[row]:
            state.replay(expansion)
        return replace(self._replayed.view, goal=task.goal, nucleus=task.nucleus)
