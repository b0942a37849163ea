"""Rollout buffer that copies each observation once when it is added and once when it is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableDictRolloutBufferSamples
from torch import Tensor

__all__ = ["Rollouts"]

_PASSES = 4
"""Passes over a rollout for each epoch of value heads alone: they are too small for a pass to take any time."""


class Rollouts(MaskableDictRolloutBuffer):
    """Rollout buffer of Stable-Baselines3 that keeps its arrays from rollout to rollout, and does not rearrange them.

    It holds what `MaskableDictRolloutBuffer` holds. That one makes new arrays for every rollout, swaps their axes
    before minibatches are drawn, and copies observations twice as they are added. Here a minibatch is gathered from the
    arrays as they are, in which the steps of all environments follow one another.

    A rollout after which only the value heads learn holds what the policy made of observations instead of these:
    the rest of the network does not change, so each state passes through it once, when an action is chosen.

    Attributes:
        judged: Inputs of the value heads and entropies of each step, float32 `[steps, envs, ...]`, which
            `kgrl.agents.training.callbacks.ValueWarmUp` writes; None where observations are held.
    """

    judged: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def reset(self) -> None:
        """Begin a rollout; what the arrays hold is written over."""
        if getattr(self, "observations", None) is None:
            super().reset()
        self.pos, self.full = 0, False

    def add(  # type: ignore[override]
        self,
        obs: dict[str, NDArray[Any]],
        action: NDArray[Any],
        reward: NDArray[np.float32],
        episode_start: NDArray[Any],
        value: Tensor,
        log_prob: Tensor,
        action_masks: NDArray[np.bool_] | None = None,
    ) -> None:
        """Copy a step of all environments into the arrays; see `MaskableDictRolloutBuffer.add`."""
        at = self.pos
        if self.judged is None:
            for name, values in self.observations.items():
                values[at] = obs[name]
        self.actions[at] = action.reshape(self.n_envs, self.action_dim)
        self.rewards[at], self.episode_starts[at] = reward, episode_start
        self.values[at], self.log_probs[at] = value.numpy().flatten(), log_prob.numpy().flatten()
        self.action_masks[at] = 1.0 if action_masks is None else action_masks.reshape(self.n_envs, self.mask_dims)
        self.pos = at + 1
        self.full = self.pos == self.buffer_size

    def get(self, batch_size: int | None = None) -> Iterator[MaskableDictRolloutBufferSamples]:  # type: ignore[override]
        """Yield all steps in random order, in minibatches of so many, in one if None; several times to value heads."""
        assert self.full
        total, passes = self.buffer_size * self.n_envs, 1 if self.judged is None else _PASSES
        # NumPy's generator, as in the buffer of Stable-Baselines3, which seeds it.
        orders = [torch.from_numpy(np.random.permutation(total)) for _ in range(passes)]  # noqa: NPY002
        for rows in (rows for order in orders for rows in torch.split(order, batch_size or total)):
            yield MaskableDictRolloutBufferSamples(
                observations={name: _taken(values, rows) for name, values in self._held().items()},
                actions=_taken(self.actions, rows),
                old_values=_taken(self.values, rows),
                old_log_prob=_taken(self.log_probs, rows),
                advantages=_taken(self.advantages, rows),
                returns=_taken(self.returns, rows),
                action_masks=_taken(self.action_masks, rows),
            )

    def _held(self) -> dict[str, NDArray[Any]]:
        """Return what stands for the observations of all steps."""
        if self.judged is None:
            return self.observations
        return {"known": self.judged[0], "entropy": self.judged[1], "log_prob": self.log_probs}


def _taken(values: NDArray[Any], rows: Tensor) -> Tensor:
    """Return the steps at some rows, the first two axes of the array taken as one."""
    return torch.from_numpy(values).flatten(0, 1).index_select(0, rows)
