"""The rollout buffer hands out what was put in, and Adam is PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer
from torch import nn

from kgrl.agents.training.adam import Adam
from kgrl.agents.training.rollouts import Rollouts
from kgrl.envs.features.space import observation_space

STEPS, ENVS, SLOTS = 5, 3, 4


def buffers() -> list[MaskableDictRolloutBuffer]:
    """A buffer of each kind."""
    made = observation_space(SLOTS), spaces.Discrete(SLOTS), "cpu"
    return [kind(STEPS, *made, n_envs=ENVS) for kind in (Rollouts, MaskableDictRolloutBuffer)]


def fill(buffer: MaskableDictRolloutBuffer, seed: int) -> None:
    """Put random steps in; the same seed gives the same."""
    buffer.reset()
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        shapes = observation_space(SLOTS)
        seen = {name: rng.normal(size=(ENVS, *(box.shape or ()))).astype(box.dtype) for name, box in shapes.items()}
        numbers = [rng.normal(size=ENVS).astype(np.float32) for _ in range(3)]
        value, log_prob = torch.from_numpy(numbers[1])[:, None], torch.from_numpy(numbers[2])
        masks, starts = rng.random((ENVS, SLOTS)) < 0.5, rng.random(ENVS) < 0.3
        actions = rng.integers(SLOTS, size=(ENVS, 1))
        buffer.add(seen, actions, numbers[0], starts, value, log_prob, action_masks=masks)
        seen["path"][:] = np.nan  # nobody keeps the array that was handed over
    buffer.compute_returns_and_advantage(torch.zeros(ENVS), np.zeros(ENVS))


def rows_of(buffer: MaskableDictRolloutBuffer, batch: int | None) -> list[dict[str, Any]]:
    """All steps that are handed out, one by one, in an order that does not depend on the buffer's."""
    rows = []
    for sample in buffer.get(batch):
        columns: dict[str, Any] = sample._asdict()
        columns |= columns.pop("observations")
        count = len(columns["old_values"])
        rows += [{name: value[at].flatten().tolist() for name, value in columns.items()} for at in range(count)]
    return sorted(rows, key=lambda row: row["old_values"])


@pytest.mark.parametrize("batch", [4, 5, None])
def test_what_is_put_in_is_handed_out_as_by_the_buffer_of_the_library(batch: int | None) -> None:
    ours, theirs = buffers()
    for seed in range(2):  # the second rollout is written over the first
        fill(ours, seed)
        fill(theirs, seed)
        rows = rows_of(ours, batch)
        assert len(rows) == STEPS * ENVS and rows == rows_of(theirs, batch)
        assert rows == rows_of(ours, batch)  # another pass


def test_minibatches_are_in_random_order_which_a_seed_fixes() -> None:
    buffer = buffers()[0]
    fill(buffer, 0)

    def orders(seed: int) -> list[float]:
        """The values in the order in which they are handed out."""
        np.random.seed(seed)  # noqa: NPY002 - the generator that Stable-Baselines3 seeds
        return [value for sample in buffer.get(4) for value in sample.old_values.tolist()]

    assert orders(1) == orders(1) != orders(2)


def test_a_rollout_that_is_not_complete_is_not_handed_out() -> None:
    buffer = buffers()[0]
    with pytest.raises(AssertionError):
        next(iter(buffer.get(4)))


def test_adam_moves_weights_as_pytorchs_does() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 2), nn.Linear(3, 2)]
    layers[1].load_state_dict(layers[0].state_dict())
    ours = Adam(layers[0].parameters(), lr=0.01, eps=1e-5)
    theirs = torch.optim.Adam(layers[1].parameters(), lr=0.01, eps=1e-5)
    pairs: list[tuple[nn.Linear, Any]] = [(layers[0], ours), (layers[1], theirs)]
    for step in range(20):
        for layer, optimizer in pairs:
            # One parameter is frozen at first, as in the warm-up of the value head.
            layer.bias.requires_grad_(step >= 8)
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
            optimizer.zero_grad()
            (layer(torch.full((4, 3), 0.1 * step)).square().sum() + layer.weight.sum()).backward()
            optimizer.step()
    for one, other in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
