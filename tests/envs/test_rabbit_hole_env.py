"""Link navigation keeps Gymnasium's and Stable-Baselines3's contracts, and its own promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
import stable_baselines3.common.env_checker as sb3_checker
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env

from kgrl.agents import train_ppo
from kgrl.agents.policy.agent import PPOConfig
from kgrl.corpus import Corpus
from kgrl.envs import RabbitHoleEnv
from kgrl.envs.recording import RecordTraces
from kgrl.envs.slot_env import MOST_INVALID
from kgrl.errors import SettingError
from kgrl.graph import TopicGraph
from kgrl.traces import BACK, Outcome
from tests.support.simulated import StubEncoder

Vectors = NDArray[np.float32]


def letters(links: str, **options: object) -> RabbitHoleEnv:
    """The environment on a graph of the topics a to f with links like `"ab bc"`."""
    pairs = [("abcdef".index(a), "abcdef".index(b)) for a, b in links.split()]
    graph = TopicGraph.from_links("abcdef", *zip(*pairs, strict=True))
    return RabbitHoleEnv(graph, np.eye(6, dtype=np.float32), **{"slots": 4, **options})  # type: ignore[arg-type]


@pytest.fixture
def env(tiny_corpus: Corpus, fake_embeddings: Vectors) -> RabbitHoleEnv:
    return RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, slots=6, max_steps=12)


def follow(env: RabbitHoleEnv, *pages: str) -> list[tuple[float, bool, bool]]:
    """Click on pages by title; rewards and endings."""
    steps = []
    for page in pages:
        slot = env._current.topics.tolist().index(env.graph.index(page))
        _, reward, terminated, truncated, info = env.step(slot)
        assert env.title == page and not info["invalid_action"]
        steps.append((reward, terminated, truncated))
    return steps


def play(env: RabbitHoleEnv | RecordTraces[Any, Any], seed: int) -> list[tuple[int, float, bool, bool, Sequence[int]]]:
    """An episode of random clicks."""
    _, info = env.reset(seed=seed)
    rng, over = np.random.default_rng(seed), False
    steps = [(info["topic"], 0.0, False, False, info["slot_topics"].tolist())]
    while not over:
        _, reward, terminated, truncated, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
        steps.append((info["topic"], reward, terminated, truncated, info["slot_topics"].tolist()))
        over = terminated or truncated
    return steps


@pytest.mark.parametrize("slots", [2, 16])  # fewer and more than pages have links
@pytest.mark.parametrize("target", [True, False])
def test_environment_checkers_pass(tiny_corpus: Corpus, fake_embeddings: Vectors, slots: int, target: bool) -> None:
    made = RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, slots=slots, target=target, render_mode="ansi")
    with pytest.warns(UserWarning) as caught:  # every environment not made by gym.make is warned about
        check_env(made, skip_render_check=True)
        sb3_checker.check_env(made)
    serious = [
        str(w.message) for w in caught if "spec" not in str(w.message) and "unconventional" not in str(w.message)
    ]
    assert serious == []


def test_masks_agree_and_name_the_links_of_the_page(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    made = RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, slots=16)
    observation, info = made.reset(seed=0)
    for _ in range(5):
        filled = made.action_masks()
        assert filled.dtype == bool and info["action_mask"].dtype == np.int8
        assert np.array_equal(filled, info["action_mask"]) and np.array_equal(filled, observation["mask"])
        assert sorted(info["slot_topics"][filled]) == tiny_corpus.graph.out(info["topic"]).tolist()
        observation, _, _, _, info = made.step(made.action_space.sample(mask=info["action_mask"]))


def test_same_seed_same_episode(env: RabbitHoleEnv) -> None:
    assert play(env, 3) == play(env, 3)
    assert play(env, 3) != play(env, 4)
    starts = {env.reset(seed=5)[1]["topic"], *(env.reset()[1]["topic"] for _ in range(8))}
    assert len(starts) > 3


def test_the_target_ends_the_episode_with_a_reward() -> None:
    env = letters("ab bc ca bd")
    _, info = env.reset(seed=0, options={"start": 0, "target": 2})
    assert (info["topic"], env.title, info["target"]) == (0, "a", 2)
    assert follow(env, "b", "c") == [(0.0, False, False), (1.0, True, False)]
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)


def test_a_page_without_links_ends_the_episode() -> None:
    env = letters("ab ac cd", target=True)
    env.reset(seed=0, options={"start": 0, "target": 3})
    assert follow(env, "b") == [(0.0, True, False)]
    assert not env.action_masks().any()
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)


def test_too_many_clicks_truncate() -> None:
    env = letters("ab ba", max_steps=3)
    env.reset(seed=0, options={"start": 0})
    assert follow(env, "b", "a", "b") == [(1.0, False, False), (0.0, False, False), (0.0, False, True)]
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)


@pytest.mark.parametrize("links", ["ab bc ca", "ab bc"])  # the target is reached; there is nowhere to go
def test_an_end_with_the_last_click_is_no_truncation(links: str) -> None:
    env = letters(links, max_steps=2)
    env.reset(seed=0, options={"start": 0, **({"target": 2} if "ca" in links else {})})
    assert follow(env, "b", "c")[-1] == (1.0, True, False)


def test_without_a_target_new_pages_are_rewarded() -> None:
    env = letters("ab ba bc cb")
    _, info = env.reset(seed=0, options={"start": 0})
    assert info["target"] == -1
    assert [reward for reward, *_ in follow(env, "b", "a", "b", "c")] == [1.0, 0.0, 0.0, 1.0]


def test_targets_can_be_reached_in_time(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    made = RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, max_steps=2)
    graph = tiny_corpus.graph.to_networkx()
    distances = set()
    for seed in range(40):
        _, info = made.reset(seed=seed)
        names = tiny_corpus.graph.titles
        distances.add(nx.shortest_path_length(graph, names[info["topic"]], names[info["target"]]))
    assert distances == {1, 2}


def test_an_empty_slot_changes_nothing(env: RabbitHoleEnv) -> None:
    before, info = env.reset(seed=1)
    empty = int(info["action_mask"].argmin())
    assert info["action_mask"][empty] == 0
    after, reward, terminated, truncated, again = env.step(empty)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert again["invalid_action"] and again["topic"] == info["topic"]
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(again["slot_topics"], info["slot_topics"])


def test_only_empty_slots_truncate(env: RabbitHoleEnv) -> None:
    empty = int(env.reset(seed=1)[1]["action_mask"].argmin())
    for _ in range(MOST_INVALID - 1):
        *_, truncated, _ = env.step(empty)
        assert not truncated
    with pytest.warns(UserWarning, match="1,000 empty slots"):
        *_, truncated, info = env.step(empty)
    assert truncated and info["stalled"]
    with pytest.raises(ResetNeeded, match="ended"):
        env.step(0)


@pytest.mark.parametrize("slot", [-1, 6])
def test_a_slot_that_does_not_exist_is_an_error(env: RabbitHoleEnv, slot: int) -> None:
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match=f"slot {slot} does not exist"):
        env.step(slot)


def test_of_many_links_some_are_shown_and_the_target_is_among_them() -> None:
    star = TopicGraph.from_links([str(i) for i in range(31)], [0] * 30, range(1, 31))
    env = RabbitHoleEnv(star, np.eye(31, dtype=np.float32), slots=4)
    shown: set[int] = set()
    places = set()
    for seed in range(60):
        _, info = env.reset(seed=seed, options={"target": 17})
        topics = info["slot_topics"].tolist()
        assert len(set(topics)) == 4 and 17 in topics
        places.add(topics.index(17))
        shown |= set(topics)
    assert shown == set(range(1, 31)) and places == {0, 1, 2, 3}


def test_returned_arrays_are_the_callers_own(env: RabbitHoleEnv) -> None:
    observation, info = env.reset(seed=1)
    kept = {name: values.copy() for name, values in observation.items()}
    for values in observation.values():
        values[:] = 0
    info["slot_topics"][:] = -1
    again, *_ = env.step(int(kept["mask"].argmin()))  # an empty slot shows the same again
    assert all(np.array_equal(again[name], kept[name]) for name in kept)


def test_text_is_the_way_so_far() -> None:
    env = letters("ab bc ca", render_mode="ansi")
    env.reset(seed=0, options={"start": 0, "target": 5})
    follow(env, "b", "c")
    assert env.render() == "a > b > c (target: f)"
    plain = letters("ab")
    plain.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert plain.render() is None


def test_before_a_reset_there_is_no_page_and_the_repr_is_one_line() -> None:
    env = letters("ab bc", target=True, max_steps=3)
    with pytest.raises(ResetNeeded, match="reset"):
        _ = env.title
    assert repr(env) == "RabbitHoleEnv(TopicGraph(6 topics, 2 links), target=True, max_steps=3, slots=4)"


def test_wrong_arguments_are_named() -> None:
    for name, value in (("slots", 0), ("max_steps", 0), ("render_mode", "rgb")):
        with pytest.raises(SettingError, match=f"{name} must be .* not {value!r}"):
            letters("ab", **{name: value})
    with pytest.raises(SettingError, match="this one has none"):
        RabbitHoleEnv(TopicGraph.from_links("ab", [], []), np.eye(2, dtype=np.float32))
    env = letters("ab bc")
    for start, target, what in ((2, 0, "'c' has no links"), (0, 0, "both"), (9, 0, "start 9"), (0, 9, "target 9")):
        with pytest.raises(SettingError, match=what):
            env.reset(options={"start": start, "target": target})


def test_episodes_are_recorded_as_traces(env: RabbitHoleEnv, fake_embeddings: Vectors) -> None:
    recording = RecordTraces(env, env.graph)
    outcomes = set()
    for seed in range(12):
        play(recording, seed)
        *_, trace = recording
        trace.check(env.graph)
        opened = [step for step in trace.steps if step != BACK]
        assert trace.target == env.target and set(opened) == set(env.path)
        assert (trace.outcome is Outcome.FINISHED) == (env.path[-1] == env.target)
        outcomes.add(trace.outcome)
    assert outcomes == {Outcome.FINISHED, Outcome.UNFINISHED} and recording.tally.kept == 12
    free = RecordTraces(RabbitHoleEnv(env.graph, fake_embeddings, slots=6, max_steps=5), env.graph)
    play(free, 0)
    (trace,) = free
    trace.check(env.graph)
    assert trace.target is None and trace.outcome is Outcome.OPEN


def test_a_policy_trains_in_it(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    def make() -> RabbitHoleEnv:
        return RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, slots=5, max_steps=6)

    config = PPOConfig(rollout=16, batch=8, epochs=1, hidden=8)
    agent = train_ppo(make_vec_env(make, n_envs=2), steps=32, config=config, progress=False)
    assert agent.slots == 5 and agent.training["steps"] == 32
    assert 0 <= agent.training["mean_return"] <= 1
    both = gym.vector.SyncVectorEnv([make, make])
    observation, _ = both.reset(seed=0)
    assert observation["candidates"].shape[:2] == (2, 5)


def test_gym_make_knows_the_environment(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.retrieval.encoder.Encoder", StubEncoder)
    made = gym.make("kgrl:kgrl/RabbitHole-v0", corpus=tiny_corpus, target=True, slots=5, max_steps=4)
    _, info = made.reset(seed=0)
    assert made.get_wrapper_attr("title") == tiny_corpus.graph.titles[info["topic"]] and info["target"] >= 0
    _, reward, *_ = made.step(made.action_space.sample(mask=info["action_mask"]))
    assert reward in (0.0, 1.0)
    assert made.get_wrapper_attr("action_masks")().shape == (5,)
