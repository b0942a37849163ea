"""Adapters that make Gymnasium's vector environments usable for Stable-Baselines3.

The libraries differ in when ended episodes begin anew: in Gymnasium possibly at the next step, in Stable-Baselines3
always in the same step. So the adapter takes vector environments that reset in the same step.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from kgrl.errors import SettingError

__all__ = ["FiniteHorizon", "VectorEnvAdapter"]

Batch = dict[str, NDArray[Any]]

_MASKS = "action_masks"
"""The method of environments that sb3-contrib calls for masks."""


class VectorEnvAdapter(VecEnv):
    """Run one or several vector environments of Gymnasium side by side, as one of Stable-Baselines3.

    `info["action_mask"]` is offered as `env_method("action_masks")`. Infos are empty, except those of episodes that
    have just ended: they hold `terminal_observation`, `TimeLimit.truncated` and `episode` (return `r`, length `l`, and
    `t`, seconds since the adapter was made).

    Args:
        parts: Vector environments of dictionary observations with the same spaces, which reset in the same step. They
            need not copy observations (`copy=False`): the adapter does.

    Raises:
        SettingError: If `parts` is empty, their spaces differ, or one resets at another time.

    Example:
        >>> from gymnasium.vector import AutoresetMode, SyncVectorEnv
        >>> from stable_baselines3.common.envs import SimpleMultiObsEnv
        >>> parts = [SyncVectorEnv([SimpleMultiObsEnv] * n, autoreset_mode=AutoresetMode.SAME_STEP) for n in (2, 1)]
        >>> VectorEnvAdapter(parts).num_envs
        3
    """

    def __init__(self, parts: Sequence[VectorEnv[Any, Any, Any]]) -> None:
        _check(parts)
        self.parts = list(parts)
        ends = np.cumsum([part.num_envs for part in parts]).tolist()
        self._rows = [slice(end - part.num_envs, end) for part, end in zip(parts, ends, strict=True)]
        super().__init__(ends[-1], parts[0].single_observation_space, parts[0].single_action_space)
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._began = time.perf_counter()
        self._masks: NDArray[np.bool_] | None = None
        self._actions: NDArray[np.int64] = np.zeros(self.num_envs, dtype=np.int64)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.parts!r})"

    def reset(self) -> Batch:
        """Begin new episodes, with the seeds given by `seed()` since the last reset, and return the observations."""
        seeds = [None if self._seeds[rows][0] is None else self._seeds[rows] for rows in self._rows]
        # Gymnasium's base class types one seed for all; its vector environments take one for each copy too.
        began = [part.reset(seed=seed) for part, seed in zip(self.parts, seeds, strict=True)]  # type: ignore[arg-type]
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0.0, 0
        self._note_masks([info for _, info in began])
        return _joined([observation for observation, _ in began])

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions for `step_wait`, shape `[num_envs]`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step; return observations, rewards, flags of ended episodes, and infos."""
        steps = [part.step(self._actions[rows]) for part, rows in zip(self.parts, self._rows, strict=True)]
        observations, rewards, terminated, truncated, infos = zip(*steps, strict=True)
        self._note_masks(infos)
        # A spent budget and a terminal state can coincide; then nothing is bootstrapped.
        gained, ended = np.concatenate(rewards), np.concatenate(terminated)
        cut_off = np.concatenate(truncated) & ~ended
        done = ended | cut_off
        self._returns += gained
        self._lengths += 1
        told = self._tell(done, cut_off, infos)
        self._returns[done], self._lengths[done] = 0.0, 0
        return _joined(observations), gained.astype(np.float32), done, told

    def _tell(
        self, done: NDArray[np.bool_], cut_off: NDArray[np.bool_], infos: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the infos."""
        # One empty dictionary for all episodes that go on: thousands a step would cost more than the step.
        told: list[dict[str, Any]] = [{}] * self.num_envs
        seconds = round(time.perf_counter() - self._began, 6)
        for rows, info in zip(self._rows, infos, strict=True):
            for row in np.flatnonzero(done[rows]).tolist():
                at = rows.start + row
                told[at] = {
                    "terminal_observation": info["final_obs"][row],
                    "TimeLimit.truncated": bool(cut_off[at]),
                    "episode": {"r": float(self._returns[at]), "l": int(self._lengths[at]), "t": seconds},
                }
        return told

    def _note_masks(self, infos: Sequence[dict[str, Any]]) -> None:
        masked = all("action_mask" in info for info in infos)
        self._masks = np.concatenate([info["action_mask"] for info in infos]) > 0 if masked else None

    def close(self) -> None:
        """Close the vector environments."""
        for part in self.parts:
            part.close()

    def get_images(self) -> Sequence[Any]:
        """Return an image of each copy; the environments are made with `render_mode="rgb_array"`."""
        return [frame for part in self.parts for frame in part.render() or [None] * part.num_envs]

    def has_attr(self, attr_name: str) -> bool:
        """Return True if the environments have an attribute; `"action_masks"` once they were reset and have masks."""
        return self._masks is not None if attr_name == _MASKS else super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return, for each of some copies, the attribute of the vector environment that it belongs to."""
        values = [getattr(part, attr_name) for part in self.parts for _ in range(part.num_envs)]
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse to set an attribute: copies have none of their own.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("set attributes on the vector environments themselves: their copies share them")

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Refuse options: copies have none of their own.

        Raises:
            NotImplementedError: If options are given.
        """
        if options:
            raise NotImplementedError("vector environments take no options for single copies")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return `action_masks()` of each of some copies, bool `[slots]`, the only method of single copies.

        Raises:
            AttributeError: If another method is called, or the environments have no masks.
        """
        if method_name != _MASKS or self._masks is None:
            raise AttributeError(f"copies in a vector environment have no method {method_name!r}")
        return list(self._masks if indices is None else self._masks[list(self._get_indices(indices))])

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return False for each of some copies: none is wrapped by itself."""
        return [False for _ in self._get_indices(indices)]


class FiniteHorizon(VecEnvWrapper):
    """Turn truncations into terminations, for environments that observe their remaining budget.

    Gymnasium counts the end of a budget as a truncation, after which algorithms add the value of the last state. Here
    observations hold the remaining share of the budget, so the horizon is part of the state and no reward follows it.
    The value of such states is never fitted either, since nothing is chosen in them.

    Args:
        venv: The environments.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.venv!r})"

    def reset(self) -> Batch:
        """Begin new episodes."""
        return self.venv.reset()  # type: ignore[return-value]

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step, with `TimeLimit.truncated` False in every info."""
        observations, rewards, done, infos = self.venv.step_wait()
        for row in np.flatnonzero(done).tolist():
            infos[row] = {**infos[row], "TimeLimit.truncated": False}
        return observations, rewards, done, infos


def _check(parts: Sequence[VectorEnv[Any, Any, Any]]) -> None:
    if not parts:
        raise SettingError("an adapter needs at least one vector environment")
    for part in parts:
        mode = part.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise SettingError(f"{part} resets by {mode}; make it with autoreset_mode=AutoresetMode.SAME_STEP")
        for name in ("single_observation_space", "single_action_space"):
            if getattr(part, name) != getattr(parts[0], name):
                raise SettingError(f"{part} and {parts[0]} cannot be trained in side by side: their {name} differ")


def _joined(observations: Iterable[Batch]) -> Batch:
    """Return batches as one, copied."""
    batches = list(observations)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
