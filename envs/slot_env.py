"""What environments of candidate slots have in common: what an action may be, masks, and empty slots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from kgrl.envs.features.space import Observation, Slots, observation_space
from kgrl.errors import SettingError

__all__ = ["MOST_INVALID", "SlotEnv", "Step"]

Step = tuple[Observation, float, bool, bool, dict[str, Any]]
"""What `step` returns: observation, reward, terminated, truncated, info."""

MOST_INVALID = 1_000
"""Empty slots in a row after which an agent is told that its episode would never end."""


class SlotEnv(gym.Env[Observation, np.int64], ABC):
    """An environment in which an action picks one of the candidates on show; subclasses say what that leads to.

    **Observation**: `candidates`, `topics`, `path`, `goal`, `mask` and `global`; see `kgrl.envs.features.space`.

    **Action**: a candidate slot. Slots have no lasting meaning: they are drawn and shuffled anew at every step. Which
    slots are filled is told by `action_masks()` (bool), by `info["action_mask"]` (int8) and by the observation.

    **An empty slot** leads nowhere, costs nothing and gives reward 0; the observation stays as it is and
    `info["invalid_action"]` is True. Environment checkers and agents without masks need that. After 1,000 empty slots
    without a valid one between them `InvalidAction` is raised, since such an agent would never end its episode.

    Args:
        slots: Number of candidate slots.
        render_mode: One of the class's render modes or None.

    Raises:
        SettingError: If there is no slot, or the render mode is not known.
    """

    def __init__(self, slots: int, render_mode: str | None) -> None:
        if slots < 1:
            raise SettingError(f"slots must be at least 1, not {slots}")
        modes = [None, *self.metadata["render_modes"]]
        if render_mode not in modes:
            raise SettingError(f"render_mode must be one of {', '.join(map(repr, modes))}, not {render_mode!r}")
        self.slots = slots
        self.render_mode = render_mode
        self.observation_space = observation_space(slots)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(slots)
        self._now: Slots | None = None
        self._invalid = 0

    def step(self, action: np.int64 | int) -> Step:
        """Take the candidate in a slot.

        Raises:
            InvalidAction: If there is no such slot, or after 1,000 empty slots in a row.
            ResetNeeded: If the episode has not begun or has ended.
        """
        topic = self._topic(action)
        if topic >= 0:
            self._invalid = 0
            return self._take(topic)
        self._invalid += 1
        if self._invalid >= MOST_INVALID:
            raise InvalidAction(f"slot {action} is empty, like the {self._invalid - 1} before it; mind the action mask")
        return self._copy(), 0.0, False, False, self._info(valid=False)

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which slots are filled, shape `[slots]`; sb3-contrib asks for this."""
        return self._current.topics >= 0

    @abstractmethod
    def _take(self, topic: int) -> Step:
        """Do what a candidate stands for."""

    @abstractmethod
    def _facts(self, valid: bool) -> dict[str, Any]:
        """The entries of `info` that are this environment's own; `valid` is False after an empty slot."""

    @property
    @abstractmethod
    def _ended(self) -> bool:
        """Whether the episode has ended though there may be candidates left."""

    @property
    def _current(self) -> Slots:
        if self._now is None:
            raise ResetNeeded("call reset() first")
        return self._now

    def _topic(self, action: np.int64 | int) -> int:
        """The topic in a slot, -1 where it is empty."""
        topics = self._current.topics
        if not 0 <= action < self.slots:
            raise InvalidAction(f"slot {action} does not exist: there are {self.slots}, counted from 0")
        if self._ended or topics.max() < 0:
            raise ResetNeeded("the episode has ended; call reset()")
        return int(topics[action])

    def _show(self, now: Slots) -> Observation:
        """Put candidates on show."""
        self._now = now
        return self._copy()

    def _copy(self) -> Observation:
        return {name: values.copy() for name, values in self._current.observation.items()}

    def _info(self, *, valid: bool = True) -> dict[str, Any]:
        topics = self._current.topics
        return {
            **self._facts(valid),
            "slot_topics": topics.copy(),
            "action_mask": (topics >= 0).astype(np.int8),
            "invalid_action": not valid,
        }
