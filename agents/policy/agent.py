"""The curiosity policy in two roles: as a policy of Stable-Baselines3, and as an agent.

`kgrl.agents.training.ppo` trains a `CuriosityActorCritic`. The resulting `PPOAgent` runs in any curriculum, with or
without Gymnasium.
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
from kgrl.system.display import count_text

__all__ = ["CuriosityActorCritic", "PPOAgent", "PPOConfig"]

Masks = NDArray[np.bool_] | Tensor | None


@dataclass(frozen=True)
class PPOConfig:
    """Hyperparameters of proximal policy optimisation (Schulman et al. 2017).

    The defaults suit hundreds to thousands of steps, since each step trains a language model.

    Args:
        learning_rate: Adam's step size.
        rollout: Environment steps between two updates, for each environment.
        batch: Steps of a minibatch.
        epochs: Passes over a rollout.
        gamma: Discount factor of future rewards.
        gae_lambda: lambda of generalised advantage estimation (Schulman et al. 2016): bias against variance.
        clip: Clipping range of an action's probability ratio.
        entropy: Weight of the entropy bonus.
        value: Weight of the value loss.
        max_grad_norm: Gradients are clipped to this norm.
        target_kl: Passes over a rollout stop once the divergence from the policy that acted exceeds 1.5 times this
            value, in nats; None for no limit.
        warm_up: Environment steps in which only the value head learns. The value head of a policy pretrained on traces
            is untrained, and its gradients would spoil the other layers.
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

    Empty slots are masked by the observation itself, and by the action masks if they are given.

    Args:
        observation_space: A space made by `kgrl.envs.features.space.observation_space`.
        action_space: One action for each slot.
        lr_schedule: Learning rate by remaining progress.
        hidden: Width of the hidden layers of a new network.
        init: A network of any width to copy; a new one if None.
        options: Passed on to `MaskableActorCriticPolicy`.

    Attributes:
        judged: Inputs of the value heads and entropies of the latest observations that actions were chosen for, shapes
            `[batch, members, 3 width]` and `[batch]`. They are all that an update of the value heads alone needs.
    """

    judged: tuple[Tensor, Tensor]

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
        # A function, since a torch module cannot hold another one before its own __init__, which calls _build.
        self._begin = partial(deepcopy, begin)
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.scorer = self._begin()
        self.optimizer = self.optimizer_class(self.scorer.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions `[batch]`, values `[batch, 1]` and log probabilities `[batch]`."""
        distribution, known = self._judge(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        entropy = distribution.entropy()
        assert entropy is not None
        self.judged = known, entropy
        return actions, self._values(known), distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values `[batch, 1]`, log probabilities `[batch]` and entropies `[batch]` of given actions.

        While only the value heads learn, observations are what the rest of the network made of them; see `Rollouts`.
        """
        assert isinstance(obs, dict)
        if "known" in obs:
            return self._values(obs["known"]), obs["log_prob"], obs["entropy"]
        distribution, known = self._judge(obs, action_masks)
        return self._values(known), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs, action_masks: Masks = None) -> MaskableDistribution:
        """Return the distribution over slots."""
        return self._judge(obs, action_masks)[0]

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values of states, shape `[batch, 1]`."""
        return self._values(self._judge(obs, None)[1])

    def _values(self, known: Tensor) -> Tensor:
        return self.scorer.values(known).unsqueeze(-1)

    def _judge(self, obs: PyTorchObs, action_masks: Masks) -> tuple[MaskableDistribution, Tensor]:
        assert isinstance(obs, dict)
        logits, known = self.scorer.judge(obs)
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        filled = obs["mask"] > 0
        # At the end of an episode no slot is filled. Nothing is chosen there, but the value is asked for, and a
        # distribution with every slot masked would be NaN; so every slot is allowed.
        distribution.apply_masking(action_masks if action_masks is not None else filled | ~filled.any(1, keepdim=True))
        return distribution, known


class PPOAgent(BaseAgent):
    """A trained curiosity policy as an agent, for any graph and any number of slots.

    Args:
        scorer: The network.
        slots: Number of candidates it scores in one step; a shortlist is made of a larger frontier, see
            `kgrl.envs.features.shortlist_kernels`.
        sample: Draw the candidate from the policy's distribution instead of taking the most probable one.
        training: The record of its training: steps, seconds, hyperparameters.
        clicks: Folder of the click counts that features are made from; by default those that ship with kgrl.
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

    def __repr__(self) -> str:
        weights = sum(tensor.numel() for tensor in self.scorer.parameters())
        sizes = f"{count_text(len(self.scorer.members), 'member')}, {weights:,} weights"
        return f"PPOAgent({sizes}, slots={self.slots}, sample={self.sample})"

    @property
    def reads_probes(self) -> bool:
        """True unless the policy learned from clicks alone: those of its inputs that tell losses were 0 all the time.

        The weights of such inputs are as they were drawn, so a measured loss is mere noise to that policy.
        """
        return "clicks" not in self.training

    @property
    def space(self) -> str:
        """The space of the vectors it was trained on, by the name that `kgrl.retrieval.Encoder.space` has for it.

        Policies from before encoders had names were trained on MiniLM's.
        """
        return str(self.training.get("space", "minilm"))

    def reset(self, view: View) -> None:
        """Start over on a curriculum."""
        self._state = FeatureState(view, self.clicks)

    def choose(self, view: View) -> int:
        """Return the candidate with the highest score, or a drawn one if the agent samples."""
        slots = observe(view, self.slots, self._state)
        return int(slots.topics[self.pick(slots.observation, view.rng)])

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates of the shortlist and the policy's probability of each, `[candidates]`."""
        slots = observe(view, self.slots, self._state)
        filled = slots.topics >= 0
        return slots.topics[filled], self._logits(slots.observation).double().softmax(0).numpy()[filled]

    def pick(self, observation: Observation, rng: np.random.Generator | None = None) -> int:
        """Return the slot of an environment's observation with the highest score, or a drawn one.

        Args:
            observation: A sample of `kgrl.envs.features.space.observation_space`.
            rng: The generator to draw from; without one the highest score is taken.
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
        """Record the measured losses, which later features are made from."""
        if self._state is not None:
            self._state.record(expansion)

    def save(self, folder: str | Path) -> None:
        """Write `policy.safetensors` and `policy.json` to a folder, made if needed."""
        save_policy(self.scorer, Path(folder), {"slots": self.slots, "sample": self.sample, "training": self.training})

    @classmethod
    def load(cls, folder: Path) -> PPOAgent:
        """Read a policy that `save` wrote.

        Raises:
            MissingDataError: If the folder holds no policy.
            DataError: If a file of it is damaged.
            KgrlError: If the policy was made for other features.
        """
        scorer, about = load_policy(folder)
        clicks = folder if (folder / CLICKS_FILE).is_file() else FOLDER
        return cls(scorer, about["slots"], sample=about["sample"], training=about["training"], clicks=clicks)
