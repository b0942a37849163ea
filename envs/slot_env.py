"""Base class of environments of candidate slots: actions, masks, empty slots, rendering and copies."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from kgrl.envs.features.space import Observation, Slots, observation_space
from kgrl.errors import SettingError, UnknownNameError

if TYPE_CHECKING:
    from kgrl.envs.rendering import Window

__all__ = ["MOST_INVALID", "SlotEnv", "Step", "check_keywords", "check_view", "single_slot", "stalled_warning"]

Step = tuple[Observation, float, bool, bool, dict[str, Any]]
"""Result of `step`: observation, reward, terminated, truncated, info."""

MOST_INVALID = 1_000
"""Empty slots in a row after which an episode is truncated: a deterministic policy would pick them for ever."""


class SlotEnv(gym.Env[Observation, np.int64], ABC):
    """An environment in which an action picks one of the candidates on show; subclasses define the consequences.

    **Observation**: `candidates`, `topics`, `path`, `goal`, `mask` and `global`; see `kgrl.envs.features.space`.

    **Action**: a candidate slot, an integer. Slots have no lasting meaning: they are drawn and shuffled anew at every
    step. `action_masks()` (bool), `info["action_mask"]` (int8) and the observation's `mask` tell which are filled.

    **An empty slot** leads nowhere, costs nothing and gives reward 0; the observation stays as it is and
    `info["invalid_action"]` is 1. Environment checkers and agents without masks need that. After 1,000 empty slots in a
    row the episode is truncated, with `info["stalled"]` 1 and a warning, once for each environment.

    **Info** holds NumPy numbers and arrays only, the same keys after `reset` and after every step, so that readers of
    other libraries can register it:

    - `slot_topics`: topic of each slot, int32 `[slots]`, -1 where the slot is empty.
    - `action_mask`: 1 for filled slots, int8 `[slots]`.
    - `invalid_action`: 1 after an empty slot, int8.
    - `stalled`: 1 where the episode is truncated because of empty slots, int8.

    **Rendering**: `"human"` shows every reset and step to people, in a window where there is a display and else as
    text on standard output; `"ansi"` renders text, `"rgb_array"` an image.

    **Copies**: `copy.deepcopy` in the middle of an episode gives an environment that goes on identically and
    independently, as tree search needs it. Parts that never change, such as corpora and tables, are shared.

    Args:
        slots: Number of candidate slots.
        render_mode: `"human"`, `"ansi"`, `"rgb_array"` or None.

    Raises:
        SettingError: If `slots` is below 1, or the render mode is unknown.
    """

    # Gymnasium reads the metadata from the class.
    metadata: dict[str, Any] = {"render_modes": ["human", "ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012

    def __init__(self, slots: int, render_mode: str | None) -> None:
        check_view(slots, render_mode, self.metadata["render_modes"])
        self.slots = slots
        self.render_mode = render_mode
        self.observation_space = observation_space(slots)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(slots)
        self._now: Slots | None = None
        self._invalid = 0
        self._warned = False
        self._window: Window | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Seeds the draws of this and the following episodes.
            options: Depend on the environment.
        """
        super().reset(seed=seed)
        self._begin(options or {})
        self._invalid = 0
        observation = self._look()
        self._display()
        return observation, self._info()

    def step(self, action: np.int64 | int) -> Step:
        """Take the candidate in a slot.

        Raises:
            InvalidAction: If the action is not one integer, or its slot does not exist.
            ResetNeeded: If the episode has not begun or has ended.
        """
        topics = self._current.topics
        slot = single_slot(action, self.slots)
        if self._ended or self._stalled or topics.max() < 0:
            raise ResetNeeded("the episode has ended; call reset()")
        self._invalid = self._invalid + 1 if topics[slot] < 0 else 0
        step = self._take(int(topics[slot])) if topics[slot] >= 0 else self._stay()
        self._display()
        return step

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the state as text or as an image, uint8 `[height, width, 3]`.

        In the mode `"human"` this returns None: resets and steps have shown their frames already.

        Raises:
            ResetNeeded: If no episode has begun.
        """
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode, for example gym.make(..., render_mode='rgb_array')")
            return None
        if self._now is None:
            raise ResetNeeded("there is nothing to render yet; call reset() first")
        if self.render_mode == "human":
            return None
        return self._text() if self.render_mode == "ansi" else self._image()

    def close(self) -> None:
        """Close the window, if one is open."""
        if self._window is not None:
            self._window.close()

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which slots are filled, bool `[slots]`; sb3-contrib calls this."""
        return self._current.topics >= 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # `copy.deepcopy` looks parts up in the memo first: those that are their own copies there are shared.
        memo.update({id(part): part for part in self._unchanging()})
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return twin

    @abstractmethod
    def _begin(self, options: dict[str, Any]) -> None:
        """Begin an episode, before it is looked at."""

    @abstractmethod
    def _look(self) -> Observation:
        """Show the candidates of the present state, see `_show`."""

    @abstractmethod
    def _take(self, topic: int) -> Step:
        """Carry out the choice of a candidate."""

    @abstractmethod
    def _facts(self, valid: bool) -> dict[str, Any]:
        """Return the environment's own entries of `info`, NumPy numbers; `valid` is False after an empty slot."""

    @property
    @abstractmethod
    def _ended(self) -> bool:
        """True if the episode has ended although candidates may remain."""

    @abstractmethod
    def _text(self, *, colour: bool = True) -> str:
        """Return the state as text."""

    @abstractmethod
    def _image(self) -> NDArray[np.uint8]:
        """Return the state as an image, uint8 `[height, width, 3]`."""

    @abstractmethod
    def _unchanging(self) -> Iterable[object]:
        """Return the parts that never change, which copies share."""

    @property
    def _stalled(self) -> bool:
        return self._invalid >= MOST_INVALID

    @property
    def _current(self) -> Slots:
        if self._now is None:
            raise ResetNeeded("call reset() first")
        return self._now

    def _stay(self) -> Step:
        """Do nothing, since the slot is empty."""
        if self._stalled and not self._warned:
            self._warned = True
            gym.logger.warn(stalled_warning("the episode was"))
        return self._copy(), 0.0, False, self._stalled, self._info(valid=False)

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
            # Vector environments would make arrays of objects of NumPy's bools, and TorchRL wants a `dtype`.
            "invalid_action": np.int8(not valid),
            "stalled": np.int8(self._stalled),
        }

    def _display(self) -> None:
        """Show the present state to people, in the mode `"human"`."""
        if self.render_mode != "human":
            return
        # Drawing needs matplotlib and rich, which training does not.
        from kgrl.envs.rendering import Window

        if self._window is None:
            self._window = Window(self.spec.id if self.spec else type(self).__name__, self.metadata["render_fps"])
        if not self._window.show(self._image):
            sys.stdout.write(self._text(colour=sys.stdout.isatty()).rstrip("\n") + "\n")


def stalled_warning(what: str) -> str:
    """Return the text of the warning that episodes were truncated because of empty slots.

    Args:
        what: The episodes and their verb, such as `"the episode was"`.
    """
    return (
        f"{what} truncated after {MOST_INVALID:,} empty slots in a row (info['stalled']); pick filled slots, which "
        "action_masks() and info['action_mask'] tell, for example with MaskablePPO"
    )


def single_slot(action: object, slots: int) -> int:
    """Return an action as the number of a slot.

    Args:
        action: An integer, or an array or tensor that holds one.
        slots: Number of slots.

    Raises:
        InvalidAction: If it is anything else, such as a float or a bool, or the slot does not exist.

    Example:
        >>> single_slot(np.array([3]), slots=8)
        3
        >>> single_slot(3.0, slots=8)
        Traceback (most recent call last):
        gymnasium.error.InvalidAction: an action is a slot, one integer from 0 to 7, not 3.0; pass int(action) ...
    """
    given = np.asarray(action)
    if given.size != 1 or not np.issubdtype(given.dtype, np.integer):
        way_out = "a vector environment takes several" if given.size > 1 else "pass int(action) if that is meant"
        raise InvalidAction(f"an action is a slot, one integer from 0 to {slots - 1}, not {action!r}; {way_out}")
    slot = int(given.item())
    if not 0 <= slot < slots:
        raise InvalidAction(f"slot {slot} does not exist: there are {slots}, counted from 0")
    return slot


def check_view(slots: int, render_mode: str | None, modes: Sequence[str]) -> None:
    """Refuse a number of slots or a render mode that an environment does not have.

    Args:
        slots: Number of slots.
        render_mode: The render mode, or None.
        modes: The modes that there are.

    Raises:
        SettingError: If `slots` is below 1, or the render mode is unknown.
    """
    if slots < 1:
        raise SettingError(f"slots must be at least 1, not {slots}")
    if render_mode not in (None, *modes):
        known = ", ".join(map(repr, (None, *modes)))
        raise SettingError(f"render_mode must be one of {known}, not {render_mode!r}")


def check_keywords(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse keywords that an environment does not take.

    Args:
        given: The keywords given.
        known: All that it takes.

    Raises:
        UnknownNameError: If there is an unknown one; the message suggests the nearest.

    Example:
        >>> check_keywords(["slot"], ["corpus", "slots"])
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown keyword of the environment 'slot'; did you mean 'slots'? Known: ...
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise UnknownNameError("keyword of the environment", name, known)
