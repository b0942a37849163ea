"""The environment keeps Gymnasium's and Stable-Baselines3's contracts, and its own promises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3.common.env_checker as sb3_checker
import torch
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env

import kgrl
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv
from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion
from kgrl.rewards import Reward, TokenCost, WeightedSum, ZScore

Make = Callable[..., Curriculum]


@pytest.fixture
def env(make_tiny_curriculum: Make) -> CurriculumEnv:
    return CurriculumEnv(make_tiny_curriculum(), slots=6)


def play(env: CurriculumEnv, seed: int) -> list[tuple[int, float, bool, bool]]:
    env.reset(seed=seed)
    steps, over = [], False
    while not over:
        slot = int(np.flatnonzero(env.action_masks())[0])
        _, reward, terminated, truncated, info = env.step(slot)
        steps.append((info["topic"], reward, terminated, truncated))
        over = terminated or truncated
    return steps


@pytest.mark.parametrize("slots", [4, 64])  # fewer and more than the frontier has topics
@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
def test_environment_checkers_pass(make_tiny_curriculum: Make, slots: int, render_mode: str | None) -> None:
    env = CurriculumEnv(make_tiny_curriculum(), slots=slots, render_mode=render_mode)
    with pytest.warns(UserWarning) as caught:  # every environment not made by gym.make is warned about
        check_env(env, skip_render_check=True)
        sb3_checker.check_env(env)
    serious = [
        str(w.message) for w in caught if "spec" not in str(w.message) and "unconventional" not in str(w.message)
    ]
    assert serious == []


def test_environments_of_one_reward_object_remember_apart(make_tiny_curriculum: Make) -> None:
    shared = ZScore(Novelty())
    nested = [shared, 2 * shared, WeightedSum([(1.0, shared), (0.0, TokenCost())])]
    envs = [CurriculumEnv(make_tiny_curriculum(reward=reward), slots=6) for reward in nested]
    for env in envs:
        env.reset(seed=0)
    together = [[float(env.step(0)[1]) for env in envs] for _ in range(4)]
    alone = []
    for reward in (ZScore(Novelty()), 2 * ZScore(Novelty()), 1.0 * ZScore(Novelty())):
        env = CurriculumEnv(make_tiny_curriculum(reward=reward), slots=6)
        env.reset(seed=0)
        alone.append([float(env.step(0)[1]) for _ in range(4)])
    np.testing.assert_allclose(np.array(together).T, alone)
    assert len({*alone[0]}) > 2


def test_the_first_environment_has_the_object_itself(make_tiny_curriculum: Make) -> None:
    reward = Novelty()
    one, other = (CurriculumEnv(make_tiny_curriculum(reward=reward), slots=6) for _ in range(2))
    for env in (one, other, other):
        env.reset(seed=0)
        env.step(0)
    assert one.curriculum.reward is reward and other.curriculum.reward is not reward
    called = Called()
    first, second = (CurriculumEnv(make_tiny_curriculum(reward=called), slots=6) for _ in range(2))
    for env in (first, second):
        env.reset(seed=0)
    assert [first.step(0)[1], second.step(0)[1], first.step(0)[1]] == [1, 1, 2]


class Called:
    """An object that is called as a function, and counts."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, expansion: Expansion) -> float:
        self.seen += 1
        return float(self.seen)

    def reset(self) -> None:
        self.seen = 0


class Novelty(Reward):
    """The number of scores so far, squared."""

    name = "novelty"

    def __init__(self) -> None:
        self.seen = 0

    def score(self, expansion: Expansion) -> float:
        self.seen += 1
        return float(self.seen**2)

    def reset(self) -> None:
        self.seen = 0


def test_environments_of_one_learner_are_refused_when_they_teach_at_a_time(
    make_tiny_curriculum: Make, tiny_corpus: Corpus
) -> None:
    made = make_tiny_curriculum()
    parts = (made.state.research.retriever, made.state.embeddings, "mean-prediction-gain", made.config)
    one, other = (CurriculumEnv(Curriculum(tiny_corpus, made.learner, *parts), slots=6) for _ in range(2))
    alone = play(one, seed=3)
    assert play(other, seed=3) == alone  # one after another
    one.reset(seed=3)
    other.reset(seed=3)
    with pytest.raises(SettingError, match="two curricula or environments share one learner"):
        one.step(0)
    other.step(0)
    twin = copy.deepcopy(other)  # a copy has a learner of its own
    twin.step(0)
    other.step(0)
    assert play(one, seed=3) == alone


def test_reward_and_info_are_those_of_the_expansion(env: CurriculumEnv) -> None:
    env.reset(seed=1)
    topic = int(env._current.topics[2])
    _, reward, _, _, info = env.step(2)
    expansion = env.expansion
    assert info["topic"] == topic == expansion.topic and info["tokens"] == expansion.tokens_total
    assert expansion.title == env.curriculum.corpus.graph.titles[topic]
    assert reward == expansion.reward == pytest.approx(expansion.probes["mean"].gain)
    assert env.curriculum.state.frontier.is_solid[topic]


def test_after_a_reset_nothing_is_picked_and_the_record_is_that_of_the_nucleus(env: CurriculumEnv) -> None:
    with pytest.raises(ResetNeeded, match="reset"):
        _ = env.expansion
    _, info = env.reset(seed=1)
    assert info["topic"] == -1 and info["tokens"] == env.expansion.tokens_total > 0
    assert env.expansion.index == 0 and env.expansions == [env.expansion]


def test_masks_agree_and_name_the_frontier(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(), slots=64)
    observation, info = env.reset(seed=0)
    filled = env.action_masks()
    assert filled.dtype == bool and info["action_mask"].dtype == np.int8
    assert np.array_equal(filled, info["action_mask"]) and np.array_equal(filled, observation["mask"])
    assert sorted(info["slot_topics"][filled]) == sorted(env.curriculum.view.candidates)
    assert filled[env.action_space.sample(mask=info["action_mask"])]


def test_same_seed_same_episode_and_reset_restores_the_learner(env: CurriculumEnv) -> None:
    first, second = play(env, seed=3), play(env, seed=3)
    assert first == second
    assert first != play(env, seed=4)


def test_episodes_without_a_seed_differ_and_repeat_as_a_sequence(env: CurriculumEnv) -> None:
    def two() -> list[list[int]]:
        starts = [env.reset(seed=5), env.reset()]
        return [info["slot_topics"].tolist() for _, info in starts]

    assert two() == two()
    assert two()[0] != two()[1]


def test_budget_truncates(make_tiny_curriculum: Make) -> None:
    *_, (_, _, terminated, truncated) = play(CurriculumEnv(make_tiny_curriculum(budget_tokens=700), slots=6), 0)
    assert truncated and not terminated


def test_running_out_of_topics_terminates(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(budget_tokens=10**6), slots=6)
    *_, (_, _, terminated, truncated) = play(env, 0)
    assert terminated and not truncated
    assert not env.action_masks().any()
    assert env.curriculum.state.frontier.is_solid.all()


def test_an_empty_slot_changes_nothing(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(), slots=64)
    before, info = env.reset(seed=0)
    tokens, learned = env.curriculum.state.tokens, env.curriculum.learner.snapshot()
    after, reward, terminated, truncated, info = env.step(63)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["invalid_action"] == 1 and info["topic"] == -1 and not info["stalled"]
    assert env.expansion.index == 0
    assert env.curriculum.state.tokens == tokens and np.array_equal(env.curriculum.learner.snapshot(), learned)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_only_empty_slots_truncate_and_say_so_once(make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.envs.slot_env.MOST_INVALID", 5)
    env = CurriculumEnv(make_tiny_curriculum(), slots=64)
    env.reset(seed=0)
    for slot in (63, 63, 0, 62, 63, 62, 63):  # a filled slot in between begins the count anew
        _, reward, _, truncated, info = env.step(slot)
        assert not truncated and not info["stalled"]
    with pytest.warns(UserWarning, match="truncated after 5 empty slots in a row.*MaskablePPO"):
        _, reward, terminated, truncated, info = env.step(63)
    assert (reward, terminated, truncated) == (0.0, False, True) and info["stalled"] == info["invalid_action"] == 1
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)
    _, info = env.reset()
    assert not info["stalled"]
    for _ in range(5):  # without another warning, which would be an error here
        *_, truncated, info = env.step(63)
    assert truncated and info["stalled"]


@pytest.mark.parametrize("slot", [-1, 6])
def test_a_slot_that_does_not_exist_is_an_error(env: CurriculumEnv, slot: int) -> None:
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=f"slot {slot} does not exist"):
        env.step(slot)


@pytest.mark.parametrize("action", [3, np.int64(3), np.array(3), np.array([3]), np.uint8(3), torch.tensor(3), [3]])
def test_one_integer_is_an_action_however_it_is_held(env: CurriculumEnv, action: Any) -> None:
    env.reset(seed=0)
    topic = env._current.topics[3]
    assert env.step(action)[-1]["topic"] == topic


@pytest.mark.parametrize(
    "action", [3.0, True, np.bool_(True), np.array([0.7]), np.array([1, 2]), None, "3", torch.ones(1)]
)
def test_what_is_not_one_integer_is_refused_with_the_way_out(env: CurriculumEnv, action: Any) -> None:
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"one integer from 0 to 5, not .*; (pass int\(action\)|a vector)"):
        env.step(action)
    assert env.curriculum.state.index == 1


def test_stepping_outside_an_episode_is_an_error(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(budget_tokens=500), slots=6)
    with pytest.raises(ResetNeeded):
        env.step(0)
    play(env, 0)
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)


def test_a_nucleus_that_leaves_nothing_is_an_error(make_tiny_curriculum: Make) -> None:
    with pytest.raises(KgrlError, match="token of the budget"):
        CurriculumEnv(make_tiny_curriculum(budget_tokens=150)).reset()
    with pytest.raises(KgrlError, match="topic to learn"):
        settings = {"nucleus_size": 40, "expansion_tokens": 50_000, "budget_tokens": 10**6}
        CurriculumEnv(make_tiny_curriculum(**settings)).reset()


def test_wrong_arguments_are_named(make_tiny_curriculum: Make) -> None:
    with pytest.raises(ValueError, match="reward"):
        CurriculumEnv(make_tiny_curriculum(reward=None))
    with pytest.raises(ValueError, match="slots"):
        CurriculumEnv(make_tiny_curriculum(), slots=0)
    with pytest.raises(ValueError, match="one of None, 'human', 'ansi', 'rgb_array', not 'rgb_array_list'"):
        CurriculumEnv(make_tiny_curriculum(), render_mode="rgb_array_list")


def test_returned_arrays_are_the_callers_own(env: CurriculumEnv) -> None:
    observation, info = env.reset(seed=0)
    kept = copy.deepcopy(observation)
    observation["candidates"][:] = 9
    info["slot_topics"][:] = -1
    again, *_ = env.step(0)
    assert env.curriculum.state.index == 2
    assert not np.array_equal(again["candidates"], observation["candidates"])
    assert kept["mask"].all()


def test_a_non_finite_reward_stops_the_episode(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(reward=lambda expansion: float("nan")), slots=6)
    env.reset(seed=0)
    with pytest.raises(KgrlError, match="nan"):
        env.step(0)


def test_its_repr_says_what_it_is_made_of(env: CurriculumEnv) -> None:
    made_of = "corpus='tiny', learner='FakeLearner', reward='mean-prediction-gain', slots=6"
    assert repr(env) == f"CurriculumEnv({made_of})"


def test_vector_environments_of_both_libraries(make_tiny_curriculum: Make) -> None:
    def make() -> CurriculumEnv:
        return CurriculumEnv(make_tiny_curriculum(), slots=6)

    both = gym.vector.SyncVectorEnv([make, make])
    observation, _ = both.reset(seed=0)
    assert observation["candidates"].shape[:2] == (2, 6)
    both.step(np.array([0, 1]))
    stable = make_vec_env(make, n_envs=2, seed=0)
    assert np.asarray(stable.reset()["mask"]).shape == (2, 6)
    assert np.stack(stable.env_method("action_masks")).all()


def test_text_names_counts_and_the_last_pick(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(), slots=6, render_mode="ansi")
    env.reset(seed=0)
    env.step(0)
    text = env.render()
    assert isinstance(text, str)
    learned = len(env.curriculum.state.frontier.solid)
    assert f"{learned} learned" in text and env.expansion.title in text and "nucleus:" in text


def test_drawing_changes_with_the_learned_set_and_repeats(make_tiny_curriculum: Make) -> None:
    def frames() -> list[NDArray[np.uint8]]:
        env = CurriculumEnv(make_tiny_curriculum(), slots=6, render_mode="rgb_array")
        env.reset(seed=0)
        drawn = [env.render()]
        env.step(0)
        return [*drawn, env.render()]  # type: ignore[list-item]

    first, second = frames(), frames()
    assert first[0].shape == (750, 1000, 3) and first[0].dtype == np.uint8
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def test_rendering_without_a_mode_warns(env: CurriculumEnv) -> None:
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_gym_make_knows_the_environment() -> None:
    assert kgrl.__name__ == "kgrl"
    assert gym.spec("kgrl/Curriculum-v0").entry_point == "kgrl.envs.curriculum_env:make_curriculum_env"


@pytest.mark.integration
def test_gym_make_with_the_scratch_learner(tiny_corpus: Corpus) -> None:
    settings = {"budget_tokens": 1_500, "expansion_tokens": 200, "nucleus_size": 3, "slots": 8}
    env = gym.make("kgrl:kgrl/Curriculum-v0", corpus=tiny_corpus, learner="scratch", **settings)
    check_env(env.unwrapped, skip_render_check=True)
    _, info = env.reset(seed=0)
    _, reward, *_ = env.step(env.action_space.sample(mask=info["action_mask"]))
    assert np.isfinite(reward)
    both = gym.make_vec(
        "kgrl:kgrl/Curriculum-v0",
        2,
        "sync",
        corpus=tiny_corpus,
        learner="scratch",
        learner_options={"width": 32},
        **settings,
    )
    both.reset(seed=0)
    assert np.isfinite(both.step(np.array([0, 1]))[1]).all()
