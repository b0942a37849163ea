"""Readers and algorithms of other libraries take the environments as they are.

TorchRL is not installed here: its reader of infos is imitated as its sources have it (`torchrl/envs/gym_like.py`,
`torchrl/envs/libs/gym.py`). It sets every entry without a leading underscore as a tensor, by its `dtype`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from torch.utils._pytree import tree_map

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv, RabbitHoleEnv
from tests.support.simulated import simulated_curriculum

Make = Callable[..., Curriculum]
Vectors = NDArray[np.float32]


def registered(info: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and number format of each entry, as TorchRL's `default_info_dict_reader` registers them."""
    found = {}
    for key, value in info.items():
        if not key.startswith("_"):
            assert value.dtype != np.dtype("O"), key
            tensor = torch.as_tensor(value)
            found[key] = tuple(tensor.shape), tensor.dtype
    return found


def infos(env: Any, steps: int = 12) -> list[dict[str, Any]]:
    """The infos of a reset and of some steps, empty slots and ends of episodes among them."""
    _, info = env.reset(seed=0)
    seen = [info]
    for step in range(steps):
        mask = info["action_mask"]
        *_, terminated, truncated, info = env.step(mask.argmin(-1) if step % 4 == 2 else mask.argmax(-1))
        seen.append(info)
        if not isinstance(env, gym.vector.VectorEnv) and (terminated or truncated):
            seen.append(env.reset()[1])
            info = seen[-1]
    return seen


@pytest.fixture(params=["curriculum", "rabbit hole"])
def make(request: pytest.FixtureRequest, tiny_corpus: Corpus, fake_embeddings: Vectors) -> Callable[[], gym.Env]:
    if request.param == "rabbit hole":
        return lambda: RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, slots=40, max_steps=4)
    return lambda: CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings, budget_tokens=1_000), slots=40)


def test_torchrl_registers_every_info_alike(make: Callable[[], gym.Env]) -> None:
    first, *others = map(registered, infos(make()))
    assert first and all(other == first for other in others)
    for vector in (gym.vector.SyncVectorEnv([make] * 2), gym.vector.AsyncVectorEnv([make] * 2, context="fork")):
        for info in infos(vector):
            assert registered(info) == {key: ((2, *shape), dtype) for key, (shape, dtype) in first.items()}
        vector.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_torchrl_registers_infos_of_vectors(tiny_corpus: Corpus, fake_embeddings: Vectors, mode: AutoresetMode) -> None:
    def curriculum() -> Curriculum:
        return simulated_curriculum(tiny_corpus, fake_embeddings, budget_tokens=1_000)

    ours = infos(CurriculumVectorEnv(curriculum(), 2, slots=40, autoreset_mode=mode))
    singles = [lambda: CurriculumEnv(curriculum(), slots=40)] * 2
    theirs = infos(gym.vector.SyncVectorEnv(singles, autoreset_mode=mode))
    ended = 0
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        final = mine.pop("final_obs", None), mine.pop("final_info", None)
        others = other.pop("final_obs", None), other.pop("final_info", None)
        assert registered(mine) == registered(other)
        for key, value in other.items():
            np.testing.assert_array_equal(mine[key], value, err_msg=key)
        if final[1] is not None:
            ended += 1
            check_final(*final, *others)
    assert ended >= 2 or mode is AutoresetMode.NEXT_STEP


def check_final(observations: Any, info: Any, other_observations: Any, other_info: Any) -> None:
    assert registered(info) == registered(other_info) and info.keys() == other_info.keys()
    for row, observation in enumerate(other_observations):
        assert (observation is None) == (observations[row] is None)
        for key in [] if observation is None else other_info:
            np.testing.assert_array_equal(info[key][row], other_info[key][row], err_msg=key)
    for key in other_info:
        if key.startswith("_"):
            np.testing.assert_array_equal(info[key], other_info[key], err_msg=key)


@pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of what a published data set should tell
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")  # a folder of Minari's own
def test_minari_records_infos(make: Callable[[], gym.Env], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari")
    if "jax" not in sys.modules:  # Minari appends steps with jax's trees; torch's do the same here
        jax, trees = ModuleType("jax"), ModuleType("jax.tree_util")
        jax.tree_util, trees.tree_map = trees, tree_map  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "jax", jax)
        monkeypatch.setitem(sys.modules, "jax.tree_util", trees)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = make()
    env.spec = gym.envs.registration.EnvSpec("kgrl/Curriculum-v0", entry_point="kgrl.envs:CurriculumEnv")
    collector = minari.DataCollector(env, record_infos=True)
    taken = infos(collector)
    dataset = collector.create_dataset("tiny/infos-v0")
    episode = dataset[0]
    assert dataset.total_episodes >= 2 and set(episode.infos) == set(taken[0])
    np.testing.assert_array_equal(episode.infos["topic"], [info["topic"] for info in taken[: len(episode) + 1]])
    collector._tmp_dir.cleanup()  # `close` leaves it to a finalizer, which warns


def test_records_are_had_from_every_kind_of_vector(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    def make() -> CurriculumEnv:
        return CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=6)

    ours = CurriculumVectorEnv(simulated_curriculum(tiny_corpus, fake_embeddings), 2, slots=6)
    theirs = [gym.vector.SyncVectorEnv([make] * 2), gym.vector.AsyncVectorEnv([make] * 2, context="fork")]
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        _ = ours.expansions
    for envs in (ours, *theirs):
        envs.reset(seed=1)
        envs.step(np.array([0, 3]))
    for envs in theirs:
        for mine, other in zip(ours.expansions, envs.get_attr("expansion"), strict=True):
            assert (mine.title, mine.tokens, mine.index) == (other.title, other.tokens, other.index)
            assert mine.reward == pytest.approx(other.reward, abs=1e-6)
        envs.close()
    ours.reset(seed=1)
    assert [expansion.reward for expansion in ours.expansions] == [None, None]


@pytest.fixture
def mostly_empty(make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch) -> CurriculumEnv:
    """An environment with many more slots than candidates."""
    monkeypatch.setattr("kgrl.envs.slot_env.MOST_INVALID", 8)
    return CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=300)


@pytest.mark.filterwarnings("ignore:.*truncated after 8 empty slots")
def test_greedy_dqn_survives_empty_slots(mostly_empty: CurriculumEnv) -> None:
    options = {"learning_starts": 0, "exploration_fraction": 1e-9, "exploration_final_eps": 0.0, "buffer_size": 300}
    model = DQN("MultiInputPolicy", mostly_empty, seed=0, policy_kwargs={"net_arch": [8]}, **options)
    model.learn(120)
    assert model.num_timesteps == 120
    assert {episode["l"] for episode in model.ep_info_buffer or ()} >= {8}


@pytest.mark.filterwarnings("ignore:.*truncated after 8 empty slots")
@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_deterministic_policies_without_masks_are_evaluated(mostly_empty: CurriculumEnv) -> None:
    for algorithm in (PPO, A2C):
        model = algorithm("MultiInputPolicy", mostly_empty, n_steps=16, seed=0, policy_kwargs={"net_arch": [8]})
        model.learn(32)
        mean, _ = evaluate_policy(model, mostly_empty, n_eval_episodes=2, deterministic=True)
        assert np.isfinite(mean)


def test_maskable_ppo_meets_no_empty_slot(mostly_empty: CurriculumEnv) -> None:
    model = MaskablePPO("MultiInputPolicy", mostly_empty, n_steps=16, seed=0, policy_kwargs={"net_arch": [8]})
    model.learn(48)  # a truncation would warn, which is an error here


def test_copies_of_a_vector_are_truncated_apart(
    tiny_corpus: Corpus, fake_embeddings: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgrl.envs.vector.env.MOST_INVALID", 5)
    monkeypatch.setattr("kgrl.envs.slot_env.MOST_INVALID", 5)
    ours = CurriculumVectorEnv(simulated_curriculum(tiny_corpus, fake_embeddings), 2, slots=64)
    singles = [lambda: CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=64)] * 2
    theirs = gym.vector.SyncVectorEnv(singles)
    actions = np.array([[63, 63], [63, 63], [63, 0], [63, 63], [63, 63], [0, 63], [63, 63], [63, 63], [63, 63]])
    for envs in (ours, theirs):
        envs.reset(seed=0)
    with pytest.warns(UserWarning, match="truncated after 5 empty slots"):
        for number, row in enumerate(actions):
            mine, other = ours.step(row), theirs.step(row)
            for name in ("topic", "invalid_action", "stalled"):
                np.testing.assert_array_equal(mine[4][name], other[4][name], err_msg=f"{name} {number}")
            np.testing.assert_array_equal(mine[2:4], other[2:4])
    assert mine[3].tolist() == [False, False] and mine[4]["stalled"].tolist() == [0, 0]
