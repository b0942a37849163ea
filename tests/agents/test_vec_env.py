"""Vector environments under Stable-Baselines3 give what the single environments give there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from kgrl.agents import train_ppo
from kgrl.agents.policy.agent import PPOConfig
from kgrl.agents.training.vec_env import FiniteHorizon, VectorEnvAdapter
from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv
from kgrl.errors import SettingError

Make = Callable[..., Curriculum]
MakeEnv = Callable[[], CurriculumEnv]


@pytest.fixture
def make_env(make_tiny_curriculum: Make) -> MakeEnv:
    return lambda: CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=6)


def vector(make_env: Callable[[], gym.Env[Any, Any]], n: int) -> SyncVectorEnv:
    return SyncVectorEnv([make_env] * n, autoreset_mode=AutoresetMode.SAME_STEP)


def random_actions(env: VecEnv, rng: np.random.Generator) -> np.ndarray:
    masks = np.stack(env.env_method("action_masks"))
    return (rng.random(masks.shape) * masks).argmax(axis=1)


def trajectory(env: VecEnv, steps: int, seed: int = 5) -> list[Any]:
    """Everything that an algorithm sees in some steps of random valid actions."""
    env.seed(seed)
    rng = np.random.default_rng(0)
    seen: list[Any] = [env.reset()]
    for _ in range(steps):
        actions = random_actions(env, rng)
        seen.append((actions, *env.step(actions)))
    return seen


@pytest.mark.parametrize("sizes", [(3,), (1, 2)])
def test_the_same_trajectory_as_single_environments(make_env: MakeEnv, sizes: tuple[int, ...]) -> None:
    steps = 25
    ours = trajectory(VectorEnvAdapter([vector(make_env, n) for n in sizes]), steps)
    theirs = trajectory(DummyVecEnv([make_env] * 3), steps)
    assert_same(ours[0], theirs[0])
    ended = 0
    for (actions, observation, rewards, done, infos), (*same, other_infos) in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_array_equal(actions, same[0])
        assert_same(observation, same[1])
        np.testing.assert_array_equal(rewards, same[2])
        np.testing.assert_array_equal(done, same[3])
        for row in np.flatnonzero(done):
            ended += 1
            assert_same(infos[row]["terminal_observation"], other_infos[row]["terminal_observation"])
            assert infos[row]["TimeLimit.truncated"] == other_infos[row]["TimeLimit.truncated"]
        assert all(not infos[row] for row in np.flatnonzero(~done))
    assert ended >= 3


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_episodes_are_told_as_a_monitor_tells_them(make_env: MakeEnv) -> None:
    env = VecMonitor(VectorEnvAdapter([vector(make_env, 2)]))
    plain = VectorEnvAdapter([vector(make_env, 2)])
    monitored = [info["episode"] for *_, infos in trajectory(env, 25)[1:] for info in infos if info]
    own = [info["episode"] for *_, infos in trajectory(plain, 25)[1:] for info in infos if info]
    assert len(own) >= 2
    for one, other in zip(own, monitored, strict=True):
        assert one["l"] == other["l"] and one["r"] == pytest.approx(other["r"], rel=1e-5) and one["t"] > 0


def test_an_observation_is_left_alone_by_later_steps(make_env: MakeEnv) -> None:
    env = VectorEnvAdapter([vector(make_env, 2)])
    before = env.reset()
    copy = {name: values.copy() for name, values in before.items()}
    env.step(random_actions(env, np.random.default_rng(0)))
    assert_same(before, copy)


def test_seeds_are_used_once(make_env: MakeEnv) -> None:
    env = VectorEnvAdapter([vector(make_env, 1), vector(make_env, 1)])
    assert list(env.seed(3)) == [3, 4]
    first, other = env.reset(), env.reset()
    env.seed(3)
    assert_same(env.reset(), first)
    assert any((first[name] != other[name]).any() for name in first)


def test_what_copies_are_asked_for(make_env: MakeEnv) -> None:
    env = VectorEnvAdapter([vector(make_env, 1), vector(make_env, 2)])
    assert not env.has_attr("action_masks")
    observation = env.reset()
    assert env.has_attr("action_masks") and env.has_attr("num_envs") and not env.has_attr("colour")
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2])[0], observation["mask"][2] > 0)
    assert env.get_attr("num_envs") == [1, 2, 2] and env.get_attr("num_envs", 0) == [1]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3
    with pytest.raises(AttributeError, match="no method 'render'"):
        env.env_method("render")
    with pytest.raises(NotImplementedError):
        env.set_attr("slots", 3)
    with pytest.raises(NotImplementedError):
        env.set_options({"a": 1})
    env.set_options()


def test_copies_are_drawn_and_named(make_tiny_curriculum: Make) -> None:
    def make() -> CurriculumEnv:
        return CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=6, render_mode="rgb_array")

    env = VectorEnvAdapter([vector(make, 1), vector(make, 2)])
    env.reset()
    assert len(env.get_images()) == 3 and np.asarray(env.render()).ndim == 3
    assert repr(FiniteHorizon(env)) == (
        "FiniteHorizon(VectorEnvAdapter([SyncVectorEnv(num_envs=1), SyncVectorEnv(num_envs=2)]))"
    )


def test_with_a_finite_horizon_a_spent_budget_is_an_end_and_nothing_else_changes(make_env: MakeEnv) -> None:
    plain = trajectory(VectorEnvAdapter([vector(make_env, 2)]), 25)[1:]
    finite = trajectory(FiniteHorizon(VectorEnvAdapter([vector(make_env, 2)])), 25)[1:]
    cut_off = 0
    for (_, observation, rewards, done, infos), (_, same, *others, told) in zip(plain, finite, strict=True):
        assert_same(observation, same)
        np.testing.assert_array_equal([rewards, done], others)
        for row in np.flatnonzero(done):
            cut_off += infos[row]["TimeLimit.truncated"]
            assert not told[row]["TimeLimit.truncated"] and told[row]["episode"]["r"] == infos[row]["episode"]["r"]
    assert cut_off > 0


def test_what_does_not_fit_is_refused(make_env: MakeEnv, make_tiny_curriculum: Make) -> None:
    with pytest.raises(SettingError, match="autoreset_mode=AutoresetMode"):
        VectorEnvAdapter([SyncVectorEnv([make_env])])
    others = vector(lambda: CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=7), 1)
    with pytest.raises(SettingError, match="single_observation_space differ"):
        VectorEnvAdapter([vector(make_env, 1), others])
    with pytest.raises(SettingError, match="at least one"):
        VectorEnvAdapter([])


def test_training_takes_a_vector_environment_as_it_is(make_env: MakeEnv) -> None:
    config = PPOConfig(rollout=16, batch=8, epochs=1, hidden=8)
    agent = train_ppo(vector(make_env, 2), steps=64, config=config, progress=False)
    assert agent.training["steps"] == 64 and agent.training["mean_return"] > 0
