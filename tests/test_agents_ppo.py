"""The curiosity policy is indifferent to slot order, learns, and is saved without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils import seeding
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env

from kgrl.agents import PPOAgent, make_agent, train_ppo
from kgrl.agents.policy import CandidateScorer, PolicyConfig
from kgrl.agents.ppo import CuriosityActorCritic, PPOConfig, _even_batch
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.envs import FEATURES, GLOBAL_FEATURES, CurriculumEnv
from kgrl.errors import KgrlError, MissingDataError
from kgrl.testing import AgentContract
from kgrl.view import Agent

Make = Callable[..., Curriculum]
SMALL = PPOConfig(rollout=16, batch=8, epochs=2, hidden=8)


def scorer(seed: int = 0) -> CandidateScorer:
    """A policy with scores far from uniform, as after training."""
    torch.manual_seed(seed)
    made = CandidateScorer(PolicyConfig(hidden=8))
    torch.nn.init.normal_(made.score.weight)
    return made.eval()


def inputs(seed: int, slots: int, filled: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    mask = (torch.arange(slots) < filled).float().unsqueeze(0)
    candidates = torch.randn(1, slots, len(FEATURES), generator=made)
    return candidates, mask, torch.randn(1, len(GLOBAL_FEATURES), generator=made)


@given(st.integers(0, 1_000), st.integers(1, 12), st.data())
def test_permuting_slots_permutes_scores(seed: int, slots: int, data: st.DataObject) -> None:
    candidates, mask, overall = inputs(seed, slots, data.draw(st.integers(1, slots)))
    order = torch.tensor(data.draw(st.permutations(range(slots))))
    network = scorer()
    with torch.no_grad():
        logits, value = network(candidates, mask, overall)
        moved, same = network(candidates[:, order], mask[:, order], overall)
    assert torch.allclose(moved, logits[:, order], rtol=1e-4, atol=1e-5)
    assert torch.allclose(same, value, rtol=1e-4, atol=1e-5)


def test_empty_slots_change_nothing_and_are_never_taken() -> None:
    candidates, mask, overall = inputs(3, 9, 5)
    network = scorer()
    with torch.no_grad():
        logits, value = network(candidates, mask, overall)
        alone, same = network(candidates[:, :5], mask[:, :5], overall)
    assert torch.allclose(logits[:, :5], alone, atol=1e-5) and torch.allclose(value, same, atol=1e-5)
    assert logits.softmax(1)[0, 5:].sum() == 0


def test_a_state_without_candidates_has_a_finite_value() -> None:
    assert torch.isfinite(scorer()(*inputs(0, 4, 0))[1]).all()


def test_scores_depend_on_the_candidate_the_others_and_the_whole() -> None:
    candidates, mask, overall = inputs(1, 3, 3)
    network = scorer()
    with torch.no_grad():
        logits = network(candidates, mask, overall)[0]
        other = candidates.clone()
        other[0, 2] += 1
        assert not torch.allclose(network(other, mask, overall)[0][0, :2], logits[0, :2])
        assert not torch.allclose(network(candidates, mask, overall + 1)[0], logits)
    assert len(set(logits[0].tolist())) == 3


def test_training_updates_the_policy_logs_and_repeats(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    def train(log_dir: Path | None = None) -> PPOAgent:
        env = CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=6)
        return train_ppo(env, steps=32, seed=3, config=SMALL, log_dir=log_dir, progress=False)

    first, second = train(tmp_path), train()
    assert first.training["steps"] == 32 and first.training["mean_return"] is not None
    for name, weights in first.scorer.state_dict().items():
        assert torch.equal(weights, second.scorer.state_dict()[name])
    assert any(not torch.equal(p, torch.zeros_like(p)) for n, p in first.scorer.named_parameters() if "bias" in n)
    assert list(tmp_path.rglob("events.out.tfevents*"))


def test_training_in_a_vector_environment_and_through_wrappers(make_tiny_curriculum: Make) -> None:
    def make() -> CurriculumEnv:
        return CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=6)

    assert train_ppo(make_vec_env(make, n_envs=2), steps=16, config=SMALL, progress=False).slots == 6
    wrapped = gym.wrappers.RecordEpisodeStatistics(make())
    assert train_ppo(wrapped, steps=9, config=SMALL, progress=False).training["steps"] == 9


def test_training_learns_to_pick_what_is_rewarded(make_tiny_curriculum: Make) -> None:
    def in_mathematics(expansion: object) -> float:
        return float(curriculum.corpus.graph.categories[expansion.topic] == "Mathematics")  # type: ignore[attr-defined]

    curriculum = make_tiny_curriculum(in_mathematics, goal="Mathematics", budget_tokens=1_600)
    env = CurriculumEnv(curriculum, slots=32)
    config = PPOConfig(rollout=128, batch=64, epochs=10, learning_rate=3e-3, entropy=0.0, hidden=32)
    agent = train_ppo(env, steps=768, seed=0, config=config, progress=False)

    def total(agent: Agent) -> float:
        return sum(step.reward or 0.0 for step in curriculum.run(agent))

    assert total(agent) > 1.2 * np.mean([_play_random(curriculum, seed) for seed in range(20)])


def _play_random(curriculum: Curriculum, seed: int) -> float:
    agent, total = make_agent("random"), 0.0
    curriculum.start(seed)
    while not curriculum.out_of_budget and not curriculum.exhausted:
        total += curriculum.expand(agent.choose(curriculum.view)).reward or 0.0
    return total


@given(st.integers(2, 500))
def test_no_minibatch_holds_a_single_step(total: int) -> None:
    size = _even_batch(total, 32)
    assert size >= 2 and total % size != 1
    assert size <= 63


def test_saved_policies_choose_the_same_and_hold_no_pickle(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    agent = PPOAgent(scorer(), slots=5, training={"steps": 7})
    agent.save(tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"policy.json", "policy.safetensors"}
    again = make_agent(str(tmp_path / "mine"))
    assert isinstance(again, PPOAgent) and (again.slots, again.training) == (5, {"steps": 7})
    curriculum = make_tiny_curriculum()
    chosen = [[step.topic for step in curriculum.run(one)] for one in (agent, again)]
    assert chosen[0] == chosen[1]


def test_a_policy_for_other_features_is_refused_by_name(tmp_path: Path) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**about, "feature_version": 99}))
    with pytest.raises(KgrlError, match="feature version 99, this version of kgrl 1"):
        make_agent(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps({**about, "hidden": 9}))
    with pytest.raises(KgrlError, match="does not fit"):
        make_agent(tmp_path)
    (tmp_path / "policy.json").write_text("{")
    with pytest.raises(KgrlError, match="does not describe a policy"):
        make_agent(tmp_path)
    with pytest.raises(MissingDataError, match="no trained policy"):
        PPOAgent.load(tmp_path / "nowhere")


def test_the_agent_sees_what_the_environment_shows(make_tiny_curriculum: Make) -> None:
    """The same seed and history give the policy the same picks inside the environment and outside of it."""
    agent = PPOAgent(scorer(), slots=6)
    env = CurriculumEnv(make_tiny_curriculum(), slots=6)
    observation, _ = env.reset(seed=11)
    other = make_tiny_curriculum()
    other.start(int(seeding.np_random(11)[0].integers(2**31)))
    agent.reset(other.view)
    for _ in range(5):
        batch = (torch.as_tensor(observation[n]).unsqueeze(0) for n in ("candidates", "mask", "global"))
        slot = int(agent.scorer(*batch)[0].argmax())
        topic = agent.choose(other.view)
        observation, *_, info = env.step(slot)
        assert info["topic"] == topic
        agent.observe(other.expand(topic))


def test_sampling_draws_from_the_curriculums_generator(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    fresh = PPOAgent(CandidateScorer(PolicyConfig(hidden=8)), slots=16, sample=True)

    def run(seed: int) -> int:
        curriculum.start(seed)
        fresh.reset(curriculum.view)
        return fresh.choose(curriculum.view)

    assert run(1) == run(1)
    assert len({run(seed) for seed in range(20)}) > 3


def test_the_actor_critic_masks_by_the_observation_alone(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(), slots=32)
    policy = CuriosityActorCritic(env.observation_space, env.action_space, lambda _: 1e-3)  # type: ignore[arg-type]
    observation, _ = env.reset(seed=0)
    action, _ = policy.predict(observation)
    assert env.action_masks()[int(action)]
    batch, _ = policy.obs_to_tensor(observation)
    chances = policy.get_distribution(batch).distribution.probs[0].detach().numpy()
    assert chances[~env.action_masks()].sum() == 0


class TestContract(AgentContract):
    """A trained agent keeps the contract."""

    @pytest.fixture
    def agent(self) -> Agent:
        return PPOAgent(scorer(), slots=6)

    @pytest.fixture
    def curriculum(self, make_tiny_curriculum: Make) -> Curriculum:
        return make_tiny_curriculum()


@pytest.mark.integration
def test_training_on_the_scratch_learner(tiny_corpus: Corpus, tmp_path: Path) -> None:
    settings = {"budget_tokens": 1_500, "expansion_tokens": 200, "nucleus_size": 3, "slots": 16}
    env = gym.make("kgrl:kgrl/Curriculum-v0", corpus=tiny_corpus, learner="scratch", **settings)
    agent = train_ppo(env, steps=32, config=SMALL, progress=False)
    assert np.isfinite(agent.training["mean_return"])
    agent.save(tmp_path)
    assert make_agent(tmp_path)
