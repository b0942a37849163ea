"""Proximal policy optimisation of the curiosity policy, with masked slots (MaskablePPO of sb3-contrib)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from kgrl.agents.base import check_space
from kgrl.agents.policy.agent import CuriosityActorCritic, PPOAgent, PPOConfig
from kgrl.agents.policy.network import CandidateScorer
from kgrl.agents.training.adam import Adam
from kgrl.agents.training.callbacks import ValueWarmUp
from kgrl.agents.training.rollouts import Rollouts
from kgrl.agents.training.vec_env import VectorEnvAdapter
from kgrl.builtin import FOLDER
from kgrl.envs.features.space import observation_layout
from kgrl.retrieval.encoder import Encoder
from kgrl.system.memory import check_fits

__all__ = ["initial_policy", "rollout_bytes", "rollout_bytes_of_slots", "train_ppo"]

Envs = gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv

_SCALARS = 7 * 8
"""Bytes of a step beside observation and mask: action, reward, return, advantage, value, probability, start of episode;
8 each."""


def train_ppo(
    env: Envs,
    steps: int = 512,
    *,
    seed: int = 0,
    config: PPOConfig | None = None,
    init: CandidateScorer | None = None,
    callbacks: Sequence[BaseCallback] = (),
    log_dir: Path | None = None,
    progress: bool = True,
) -> PPOAgent:
    """Train a curiosity agent.

    Args:
        env: A curriculum environment, or a vector environment of Gymnasium or Stable-Baselines3 that holds some.
        steps: Environment steps to train for, at least 2, rounded up to whole rollouts.
        seed: Seeds weights, actions and the environment.
        config: Hyperparameters; the defaults if None.
        init: A network to begin with, which is copied; random weights if None.
        callbacks: Callbacks of Stable-Baselines3; see `kgrl.agents.training.callbacks`.
        log_dir: Folder for TensorBoard events; none are written if None.
        progress: Show a progress bar.

    Returns:
        The agent. Its `training` holds steps, seconds, seed, hyperparameters and `mean_return`, the mean return of the
        last 100 episodes (None if no episode ended).

    Raises:
        ValueError: If `steps` is below 2.
        SettingError: If the rollouts would not fit in memory.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("kgrl:kgrl/Curriculum-v0", corpus="vital", learner="scratch")    # doctest: +SKIP
        >>> train_ppo(env, steps=512).save(Path("policies/mine"))                           # doctest: +SKIP
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, not {steps}")
    config = config or PPOConfig()
    # Stable-Baselines3 takes single environments and vector environments of its own, not Gymnasium's.
    env = VectorEnvAdapter([env]) if isinstance(env, VectorEnv) else env
    model = _make_model(env, steps, seed, config, init, log_dir)
    called = [*([ValueWarmUp(config.warm_up)] if config.warm_up else []), *callbacks]
    began = time.perf_counter()
    with _quick_products():
        model.learn(total_timesteps=steps, callback=called, progress_bar=progress, tb_log_name="ppo")
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]  # the buffer keeps the last 100 episodes
    training = {
        "steps": model.num_timesteps,
        "mean_return": float(np.mean(returns)) if returns else None,
        "seconds": time.perf_counter() - began,
        "seed": seed,
        "config": asdict(config),
    }
    policy = model.policy
    assert isinstance(policy, CuriosityActorCritic) and isinstance(model.action_space, spaces.Discrete)
    return PPOAgent(policy.scorer, int(model.action_space.n), training=training)


def initial_policy(init: str, encoder: Encoder) -> CandidateScorer | None:
    """Return the policy that training begins with, None for random weights.

    Args:
        init: `"builtin"` for the policy that ships with kgrl, `"random"` for none, or the folder of a policy.
        encoder: The training's encoder; a policy of another space is warned about.

    Raises:
        MissingDataError: If the folder holds no policy.
        KgrlError: If that policy reads other features than this version of kgrl makes.
    """
    if init == "random":
        return None
    agent = PPOAgent.load(FOLDER if init == "builtin" else Path(init))
    check_space(agent, encoder)
    # One member of the committee only: three would take three times as long.
    return agent.scorer.apart()[0]


def rollout_bytes(space: spaces.Dict, steps: int) -> int:
    """Return the bytes that a rollout of one environment takes.

    Args:
        space: The space of its observations.
        steps: Steps of a rollout.
    """
    layout = {name: (box.shape or (), box.dtype or np.dtype(np.float32)) for name, box in space.items()}
    return _rollout_bytes(layout, steps)


def rollout_bytes_of_slots(slots: int, steps: int) -> int:
    """Return the bytes that a rollout of one environment takes, without making a space of that size.

    Args:
        slots: Number of candidate slots.
        steps: Steps of a rollout.
    """
    layout = observation_layout(slots)
    return _rollout_bytes({name: (shape, np.dtype(kind)) for name, (shape, kind) in layout.items()}, steps)


def _rollout_bytes(layout: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], steps: int) -> int:
    sizes = [prod(shape) * dtype.itemsize for shape, dtype in layout.values()]
    mask = prod(layout["mask"][0]) * np.dtype(np.float32).itemsize
    return steps * (sum(sizes) + mask + _SCALARS)


@contextmanager
def _quick_products() -> Iterator[None]:
    """Let PyTorch carry out products of float32 in bfloat16 where the processor has AMX; sums stay float32.

    A forward and a backward pass take three quarters of the time. Logits differ by .004 on average, while Adam and
    everything between the products keep float32.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _even_batch(total: int, batch: int) -> int:
    """The size at or above `batch` that divides a rollout of `total` steps evenly.

    A last minibatch of a single step would make its normalised advantage NaN, and with it the weights.
    """
    return -(-total // max(1, total // batch))


def _make_model(
    env: gym.Env[Any, Any] | VecEnv,
    steps: int,
    seed: int,
    config: PPOConfig,
    init: CandidateScorer | None,
    log_dir: Path | None,
) -> MaskablePPO:
    n_envs = env.num_envs if isinstance(env, VecEnv) else 1
    rollout = min(config.rollout, max(2, -(-steps // n_envs)))
    assert isinstance(env.observation_space, spaces.Dict)
    check_fits(n_envs, rollout_bytes(env.observation_space, rollout), f"environments' rollouts of {rollout} steps")
    return MaskablePPO(
        CuriosityActorCritic,
        env,
        learning_rate=config.learning_rate,
        n_steps=rollout,
        batch_size=_even_batch(rollout * n_envs, config.batch),
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        vf_coef=config.value,
        max_grad_norm=config.max_grad_norm,
        rollout_buffer_class=Rollouts,
        target_kl=config.target_kl,
        # The offset is that which Stable-Baselines3 gives to PyTorch's Adam.
        policy_kwargs={
            "hidden": config.hidden,
            "init": init,
            "optimizer_class": Adam,
            "optimizer_kwargs": {"eps": 1e-5},
        },
        tensorboard_log=None if log_dir is None else str(log_dir),
        seed=seed,
        device="cpu",
        verbose=0,
    )
