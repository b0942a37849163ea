"""Callbacks of a training: warm-up of the value head, comparison of policies, and tracking services."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from kgrl.agents.policy.network import CandidateScorer, save_policy
from kgrl.agents.training.evaluation import Comparison, greedy, play_episodes, random_picker
from kgrl.agents.training.rollouts import Rollouts
from kgrl.errors import MissingDataError

__all__ = ["KeepBest", "Tracker", "Tracking", "ValueWarmUp"]

Tracking = Literal["wandb", "trackio"]


class ValueWarmUp(BaseCallback):
    """Trains only the value head at first.

    The value head of a policy that was pretrained on traces is untrained. Until it has learned, its errors decide which
    picks look good, and its gradients pass through the layers that compute the scores.

    Args:
        steps: Environment steps after which all weights are trained: by updates whose rollouts end after them.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_rollout_start(self) -> None:
        rollouts = self._rollouts
        apart = self.num_timesteps + rollouts.buffer_size * rollouts.n_envs <= self.steps
        for name, weights in self.model.policy.named_parameters():
            weights.requires_grad_(".value." in name or not apart)
        if not apart:
            rollouts.judged = None
        elif rollouts.judged is None:
            shape, scorer = (rollouts.buffer_size, rollouts.n_envs), self.model.policy.scorer
            assert isinstance(scorer, CandidateScorer)
            known = np.empty((*shape, len(scorer.members), 3 * scorer.config.hidden), dtype=np.float32)
            rollouts.judged = known, np.empty(shape, dtype=np.float32)

    def _on_step(self) -> bool:
        rollouts = self._rollouts
        if rollouts.judged is not None:
            for kept, made in zip(rollouts.judged, self.model.policy.judged, strict=True):  # type: ignore[arg-type]
                kept[rollouts.pos] = made.numpy()
        return True

    @property
    def _rollouts(self) -> Rollouts:
        rollouts = self.model.rollout_buffer  # type: ignore[attr-defined]
        assert isinstance(rollouts, Rollouts)
        return rollouts


class KeepBest(BaseCallback):
    """Compares the policy with random picks at intervals, and ends training with the best weights seen.

    The initial weights are compared, too. Figures are logged as `eval/...`.

    Args:
        env: Environments that are not used for training; each plays one episode.
        every: Environment steps between two comparisons.
        folder: The folder for the best policy, as safetensors and JSON; it is not written if None.
        seed: Seeds the episodes, which are the same every time.
        facts: What else the record of the training says in that folder, such as the space of its vectors.

    Attributes:
        history: Steps and figures of every comparison; see `Comparison.to_dict`.
    """

    def __init__(
        self,
        env: VecEnv,
        every: int,
        folder: Path | None = None,
        seed: int = 1_000_000,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.env, self.every, self.folder, self.seed, self.facts = env, every, folder, seed, dict(facts or {})
        self.history: list[dict[str, float]] = []
        self._random = play_episodes(env, random_picker(seed), seed)
        self._best: tuple[float, Mapping[str, Tensor]] | None = None
        self._next = 0

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._compare()
            self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._compare()
        assert self._best is not None
        self._scorer.load_state_dict(self._best[1])

    @property
    def _scorer(self) -> CandidateScorer:
        scorer = self.model.policy.scorer
        assert isinstance(scorer, CandidateScorer)
        return scorer

    def _compare(self) -> None:
        self._scorer.eval()  # without dropout; Stable-Baselines3 switches back before it trains
        figures = Comparison(play_episodes(self.env, greedy(self._scorer), self.seed), self._random).to_dict()
        for name, value in figures.items():
            self.logger.record(f"eval/{name}", value)
        self.history.append({"steps": self.num_timesteps, **figures})
        if self._best is None or figures["gain"] > self._best[0]:
            self._best = figures["gain"], deepcopy(self._scorer.state_dict())
            if self.folder is not None:
                slots = int(self.env.action_space.n)  # type: ignore[attr-defined]
                about = {"slots": slots, "sample": False, "training": {**self.facts, **self.history[-1]}}
                save_policy(self._scorer, self.folder, about)


class Tracker(BaseCallback):
    """Sends logged figures to Weights & Biases, or to Trackio, which has the same interface.

    Args:
        service: The service's package, imported by the constructor.
        name: The run's name at the service.
        config: The run's configuration.
        project: The project at the service.

    Raises:
        MissingDataError: If the package is not installed; the message says how to install it.
    """

    def __init__(self, service: Tracking, name: str, config: Mapping[str, Any], project: str = "kgrl") -> None:
        super().__init__()
        try:
            self._service: Any = importlib.import_module(service)
        except ImportError as error:
            raise MissingDataError(f"{service} is not installed; run: pip install {service}") from error
        self._run = {"project": project, "name": name, "config": dict(config)}

    def _on_training_start(self) -> None:
        self._service.init(**self._run)
        self.logger.output_formats.append(_Sender(self._service))

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._service.finish()


class _Sender(KVWriter):
    """Sends the numbers of each dump of the logger."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Send the numbers among the logged values."""
        numbers = {
            name: float(value) for name, value in key_values.items() if isinstance(value, int | float | np.number)
        }
        self._service.log(numbers, step=step)

    def close(self) -> None:
        """Do nothing: no file is open."""
