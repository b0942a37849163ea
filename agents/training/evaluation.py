"""Evaluation of a policy in environments it was not trained in, compared with random picks on the same seeds.

Figures follow from rewards and observations alone, so they need nothing of exam and work in every vector environment.
If the reward is a gain in held-out loss, the sum of rewards is the drop of the loss so far, in nats per token, and the
area under it over the budget is the area by which the learning curve lies below its start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from kgrl.agents.policy.network import CandidateScorer
from kgrl.envs.features.names import GLOBAL_FEATURES
from kgrl.envs.features.space import Observation
from kgrl.errors import SettingError

__all__ = ["Comparison", "GainCurves", "Picker", "greedy", "play_episodes", "random_picker"]

FloatArray = NDArray[np.float64]
Picker = Callable[[Observation], NDArray[np.int64]]
"""Picks a slot for each observation of a batch, int64 `[batch]`."""

_BUDGET_LEFT = GLOBAL_FEATURES.index("budget_left")
_MOST_STEPS = 10_000


@dataclass(frozen=True)
class GainCurves:
    """Sums of rewards of some episodes over the share of their budgets spent, one episode a column.

    Args:
        spent: Share of the budget spent, float64 `[steps + 1, episodes]`; the first row is the nucleus's share. An
            episode that has ended keeps its last value.
        gained: Sum of rewards so far, of the same shape; 0 in the first row.

    Example:
        >>> curves = GainCurves(np.array([[0.0], [0.5], [1.0]]), np.array([[0.0], [1.0], [2.0]]))
        >>> curves.final.tolist(), curves.area.tolist(), curves.spent_until(np.array([1.5])).tolist()
        ([2.0], [1.0], [0.75])
    """

    spent: FloatArray
    gained: FloatArray

    @property
    def final(self) -> FloatArray:
        """The return of each episode, `[episodes]`."""
        return self.gained[-1]  # type: ignore[no-any-return]

    @property
    def area(self) -> FloatArray:
        """Mean of the sum of rewards over the budget that remains after the nucleus, `[episodes]`."""
        inside = np.trapezoid(self.gained, self.spent, axis=0)
        # An episode that ended before its budget keeps its final value for the rest.
        return (inside + self.final * (1.0 - self.spent[-1])) / (1.0 - self.spent[0])  # type: ignore[no-any-return]

    def spent_until(self, target: FloatArray) -> FloatArray:
        """Return the share of the budget, after the nucleus, at which a gain is first reached, `[episodes]`.

        It is interpolated linearly between steps, and infinite for gains that are never reached.

        Args:
            target: The gain to reach in each episode, `[episodes]`.
        """
        there = self.gained >= target
        at = np.where(there.any(axis=0), there.argmax(axis=0), 0)
        columns = np.arange(len(target))
        low, high = self.gained[np.maximum(at - 1, 0), columns], self.gained[at, columns]
        from_, to = self.spent[np.maximum(at - 1, 0), columns], self.spent[at, columns]
        part = np.divide(target - low, high - low, out=np.zeros(len(target)), where=high > low)
        spent = from_ + np.clip(part, 0.0, 1.0) * (to - from_) - self.spent[0]
        return np.where(there.any(axis=0), spent, np.inf)


@dataclass(frozen=True)
class Comparison:
    """Comparison of a policy with random picks, episode by episode.

    Args:
        policy: The policy's curves.
        random: The curves of random picks on the same seeds.
    """

    policy: GainCurves
    random: GainCurves

    @property
    def gain(self) -> float:
        """Excess of the policy's mean area over random's, as a share of random's."""
        scale = abs(float(self.random.area.mean()))
        return float((self.policy.area - self.random.area).mean()) / max(scale, 1e-9)

    @property
    def speed_ups(self) -> FloatArray:
        """Ratio of random's tokens to the policy's tokens until random's final gain; 0 if it is never reached.

        Shape `[episodes]`.
        """
        target = self.random.final
        ours, theirs = self.policy.spent_until(target), self.random.spent_until(target)
        return theirs / np.maximum(ours, 1e-9)

    def to_dict(self) -> dict[str, float]:
        """Return the figures: `gain`, the median `speed_up`, the share of episodes that `reached` random's, `won`."""
        speed_ups = self.speed_ups
        return {
            "gain": self.gain,
            "speed_up": float(np.median(speed_ups)),
            "reached": float((speed_ups > 0).mean()),
            "won": float((self.policy.area > self.random.area).mean()),
        }


def greedy(scorer: CandidateScorer) -> Picker:
    """Return a picker of the candidates that a policy scores highest."""

    def pick(observation: Observation) -> NDArray[np.int64]:
        """Return the slots of the highest scores."""
        with torch.inference_mode():
            logits, _ = scorer({name: torch.as_tensor(values) for name, values in observation.items()})
        return logits.argmax(dim=1).numpy()  # type: ignore[no-any-return]

    return pick


def random_picker(seed: int) -> Picker:
    """Return a picker of candidates, drawn uniformly."""
    rng = np.random.default_rng(seed)

    def pick(observation: Observation) -> NDArray[np.int64]:
        """Return slots drawn uniformly from the filled ones."""
        # The largest of independent uniform numbers is equally likely in every filled slot.
        drawn = rng.random(observation["mask"].shape) * (observation["mask"] > 0)
        return drawn.argmax(axis=1)  # type: ignore[no-any-return]

    return pick


def play_episodes(env: VecEnv, pick: Picker, seed: int) -> GainCurves:
    """Play one episode in each environment, and return their curves.

    Args:
        env: The environments; the same seed starts the same episodes.
        pick: The policy.
        seed: Seeds the environments.

    Raises:
        SettingError: If an episode does not end within 10,000 steps.
    """
    env.seed(seed)
    observation = env.reset()
    assert isinstance(observation, dict)
    spent, gained = [1.0 - observation["global"][:, _BUDGET_LEFT].astype(np.float64)], [np.zeros(env.num_envs)]
    going = np.ones(env.num_envs, dtype=bool)
    while going.any():
        if len(spent) > _MOST_STEPS:
            raise SettingError(f"{going.sum()} episodes have not ended after {_MOST_STEPS:,} steps")
        observation, rewards, done, infos = env.step(pick(observation))
        assert isinstance(observation, dict)
        left = observation["global"][:, _BUDGET_LEFT].astype(np.float64)
        # An environment whose episode has ended has been reset: its last observation is in the infos.
        for ended in np.flatnonzero(done & going).tolist():
            left[ended] = infos[ended]["terminal_observation"]["global"][_BUDGET_LEFT]
        spent.append(np.where(going, 1.0 - left, spent[-1]))
        gained.append(gained[-1] + np.where(going, rewards, 0.0))
        going &= ~done
    return GainCurves(np.stack(spent), np.stack(gained))
