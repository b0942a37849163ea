"""The curiosity policy as a policy of Stable-Baselines3, which `kgrl.agents.training.ppo` trains, and as an agent.

A `PPOAgent` runs in any curriculum, with or without Gymnasium.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.common.maskable.distributions import MaskableDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from kgrl.agents.base import BaseAgent
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig, load_policy, save_policy
from kgrl.builtin import CLICKS_FILE, FOLDER
from kgrl.curriculum.view import View
from kgrl.envs.features.curriculum_features import FeatureState, observe
from kgrl.envs.features.space import Observation
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["CuriosityActorCritic", "PPOAgent", "PPOConfig"]

Masks = NDArray[np.bool_] | Tensor | None


@dataclass(frozen=True)
class PPOConfig:
    """Hyperparameters of proximal policy optimisation (Schulman et al. 2017).

    The defaults suit hundreds to thousands of steps, since a step trains a language model.

    Args:
        learning_rate: Adam's step size.
        rollout: Environment steps between two updates, for each environment.
        batch: Steps of a minibatch.
        epochs: Passes over a rollout.
        gamma: Discount of later rewards.
        gae_lambda: Bias against variance in generalised advantage estimation.
        clip: Largest change of an action's probability ratio that is rewarded.
        entropy: Weight of the entropy bonus.
        value: Weight of the value loss.
        max_grad_norm: Gradients are clipped to this norm.
        target_kl: Passes over a rollout end once the policy has moved half as much again from the one that acted, in
            nats; None for no such limit.
        warm_up: Steps in which the value head alone learns, since that of a policy pretrained on traces has learned
            nothing, and would spoil what the other layers know.
        hidden: Width of a new policy's hidden layers.
    """

    learning_rate: float = 1e-3
    rollout: int = 64
    batch: int = 32
    epochs: int = 6
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    warm_up: int = 0
    hidden: int = 64


class CuriosityActorCritic(MaskableActorCriticPolicy):
    """The candidate scorer as a policy of Stable-Baselines3.

    Empty slots are masked by the observation itself, and again by the action masks where they are given.

    Args:
        observation_space: As `kgrl.envs.features.space.observation_space` makes it.
        action_space: One action for each slot.
        lr_schedule: Learning rate by remaining progress.
        hidden: Width of the hidden layers.
        init: A policy to begin as a copy of, of whatever width; a new one if None.
        options: Passed on to `MaskableActorCriticPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        hidden: int = 64,
        init: CandidateScorer | None = None,
        **options: Any,
    ) -> None:
        begin = init or CandidateScorer(PolicyConfig(hidden=hidden))
        self._begin = partial(deepcopy, begin)  # a module cannot hold another before its own __init__
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.scorer = self._begin()
        self.optimizer = self.optimizer_class(self.scorer.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions `[batch]`, values `[batch, 1]` and log probabilities `[batch]`."""
        distribution, values = self._judge(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values `[batch, 1]`, log probabilities `[batch]` and entropies `[batch]` of given actions."""
        distribution, values = self._judge(obs, action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs, action_masks: Masks = None) -> MaskableDistribution:
        """Return the distribution over slots."""
        return self._judge(obs, action_masks)[0]

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values of states, shape `[batch, 1]`."""
        return self._judge(obs, None)[1]

    def _judge(self, obs: PyTorchObs, action_masks: Masks) -> tuple[MaskableDistribution, Tensor]:
        assert isinstance(obs, dict)
        logits, values = self.scorer(obs)
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        filled = obs["mask"] > 0
        # A state at the end of an episode has no filled slot; nothing is chosen there, but its value is asked for.
        distribution.apply_masking(action_masks if action_masks is not None else filled | ~filled.any(1, keepdim=True))
        return distribution, values.unsqueeze(-1)


class PPOAgent(BaseAgent):
    """A trained curiosity policy as an agent, for any graph and any number of slots.

    Args:
        scorer: The network.
        slots: Candidates it looks at in one step; a larger frontier is narrowed by the documented shortlist.
        sample: Draw the candidate from the policy's distribution in place of taking the most probable one.
        training: How it was trained, for the record.
        clicks: Folder of the clicks that features are made from; by default those that ship with kgrl.
    """

    def __init__(
        self,
        scorer: CandidateScorer,
        slots: int = 64,
        *,
        sample: bool = False,
        training: dict[str, Any] | None = None,
        clicks: Path = FOLDER,
    ) -> None:
        self.scorer = scorer.eval()
        self.clicks = clicks
        self.slots = slots
        self.sample = sample
        self.training = training or {}
        self._state: FeatureState | None = None

    def reset(self, view: View) -> None:
        """Start over on a curriculum."""
        self._state = FeatureState(view, self.clicks)

    def choose(self, view: View) -> int:
        """Return the candidate with the highest score, or draw one."""
        slots = observe(view, self.slots, self._state)
        return int(slots.topics[self.pick(slots.observation, view.rng)])

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates of the shortlist and the policy's probability of each."""
        slots = observe(view, self.slots, self._state)
        filled = slots.topics >= 0
        return slots.topics[filled], self._logits(slots.observation).double().softmax(0).numpy()[filled]

    def pick(self, observation: Observation, rng: np.random.Generator | None = None) -> int:
        """Return the slot of an environment's observation with the highest score, or draw one.

        Args:
            observation: As `kgrl.envs.features.space.observation_space` says.
            rng: What to draw from; needed where the agent samples.
        """
        logits = self._logits(observation)
        if not self.sample or rng is None:
            return int(logits.argmax())
        chances = logits.double().softmax(0).numpy()
        return int(rng.choice(len(chances), p=chances / chances.sum()))

    def _logits(self, observation: Observation) -> Tensor:
        """The score of each slot, `[slots]`."""
        inputs = {name: torch.as_tensor(values).unsqueeze(0) for name, values in observation.items()}
        with torch.inference_mode():
            logits: Tensor = self.scorer(inputs)[0][0]
        return logits

    def observe(self, expansion: Expansion) -> None:
        """Take note of the losses that were measured."""
        if self._state is not None:
            self._state.record(expansion)

    def save(self, folder: str | Path) -> None:
        """Write `policy.safetensors` and `policy.json` to a folder, made if needed."""
        save_policy(self.scorer, Path(folder), {"slots": self.slots, "sample": self.sample, "training": self.training})

    @classmethod
    def load(cls, folder: Path) -> PPOAgent:
        """Read what `save` wrote.

        Raises:
            MissingDataError: If the folder holds no policy.
            KgrlError: If the policy was made for other features.
        """
        scorer, about = load_policy(folder)
        clicks = folder if (folder / CLICKS_FILE).is_file() else FOLDER
        sample, training = bool(about["sample"]), about["training"]
        return cls(scorer, int(about["slots"]), sample=sample, training=training, clicks=clicks)
