"""The vector environment: the same episodes as the single one, Gymnasium's conventions, and variety."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numba
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.config import DEFAULT_REWARD
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv, Variety
from kgrl.envs.vector.variety import draw_tasks, regions
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import MeanPredictionGain, Reward, SelfPredictionGain, TokenCost

CURVES = CurveParameters(0.8, 1500.0, 1.0, 0.6, 300.0, 0.7, 0.5, 0.2, 1e-4, 0.02)
Make = Callable[..., Curriculum]


@pytest.fixture
def make(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> Make:
    """Makes curricula of a simulated learner on `tiny_corpus`: `make(reward, **config fields)`."""
    levels = ByTopic(4.0, 0.3, {3: 5.5}), ByTopic(1.0, 0.2, {1: 0.5})
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    members = tuple(replace(CURVES, style=0.1 * i) for i in range(1, 4))
    named = tiny_corpus.name, tiny_corpus.fingerprint, "none", 1.3
    calibration = Calibration(*named, *levels, CURVES, members, *made_up)

    def made(reward: Any = "mean-prediction-gain", **config: Any) -> Curriculum:
        settings = {"budget_tokens": 3_000, "expansion_tokens": 200, "neighbourhood": 3, "nucleus_size": 2, **config}
        ids = indexed_passages(tiny_corpus)
        retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
        learner = SimulatedLearner(tiny_corpus, 5, calibration, embeddings=fake_embeddings)
        return Curriculum(tiny_corpus, learner, retriever, fake_embeddings, reward, CurriculumConfig(**settings))

    return made


def draw(mask: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int64]:
    """A filled slot of each row, and now and then an empty one."""
    chances = np.where(mask > 0, rng.random(mask.shape), 0.0)
    slots = chances.argmax(axis=1)
    empty = (mask == 0).any(axis=1) & (rng.random(len(mask)) < 0.1)
    return np.where(empty, (mask == 0).argmax(axis=1), slots)


class Surprise(Reward):
    """A reward that remembers, so that it cannot be had for many curricula at once."""

    name, needs = "surprise", frozenset({"self"})

    def __init__(self) -> None:
        self.seen = 0

    def score(self, expansion: Expansion) -> float:
        self.seen += 1
        return expansion.train_loss + self.seen + expansion.probes["self"].gain

    def reset(self) -> None:
        self.seen = 0


@pytest.mark.parametrize(
    ("reward", "config"),
    [
        ("mean-prediction-gain", {}),
        ("target-prediction-gain", {"goal": "Nature"}),
        (SelfPredictionGain() - 1e-4 * TokenCost(), {"neighbourhood": 5}),
        (DEFAULT_REWARD, {"neighbourhood": 3}),
        (MeanPredictionGain() + SelfPredictionGain(), {"probe_topics": 50, "budget_tokens": 100_000}),
        (Surprise(), {"nucleus": ("Number", "Bread")}),
    ],
)
def test_episodes_are_those_of_the_single_environment(make: Make, reward: Any, config: dict[str, Any]) -> None:
    vector = CurriculumVectorEnv(make(reward, **config), 3, slots=6)
    singles = [CurriculumEnv(make(copy.deepcopy(reward), **config), slots=6) for _ in range(3)]
    observations, info = vector.reset(seed=11)
    for row, env in enumerate(singles):
        check(observations, info, row, *env.reset(seed=11 + row))
    rng, over, ended = np.random.default_rng(2), np.zeros(3, dtype=bool), 0
    for _ in range(60):
        actions = draw(info["action_mask"], rng)
        observations, rewards, terminated, truncated, info = vector.step(actions)
        for row, env in enumerate(singles):
            if over[row]:
                observation, single = env.reset()
                expected = 0.0, False, False
            else:
                observation, *expected_list, single = env.step(actions[row])
                expected = tuple(expected_list)
                assert info["topic"][row] == single["topic"] and info["invalid_action"][row] == single["invalid_action"]
                if not single["invalid_action"] and not any(expected[1:]):
                    same_record(vector.expansion(row), env.expansion, isinstance(reward, Surprise))
            check(observations, info, row, observation, single)
            assert rewards[row] == pytest.approx(expected[0], abs=1e-6)
            assert (terminated[row], truncated[row]) == expected[1:]
        over = terminated | truncated
        ended += int(over.sum())
    assert ended >= 3


def check(observations: Any, info: Any, row: int, observation: Any, single: Any) -> None:
    for name, value in single.items():
        assert np.array_equal(info[name][row], value) and info[f"_{name}"][row], name
        assert info[name].dtype == value.dtype, name
    for name, values in observation.items():
        np.testing.assert_allclose(observations[name][row], values, atol=1e-5, err_msg=name)


def same_record(mine: Expansion, single: Expansion, with_loss: bool) -> None:
    for name in ("index", "topic", "title", "neighbourhood", "passages", "tokens", "tokens_total", "budget"):
        assert getattr(mine, name) == getattr(single, name), name
    assert mine.probes.keys() == single.probes.keys()
    for name, probe in single.probes.items():
        assert mine.probes[name].topics == probe.topics
        assert mine.probes[name].before == pytest.approx(probe.before, abs=1e-6)
        assert mine.probes[name].after == pytest.approx(probe.after, abs=1e-6)
    if with_loss:
        assert mine.train_loss == pytest.approx(single.train_loss, abs=1e-6)


def test_same_step_resets_show_the_next_episode_and_keep_the_last_observation(make: Make) -> None:
    later = CurriculumVectorEnv(make(), 2, slots=6)
    at_once = CurriculumVectorEnv(make(), 2, slots=6, autoreset_mode=AutoresetMode.SAME_STEP)
    observations, info = later.reset(seed=4)
    at_once.reset(seed=4)
    for _ in range(100):
        actions = info["action_mask"].argmax(axis=1)
        observations, rewards, terminated, truncated, info = later.step(actions)
        shown, same_rewards, *ends, same_info = at_once.step(actions)
        assert np.array_equal(rewards, same_rewards) and np.array_equal(ends, [terminated, truncated])
        if (terminated | truncated).any():
            break
    over = terminated | truncated
    for row in np.flatnonzero(over):
        for name, values in observations.items():
            assert np.array_equal(same_info["final_obs"][row][name], values[row])
        assert same_info["final_info"]["topic"][row] == info["topic"][row]
    assert np.array_equal(same_info["_final_obs"], over)
    following, *_ = later.step(actions)
    for row in np.flatnonzero(over):
        assert all(np.array_equal(shown[name][row], following[name][row]) for name in shown)


def test_seeds_fix_episodes_and_masks_reset_some(make: Make) -> None:
    env = CurriculumVectorEnv(make(), 3, slots=6)
    first = env.reset(seed=[1, 2, 1])[1]["slot_topics"]
    assert np.array_equal(first[0], first[2]) and not np.array_equal(first[0], first[1])
    env.step(env.reset(seed=[1, 2, 3])[1]["action_mask"].argmax(axis=1))
    only = np.array([True, False, False])
    again = env.reset(seed=[1, None, None], options={"reset_mask": only})[1]
    assert np.array_equal(again["slot_topics"][0], first[0]) and again["tokens"].argmin() == 0


def test_threads_share_the_work_and_change_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[list[Any]] = []
    for threads in (1, 3):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        envs, rng = CurriculumVectorEnv(make(), 8, slots=5), np.random.default_rng(0)
        observation, info = envs.reset(seed=0)
        seen: list[Any] = [observation]
        for _ in range(30):
            observation, rewards, _, _, info = envs.step(draw(info["action_mask"], rng))
            seen += [observation, rewards, info["topic"]]
        envs.close()
        runs.append(seen)
    for one, three in zip(*runs, strict=True):
        np.testing.assert_equal(one, three)


def test_what_is_copied_stays(make: Make) -> None:
    for copied in (True, False):
        env = CurriculumVectorEnv(make(), 2, slots=6, copy=copied)
        observation, info = env.reset(seed=0)
        before = observation["candidates"].copy()
        env.step(info["action_mask"].argmax(axis=1))
        assert np.array_equal(observation["candidates"], before) == copied


def test_misuse_is_refused(make: Make, make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    env = CurriculumVectorEnv(make(), 2, slots=40, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, dtype=np.int64))
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match="from 0 to 39"):
        env.step(np.array([0, 40]))
    for wrong in ([0.7, 0.2], np.array([True, False]), [0], 0, np.array([[0], [1]]), None):
        with pytest.raises(InvalidAction, match=r"(?s)integers of shape \(2,\), not .*; pass actions.astype\(int\)"):
            env.step(wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="simulated learner"):
        CurriculumVectorEnv(make_tiny_curriculum(), 2)
    with pytest.raises(SettingError, match="at least 1"):
        CurriculumVectorEnv(make(), 0)
    with pytest.raises(SettingError, match="draw probe samples uniformly"):
        CurriculumVectorEnv(make(light_probes=True), 2)
    for config in ({"mastery": "gap"}, {"most_readings": 2}):
        with pytest.raises(SettingError, match="reads text once"):
            CurriculumVectorEnv(make(**config), 2)
    with pytest.raises(SettingError, match="review nothing"):
        CurriculumVectorEnv(make(review=0.5), 2)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**30))
    with pytest.raises(SettingError, match=r"copies of the environment need about .* would fit"):
        CurriculumVectorEnv(make(), 100_000)


def test_variety_draws_tasks_learners_and_graphs(make: Make) -> None:
    goals = (None, "Nature", "Craft")
    env = CurriculumVectorEnv(make(), 24, slots=6, variety=Variety(goals=goals, tasks=12, hidden=0.2, held_out=None))
    observation, info = env.reset(seed=0)
    assert set(observation["global"][:, 0].tolist()) == {0.0, 1.0}
    assert len({tuple(row) for row in info["slot_topics"].tolist()}) > 8
    for _ in range(30):
        for row, topics in enumerate(info["slot_topics"]):
            assert env.tasks[env._state.episodes.task[row]].trainable[topics[topics >= 0]].all()
        *_, info = env.step(info["action_mask"].argmax(axis=1))
    assert len(np.unique(env._state.episodes.fit)) == 3


def test_held_out_graphs_share_no_topic_with_the_others(make: Make) -> None:
    curriculum = make()
    graph, vectors = curriculum.corpus.graph, curriculum.state.embeddings
    shown = [
        np.any([task.trainable for task in draw_tasks(graph, vectors, variety, curriculum.state.trainable, 2)], axis=0)
        for variety in (Variety(), Variety(held_out=True))
    ]
    assert shown[0].any() and shown[1].any() and not (shown[0] & shown[1]).any()
    assert set(regions(vectors).tolist()) <= set(range(12))
    with pytest.raises(SettingError, match="needs a goal"):
        Variety(goals=())


@pytest.mark.integration
def test_gymnasium_makes_it_and_a_policy_can_be_written_in_ten_lines() -> None:
    envs = gym.make_vec(
        "kgrl:kgrl/Curriculum-v0", num_envs=16, vectorization_mode="vector_entry_point", learner="simulated"
    )
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    total, lengths = np.zeros(16), 0
    for _ in range(40):
        observations, rewards, terminated, truncated, _ = envs.step(observations["mask"].argmax(axis=1))
        total, lengths = total + rewards, lengths + int((terminated | truncated).sum())
    assert lengths >= 16 and total.mean() > 0.1
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert Split.PROBE in envs.unwrapped.curriculum.corpus.splits  # type: ignore[attr-defined]
