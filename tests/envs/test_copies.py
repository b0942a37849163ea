"""A deep copy in the middle of an episode goes on as the original would, and neither notices the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv, RabbitHoleEnv, Variety
from kgrl.envs.graph_observation import GraphObservation
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.base import Learner
from kgrl.learners.plugins import (
    ElasticWeights,
    FreezeLayers,
    GradientProjection,
    Isolation,
    OrthogonalSlots,
    Plugin,
    ReLoRA,
    Replay,
    TopK,
)
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import MeanPredictionGain, PredictionGain, SelfPredictionGain, TokenCost
from tests.support.simulated import simulated_curriculum

Vectors = NDArray[np.float32]
MakeEnv = Callable[..., CurriculumEnv]


@pytest.fixture
def make(tiny_corpus: Corpus, fake_embeddings: Vectors) -> MakeEnv:
    """Makes environments on `tiny_corpus` around a learner."""

    def made(learner: Learner, reward: Any = "mean-prediction-gain", **config: Any) -> CurriculumEnv:
        settings = {"budget_tokens": 2_000, "expansion_tokens": 150, "neighbourhood": 3, "nucleus_size": 2, **config}
        ids = indexed_passages(tiny_corpus)
        retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
        curriculum = Curriculum(tiny_corpus, learner, retriever, fake_embeddings, reward, CurriculumConfig(**settings))
        return CurriculumEnv(curriculum, slots=6)

    return made


def filled(env: gym.Env[Any, Any], rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(env.get_wrapper_attr("action_masks")())))


def steps(env: gym.Env[Any, Any], number: int, seed: int = 0) -> list[Any]:
    """The results of some steps of random valid actions, resets included."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(number):
        observation, reward, terminated, truncated, info = env.step(filled(env, rng))
        seen.append((observation, reward, terminated, truncated, info))
        if terminated or truncated:
            seen.append(env.reset())
    return seen


def losses(env: gym.Env[Any, Any]) -> Vectors:
    curriculum = env.unwrapped.curriculum  # type: ignore[attr-defined]
    return curriculum.learner.losses(curriculum.corpus.select(np.arange(0, len(curriculum.corpus), 7)))


def check_copy(env: gym.Env[Any, Any], number: int = 5) -> None:
    """Copy after two steps; let the copy go another way first, then both the same way."""
    env.reset(seed=3)
    steps(env, 2)
    twin, other = copy.deepcopy(env), copy.deepcopy(env)
    before = losses(env)
    steps(other, number, seed=1)
    np.testing.assert_array_equal(losses(env), before)
    np.testing.assert_array_equal(losses(twin), before)
    seen = steps(env, number)
    after = losses(env)
    np.testing.assert_array_equal(losses(twin), before)
    np.testing.assert_equal(steps(twin, number), seen)
    np.testing.assert_array_equal(losses(twin), after)
    assert not np.array_equal(losses(other), after)


def test_a_simulated_learner(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    env = CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=6)
    check_copy(env, 20)  # through the end of the episode
    twin = copy.deepcopy(env)
    ours, theirs = env.curriculum, twin.curriculum
    assert theirs.corpus is ours.corpus and theirs.state.research is ours.state.research
    assert theirs.learner.related is ours.learner.related  # type: ignore[attr-defined]
    assert twin._features is not None and env._features is not None
    assert twin._features.tables is env._features.tables and twin._features.goals is env._features.goals
    assert theirs.teacher.state is theirs.state is not ours.state


def test_a_copy_can_be_made_before_the_first_reset(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    env = CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=6)
    twin = copy.deepcopy(env)
    np.testing.assert_equal(twin.reset(seed=1), env.reset(seed=1))


@pytest.mark.parametrize("reward", [MeanPredictionGain() + SelfPredictionGain() - 1e-4 * TokenCost(), PredictionGain()])
def test_a_scratch_learner(tiny_corpus: Corpus, make: MakeEnv, reward: Any) -> None:
    check_copy(make(ScratchLearner(tiny_corpus, width=16, heads=2, layers=1, vocabulary=300), reward))


@pytest.mark.parametrize(
    "plugin",
    [
        lambda: Replay(share=0.3),
        ElasticWeights,
        lambda: TopK(share=0.1),
        lambda: FreezeLayers(keep=1),
        lambda: GradientProjection(rank=2, refresh=3),
        "isolation",
    ],
)
def test_plug_ins_hold_the_copied_learner(
    tiny_corpus: Corpus, fake_embeddings: Vectors, make: MakeEnv, plugin: Callable[[], Plugin] | str
) -> None:
    made = Isolation(fake_embeddings) if isinstance(plugin, str) else plugin()
    learner = ScratchLearner(tiny_corpus, width=16, heads=2, layers=1, vocabulary=300, plugins=[made])
    env = make(learner)
    check_copy(env)
    twin = copy.deepcopy(env).curriculum.learner
    assert isinstance(twin, ScratchLearner) and twin.plugins[0].learner is twin


@pytest.mark.parametrize("plugins", [(), (lambda: ReLoRA(every=3),), (lambda: OrthogonalSlots(slots=20),)])
def test_a_lora_learner(
    tiny_corpus: Corpus, make: MakeEnv, base_folder: Path, plugins: tuple[Callable[[], Plugin], ...]
) -> None:
    learner = LoraLearner(
        tiny_corpus,
        model=str(base_folder),
        rank=20 if plugins else 2,
        dtype=torch.float32,
        plugins=[plugin() for plugin in plugins],
        learning_rate=5e-3,
    )
    check_copy(make(learner))


def test_frozen_weights_are_shared_until_a_merge(tiny_corpus: Corpus, make: MakeEnv, base_folder: Path) -> None:
    relora = ReLoRA(every=2)
    learner = LoraLearner(tiny_corpus, model=str(base_folder), rank=2, dtype=torch.float32, plugins=[relora])
    env = make(learner)
    env.reset(seed=0)
    assert relora.merges
    first = copy.deepcopy(env)
    names = [name for name, weight in learner.model.named_parameters() if not weight.requires_grad]
    twin = dict(first.curriculum.learner.model.named_parameters())  # type: ignore[attr-defined]
    own = dict(learner.model.named_parameters())
    assert names and all(twin[name].data_ptr() == own[name].data_ptr() for name in names)
    trained = [name for name in own if name not in names]
    assert trained and not any(twin[name].data_ptr() == own[name].data_ptr() for name in trained)
    before = losses(env)
    steps(first, 2)
    np.testing.assert_array_equal(losses(env), before)
    merged = [name for name in names if twin[name].data_ptr() != own[name].data_ptr()]
    assert merged and all("base_layer" in name for name in merged)


def test_saved_states_of_a_copy_are_its_own(tiny_corpus: Corpus) -> None:
    learner = ScratchLearner(tiny_corpus, width=16, heads=2, layers=1, vocabulary=300)
    passages = tiny_corpus.select(np.arange(8))
    learner.learn(passages, 300)
    twin = copy.deepcopy(learner)
    snapshot = twin.snapshot()
    twin.learn(passages, 300)
    learner.learn(passages, 300)
    np.testing.assert_array_equal(twin.trained_weights(), learner.trained_weights())
    np.testing.assert_array_equal(twin.loss_gradient(passages), learner.loss_gradient(passages))
    twin.restore(snapshot)
    assert not np.array_equal(twin.trained_weights(), learner.trained_weights())
    twin.learn(passages, 300)
    np.testing.assert_array_equal(twin.trained_weights(), learner.trained_weights())


def test_wrapped_environments(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    env = GraphObservation(CurriculumEnv(simulated_curriculum(tiny_corpus, fake_embeddings), slots=6))
    check_copy(gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(env, 50)), 3)
    twin = copy.deepcopy(env)
    assert twin.curriculum is twin.unwrapped.curriculum is not env.curriculum  # type: ignore[attr-defined]
    assert twin.curriculum.corpus is env.curriculum.corpus


def test_link_navigation(tiny_corpus: Corpus, fake_embeddings: Vectors) -> None:
    env = RabbitHoleEnv(tiny_corpus.graph, fake_embeddings, target=True, slots=6)
    env.reset(seed=2)
    steps(env, 2)
    twin, other = copy.deepcopy(env), copy.deepcopy(env)
    assert twin._tables is env._tables and twin.graph is env.graph
    steps(other, 5, seed=1)
    np.testing.assert_equal(steps(twin, 30), steps(env, 30))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_the_vector_environment(
    tiny_corpus: Corpus, fake_embeddings: Vectors, mode: AutoresetMode, varied: bool, render_mode: str | None
) -> None:
    variety = Variety(tasks=4, hidden=0.2, held_out=None) if varied else None
    curriculum = simulated_curriculum(tiny_corpus, fake_embeddings)
    envs = CurriculumVectorEnv(curriculum, 3, slots=6, autoreset_mode=mode, variety=variety, render_mode=render_mode)

    def go(some: CurriculumVectorEnv, number: int, seed: int) -> list[Any]:
        rng, mask, seen = np.random.default_rng(seed), some._state.shown.mask, []
        for _ in range(number):
            step = some.step((rng.random(mask.shape) * (mask > 0)).argmax(axis=1))
            mask = step[-1]["action_mask"]
            final = step[-1].pop("final_obs", np.empty(0)).tolist()  # NumPy does not compare arrays of dictionaries
            seen.append((step, final, some.render() if render_mode else None))
        return seen

    envs.reset(seed=7)
    go(envs, 4, 0)
    twin, other = copy.deepcopy(envs), copy.deepcopy(envs)
    assert twin.curriculum.corpus is curriculum.corpus and twin._fixed.tasks is envs._fixed.tasks
    go(other, 10, 1)
    other.close()  # its threads alone end
    expected = go(envs, 30, 2)
    np.testing.assert_equal(go(twin, 30, 2), expected)
    assert twin.expansions == envs.expansions
    envs.close()
    go(twin, 1, 3)
