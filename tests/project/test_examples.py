"""The examples run, and do what their comments say."""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch.utils.tensorboard import SummaryWriter
from transformers import AutoTokenizer

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.data import load_corpus
from kgrl.envs import CurriculumEnv
from kgrl.envs.graph_observation import GraphObservation
from kgrl.envs.vector.env import CurriculumVectorEnv
from kgrl.errors import MissingDataError
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters

EXAMPLES = Path(__file__).parents[2] / "examples"
Make = Callable[..., Curriculum]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph_network() -> ModuleType:
    return load("graph_network")


@pytest.fixture(scope="module")
def ppo() -> ModuleType:
    return load("ppo_single_file")


@pytest.fixture
def simulated(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], make_tiny_curriculum: Make) -> Make:
    """Curricula whose learner is simulated, with made-up curves."""

    def make(**config: object) -> Curriculum:
        curves = CurveParameters(
            style=0.5, style_tokens=800.0, style_power=1.0, topic=0.8, topic_tokens=200.0, topic_power=1.0,
            link=0.5, similar=0.3, fading=1e-5, noise=0.0,
        )  # fmt: skip
        made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
        levels = ByTopic(4.0, 0.3), ByTopic(1.0, 0.0)
        calibration = Calibration("tiny", tiny_corpus.fingerprint, "none", 1.0, *levels, curves, (), *made_up)
        curriculum = make_tiny_curriculum(**config)
        learner = SimulatedLearner(tiny_corpus, calibration=calibration, embeddings=fake_embeddings)
        parts = tiny_corpus, learner, curriculum.state.research.retriever, fake_embeddings, curriculum.reward
        return Curriculum(*parts, curriculum.config)

    return make


def test_the_graph_network_trains(graph_network: ModuleType, make_tiny_curriculum: Make) -> None:
    env = GraphObservation(CurriculumEnv(make_tiny_curriculum(goal="Nature", budget_tokens=1500), slots=6))
    returns = graph_network.train(env, graph_network.Args(episodes=3))
    assert len(returns) == 3 and np.isfinite(returns).all()


def test_the_graph_network_learns_to_tell_nodes_apart(graph_network: ModuleType, make_tiny_curriculum: Make) -> None:
    """A reward for topics of one category is found by a node's features."""

    def is_nature(expansion: object) -> float:
        return float(curriculum.corpus.graph.categories[expansion.topic] == "Nature")  # type: ignore[attr-defined]

    curriculum = make_tiny_curriculum(is_nature, goal="Nature", budget_tokens=2500)
    env = GraphObservation(CurriculumEnv(curriculum, slots=8))
    returns = graph_network.train(env, graph_network.Args(episodes=40, learning_rate=1e-2))
    assert np.mean(returns[-10:]) > np.mean(returns[:10])


def test_renumbering_the_slots_renumbers_what_ppo_thinks_of_them(ppo: ModuleType, simulated: Make) -> None:
    envs = CurriculumVectorEnv(simulated(), 2, slots=50)
    observation = ppo.tensors(envs.reset(seed=0)[0])
    agent = ppo.Agent(envs, width=8)
    choice, value = agent(observation)
    order = torch.randperm(50)
    shuffled = {name: part[:, order] if name in ("candidates", "topics", "mask") else part
                for name, part in observation.items()}  # fmt: skip
    again, same = agent(shuffled)
    torch.testing.assert_close(again.probs, choice.probs[:, order])
    torch.testing.assert_close(same, value)
    assert not choice.probs[observation["mask"] == 0].any()


def test_advantages_are_sums_of_discounted_errors_within_an_episode(ppo: ModuleType) -> None:
    rng, args = np.random.default_rng(0), ppo.Args(discount=0.9, gae_lambda=0.8)
    rewards, values = (torch.as_tensor(rng.normal(size=(5, 1))) for _ in range(2))
    dones = torch.tensor([[0.0], [1.0], [0.0], [0.0], [0.0]])
    last = torch.tensor([0.7], dtype=torch.float64)
    found = ppo.advantages_of(rewards, values, dones, last, args)[:, 0]
    after = [*values[1:, 0].tolist(), 0.7]
    after[1] = 0.0  # the episode ends with the second step
    errors = [r + 0.9 * v - own for r, v, own in zip(rewards[:, 0].tolist(), after, values[:, 0].tolist(), strict=True)]
    wanted = [errors[0] + 0.72 * errors[1], errors[1]]
    wanted += [sum(0.72 ** (k - t) * errors[k] for k in range(t, 5)) for t in (2, 3, 4)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_ppo_trains_on_a_vector_of_environments(ppo: ModuleType, simulated: Make, tmp_path: Path) -> None:
    args = ppo.Args(num_envs=4, num_steps=16, total_steps=192, minibatches=2, epochs=2, width=8)
    envs = CurriculumVectorEnv(simulated(budget_tokens=1500), 4, slots=6, autoreset_mode=AutoresetMode.SAME_STEP)
    with SummaryWriter(str(tmp_path)) as writer, Progress(console=Console(file=io.StringIO())) as progress:
        history = ppo.train(envs, args, writer, progress)
    assert history and np.isfinite(history).all()
    assert list(tmp_path.glob("events*"))


@pytest.mark.parametrize("name", ["rl_sampler", "trainer"])
def test_an_example_of_other_trainers_has_at_most_forty_lines(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_the_sampler_of_the_example_finds_what_the_model_learns_from(capsys: pytest.CaptureFixture[str]) -> None:
    sampler = load("rl_sampler").train(steps=60)
    chances = sampler.chances()
    assert chances["sums of 4 digits"] > chances["products of 9 digits"]
    assert capsys.readouterr().out.count("sums of 2 digits") == 2


def test_the_trainer_of_the_example_trains_and_goes_on(base_folder: Path, tmp_path: Path) -> None:
    model, out, trainer = tmp_path / "model", tmp_path / "trained", load("trainer")
    shutil.copytree(base_folder, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    tokenizer.save_pretrained(model)
    short = trainer.train(str(model), out, steps=20, corpus="invented:60")
    assert len(short.losses) == 4
    longer = trainer.train(str(model), out, steps=30, corpus="invented:60")
    assert longer.losses[:4] == short.losses and len(longer.losses) == 6
    assert longer.picked[:5] == short.picked[:5]


@pytest.mark.integration
def test_both_examples_run_on_vital_articles(graph_network: ModuleType, ppo: ModuleType, tmp_path: Path) -> None:
    try:
        load_corpus("vital")
    except MissingDataError as error:
        pytest.skip(str(error))
    graph_network.main(graph_network.Args(episodes=2, budget_tokens=4000))
    args = ppo.Args(num_envs=8, num_steps=16, total_steps=256, run=tmp_path)
    assert np.isfinite(ppo.main(replace(args, budget_tokens=8000))).all()
