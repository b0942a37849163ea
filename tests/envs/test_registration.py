"""Environments by their ids: one list of keywords, the same environment from `make` and `make_vec`, errors at once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env

from kgrl.benchmark.environments import make_task_env
from kgrl.corpus import Corpus
from kgrl.data import save_folder
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv, make_curriculum_env, make_rabbit_hole_env
from kgrl.envs.curriculum_env import load_env_corpus
from kgrl.errors import MissingDataError, SettingError, UnknownNameError
from tests.support.simulated import StubEncoder, made_up_calibration

Vectors = NDArray[np.float32]
CURRICULUM, RABBIT_HOLE = "kgrl:kgrl/Curriculum-v0", "kgrl:kgrl/RabbitHole-v0"
TASKS = ("Coverage", "Target", "Limited", "Noisy", "Forgetting", "Deceptive", "Invented")


@pytest.fixture
def keywords(tiny_corpus: Corpus, fake_embeddings: Vectors, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keywords of small environments whose learner is simulated."""
    monkeypatch.setattr("kgrl.retrieval.encoder.Encoder", StubEncoder)
    options = {"calibration": made_up_calibration(tiny_corpus), "embeddings": fake_embeddings}
    small = {"budget_tokens": 1_500, "expansion_tokens": 200, "neighbourhood": 3, "nucleus_size": 2, "slots": 6}
    return {"corpus": tiny_corpus, "learner_options": options, **small}


@pytest.fixture
def no_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a corpus is loaded, which takes seconds to minutes."""

    def load(*names: object, **options: object) -> None:
        pytest.fail(f"loaded {names}")

    monkeypatch.setattr("kgrl.data.load.load_corpus", load)
    monkeypatch.setattr("kgrl.benchmark.tasks.load_corpus", load)


def unwrapped(env: gym.Env[Any, Any]) -> CurriculumEnv:
    assert isinstance(env.unwrapped, CurriculumEnv)
    return env.unwrapped


@pytest.mark.parametrize("mode", [None, "human", "ansi", "rgb_array", "ansi_list", "rgb_array_list"])
@pytest.mark.parametrize("made", [CURRICULUM, RABBIT_HOLE, "kgrl:kgrl/Coverage-v0"])
def test_every_render_mode(
    made: str, mode: str | None, keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("kgrl.retrieval.encoder.Encoder", StubEncoder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    given = {"corpus": keywords["corpus"], "slots": 6} if made == RABBIT_HOLE else keywords
    options = {"learner": "simulated"} if "Coverage" in made else {}
    env = gym.make(made, render_mode=mode, **given, **options)  # a mode that is not known would be warned of
    if mode is not None and not mode.endswith("_list"):  # lists are empty then
        with pytest.raises(gym.error.ResetNeeded):
            env.render()
    env.reset(seed=0)
    env.step(0)
    assert env.render_mode == mode and bool(capsys.readouterr().out) == (mode == "human")
    if mode is not None and mode.endswith("_list"):
        frames = env.render()
        assert isinstance(frames, list) and len(frames) == 2
    elif mode is not None:
        assert (env.render() is None) == (mode == "human")
    env.close()


def test_the_checker_of_gymnasium_tries_every_mode(keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    check_env(gym.make(CURRICULUM, **keywords).unwrapped)


def test_stable_baselines_makes_it_by_its_id(keywords: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.retrieval.encoder.Encoder", StubEncoder)
    for made, options in ((CURRICULUM, keywords), (RABBIT_HOLE, {"corpus": keywords["corpus"], "slots": 6})):
        envs = make_vec_env(made, n_envs=2, env_kwargs=options)  # with render_mode="rgb_array"
        assert np.asarray(envs.reset()["mask"]).shape == (2, 6)
        assert np.asarray(envs.render()).ndim == 3
        envs.close()


def test_make_and_make_vec_make_the_same(keywords: dict[str, Any]) -> None:
    single = gym.make(CURRICULUM, **keywords)
    vectors = [gym.make_vec(CURRICULUM, num_envs=2, **keywords)]
    vectors += [gym.make_vec(CURRICULUM, num_envs=2, vectorization_mode="sync", **keywords)]
    assert isinstance(vectors[0].unwrapped, CurriculumVectorEnv)
    _, info = single.reset(seed=4)
    observed = [envs.reset(seed=4) for envs in vectors]
    for observation, infos in observed:
        np.testing.assert_array_equal(infos["slot_topics"][0], info["slot_topics"])
        np.testing.assert_allclose(observation["candidates"], observed[0][0]["candidates"], atol=1e-5)
    assert repr(unwrapped(single)).startswith("CurriculumEnv(corpus='tiny', learner='simulated', ")
    for envs in vectors:
        envs.close()


def test_asynchronous_vectors(keywords: dict[str, Any]) -> None:
    options = {"context": "fork"}  # workers that are started afresh would have the real encoder
    envs = gym.make_vec(CURRICULUM, num_envs=2, vectorization_mode="async", vector_kwargs=options, **keywords)
    envs.reset(seed=0)
    *_, info = envs.step(np.array([0, 1]))
    assert info["topic"].shape == (2,) and (info["topic"] >= 0).all()
    envs.close()


def test_vectors_take_a_render_mode(keywords: dict[str, Any]) -> None:
    envs = gym.make_vec(CURRICULUM, num_envs=2, render_mode="ansi", **keywords)
    envs.reset(seed=0)
    assert envs.render_mode == "ansi" and len(envs.render() or ()) == 2
    assert repr(envs.unwrapped) == "CurriculumVectorEnv(kgrl/Curriculum-v0, num_envs=2)"


@pytest.mark.usefixtures("no_corpus")
class TestErrorsComeAtOnce:
    """Before a corpus is loaded."""

    @pytest.mark.parametrize("learner", ["scratch", "lora"])
    def test_learners_that_cannot_be_batched(self, learner: str) -> None:
        """With the two ways out."""
        told = f'not of \'{learner}\'; pass vectorization_mode="sync" to make_vec.* or learner="simulated"'
        with pytest.raises(SettingError, match=told):
            gym.make_vec(CURRICULUM, num_envs=2, learner=learner)

    @pytest.mark.parametrize(
        ("keywords", "told"),
        [
            ({"learner": "scrach"}, "unknown learner 'scrach'; did you mean 'scratch'"),
            (
                {"budget_token": 3_000},
                "unknown keyword of the environment 'budget_token'; did you mean 'budget_tokens'",
            ),
            ({"auto_reset_mode": 1}, "did you mean 'autoreset_mode'"),
            ({"reward": "prediction-gain"}, 'vector environments do not measure; pass vectorization_mode="sync"'),
            ({"stages": ("Nature", "Craft")}, "vector environments have no stages; use kgrl/Forgetting-v0"),
            ({"slots": 0}, "slots must be at least 1"),
            ({"render_mode": "human"}, 'render_mode "human" with gym.make'),
            ({"budget_tokens": 1}, "budget_tokens must be at least 2"),
        ],
    )
    def test_of_vectors(self, keywords: dict[str, Any], told: str) -> None:
        """They name the keyword and the way out."""
        with pytest.raises((SettingError, UnknownNameError), match=told):
            gym.make_vec(CURRICULUM, num_envs=2, **keywords)

    @pytest.mark.parametrize("made", [CURRICULUM, *(f"kgrl:kgrl/{task}-v0" for task in TASKS)])
    @pytest.mark.parametrize(
        ("keywords", "told"),
        [
            (
                {"budget_token": 3_000},
                "unknown keyword of the environment 'budget_token'; did you mean 'budget_tokens'",
            ),
            ({"learner_option": {}}, "did you mean 'learner_options'"),
        ],
    )
    def test_unknown_keywords(self, made: str, keywords: dict[str, Any], told: str) -> None:
        """All environments that teach have one list of keywords."""
        with pytest.raises(UnknownNameError, match=told) as caught:
            gym.make(made, **keywords)
        assert {"corpus", "learner", "reward", "slots", "render_mode", "goal", "seed"} <= set(caught.value.known)

    def test_of_link_navigation(self) -> None:
        """It has a list of its own."""
        with pytest.raises(UnknownNameError, match="'max_step'; did you mean 'max_steps'"):
            gym.make(RABBIT_HOLE, max_step=3)
        with pytest.raises(SettingError, match="slots must be at least 1"):
            make_rabbit_hole_env(slots=0)

    def test_of_single_environments(self) -> None:
        """Rewards and numbers are looked at first."""
        with pytest.raises(UnknownNameError, match="did you mean 'mean-prediction-gain'"):
            make_curriculum_env(reward="mean-prediction-gian")
        with pytest.raises(SettingError, match="render_mode must be one of"):
            make_curriculum_env(render_mode="rgb")


def test_options_are_for_learners_by_name(keywords: dict[str, Any], make_tiny_curriculum: Callable[..., Any]) -> None:
    with pytest.raises(SettingError, match="learner given by name"):
        gym.make(CURRICULUM, **{**keywords, "learner": make_tiny_curriculum().learner})


def test_a_corpus_without_a_calibration_can_be_taught_to_a_real_learner(tiny_corpus: Corpus) -> None:
    told = r"no calibration .*'tiny'.* or teach a small model itself: learner=\"scratch\""
    with pytest.raises(MissingDataError, match=told):
        gym.make(CURRICULUM, corpus=tiny_corpus)


def test_tasks_take_the_keywords_of_curricula(keywords: dict[str, Any]) -> None:
    task = unwrapped(gym.make("kgrl:kgrl/Coverage-v0", learner="simulated", **keywords))
    assert task.curriculum.config.budget_tokens == 1_500 and task.curriculum.learner.kind == "simulated"  # type: ignore[attr-defined]
    assert task.curriculum.reward is not None and task.curriculum.reward.name == "mean-prediction-gain"
    other = unwrapped(gym.make("kgrl:kgrl/Coverage-v0", learner="simulated", reward="self-prediction-gain", **keywords))
    assert other.curriculum.reward is not None and other.curriculum.reward.name == "self-prediction-gain"


def test_a_task_keeps_its_own_settings(keywords: dict[str, Any]) -> None:
    stages = unwrapped(gym.make("kgrl:kgrl/Forgetting-v0", learner="simulated", **keywords)).curriculum.config.stages
    assert stages == ("Mathematics", "Craft", "Nature")
    del keywords["neighbourhood"]
    options = {"width": 16, "heads": 2, "layers": 1, "vocabulary": 300}
    env = gym.make("kgrl:kgrl/Noisy-v0", **{**keywords, "learner_options": options, "seed": 3})
    curriculum = unwrapped(env).curriculum
    assert curriculum.config.neighbourhood == 1 and curriculum.config.seed == 3
    assert curriculum.learner.kind == "scratch"  # type: ignore[attr-defined]
    assert curriculum.learner.model.shape.width == 16  # type: ignore[attr-defined]


def test_a_task_is_made_once_for_a_corpus_and_says_so(
    keywords: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, logger="kgrl")
    given = {name: value for name, value in keywords.items() if name != "corpus"}
    given |= {"learner_options": {"width": 16, "heads": 2, "layers": 1, "vocabulary": 300}}
    first, second = (make_task_env("noisy", keywords["corpus"], **given) for _ in range(2))
    assert first.curriculum.corpus is second.curriculum.corpus
    assert first.curriculum.learner is not second.curriculum.learner
    told = caplog.text
    assert (
        "making the task 'noisy'" in told and "is ready after" in told and "making a curriculum on 'tiny-noisy'" in told
    )
    save_folder(keywords["corpus"], tmp_path / "mine")
    before = make_task_env("coverage", str(tmp_path / "mine"), **given)
    (tmp_path / "mine" / "links.tsv").write_text("")
    after = make_task_env("coverage", str(tmp_path / "mine"), **given)
    assert before.curriculum.corpus.graph.n_links and not after.curriculum.corpus.graph.n_links


def test_a_corpus_is_loaded_once_and_a_folder_again_when_it_changes(tiny_corpus: Corpus, tmp_path: Path) -> None:
    assert load_env_corpus(tiny_corpus) is tiny_corpus
    assert load_env_corpus("invented:60") is load_env_corpus("invented:60")
    save_folder(tiny_corpus, tmp_path / "mine")
    before = load_env_corpus(str(tmp_path / "mine"))
    assert load_env_corpus(str(tmp_path / "mine")) is before
    (tmp_path / "mine" / "links.tsv").write_text("")
    assert not load_env_corpus(str(tmp_path / "mine")).graph.n_links


ASYNCHRONOUS = """
import gymnasium as gym
envs = gym.make_vec(
    "kgrl:kgrl/Curriculum-v0", num_envs=2, vectorization_mode="async", vector_kwargs={"context": "fork"},
    corpus="invented:60", learner="scratch", budget_tokens=3000,
)
envs.reset(seed=0)
print(envs.step([0, 1])[1])
envs.close()
"""


@pytest.mark.integration
def test_forked_workers_do_not_wait_for_threads_that_are_gone() -> None:
    """The first environment, which Gymnasium makes to look at its spaces, has used several threads by then."""
    done = subprocess.run([sys.executable, "-c", ASYNCHRONOUS], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.startswith("[")


@pytest.mark.integration
def test_the_defaults_of_make_and_make_vec_agree() -> None:
    single, vector = gym.make(CURRICULUM), gym.make_vec(CURRICULUM, num_envs=2)
    _, info = single.reset(seed=4)
    _, infos = vector.reset(seed=4)
    np.testing.assert_array_equal(infos["slot_topics"][0], info["slot_topics"])
    learners = [unwrapped(single).curriculum.learner, vector.unwrapped.curriculum.learner]  # type: ignore[attr-defined]
    assert [learner.kind for learner in learners] == ["simulated"] * 2
