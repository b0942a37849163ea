"""Training from pretrained weights, comparing policies with random picks, keeping the best, and recipes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from stable_baselines3.common.callbacks import BaseCallback

from kgrl.agents import PPOAgent, train_ppo
from kgrl.agents.policy.agent import PPOConfig
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.agents.training.callbacks import KeepBest, Tracker
from kgrl.agents.training.evaluation import Comparison, GainCurves, greedy, play_episodes, random_picker
from kgrl.agents.training.ppo import initial_policy, rollout_bytes
from kgrl.agents.training.recipe import Aim, Environments, Episodes, Evaluation, Recipe, read_recipe, shipped_recipes
from kgrl.agents.training.vec_env import VectorEnvAdapter
from kgrl.benchmark.tasks import USUAL_CORPORA
from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv
from kgrl.envs.features.space import observation_space
from kgrl.errors import DataError, MissingDataError, SettingError, UnknownNameError
from kgrl.retrieval.encoder import Encoder
from kgrl.system.memory import check_fits

Make = Callable[..., Curriculum]
SMALL = PPOConfig(rollout=16, batch=16, epochs=2, hidden=8, learning_rate=1e-2)
TEST_GOALS = {
    "vital": {"Mathematics", "Technology", "Philosophy and religion", "Arts"},
    "wikispeedia": {"Religion", "Citizenship"},
    "vital-es": {"Matemáticas", "Filosofía y religión"},
}


@pytest.fixture
def make_envs(make_tiny_curriculum: Make) -> Callable[..., VectorEnvAdapter]:
    def make(n: int = 2, **config: Any) -> VectorEnvAdapter:
        settings = {"budget_tokens": 1_500, **config}
        makers = [lambda: CurriculumEnv(make_tiny_curriculum(**settings), slots=6)] * n
        return VectorEnvAdapter([SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)])

    return make


MakeEnvs = Callable[..., VectorEnvAdapter]


def small_scorer() -> CandidateScorer:
    torch.manual_seed(1)
    return CandidateScorer(PolicyConfig(hidden=8, recurrent=8, heads=2))


def test_training_goes_on_from_given_weights_and_leaves_them_as_they_were(make_envs: MakeEnvs) -> None:
    init = small_scorer()
    before = {name: weights.clone() for name, weights in init.state_dict().items()}
    still = PPOConfig(**{**asdict(SMALL), "learning_rate": 0.0})
    unmoved = train_ppo(make_envs(), 32, config=still, init=init, progress=False)
    moved = train_ppo(make_envs(), 32, config=SMALL, init=init, progress=False)
    assert all(torch.equal(weights, before[name]) for name, weights in unmoved.scorer.state_dict().items())
    assert any(not torch.equal(weights, before[name]) for name, weights in moved.scorer.state_dict().items())
    assert all(torch.equal(weights, before[name]) for name, weights in init.state_dict().items())


@pytest.mark.parametrize(("warm_up", "frozen"), [(32, True), (31, False)])
def test_only_the_value_head_learns_while_it_warms_up(make_envs: MakeEnvs, warm_up: int, frozen: bool) -> None:
    init = small_scorer()
    config = PPOConfig(**{**asdict(SMALL), "warm_up": warm_up})
    trained = train_ppo(make_envs(), 32, config=config, init=init, progress=False).scorer.state_dict()
    changed = {name for name, weights in init.state_dict().items() if not torch.equal(weights, trained[name])}
    assert {name for name in changed if ".value." in name}
    assert all(".value." in name for name in changed) == frozen


@pytest.mark.parametrize("members", [1, 2])
def test_value_heads_warm_up_on_what_the_frozen_network_made_of_each_state(make_envs: MakeEnvs, members: int) -> None:
    init = CandidateScorer.of([small_scorer() for _ in range(members)])
    seen: list[tuple[torch.Tensor, ...]] = []

    class Look(BaseCallback):
        """Compares rollouts with the observations that they stand for."""

        def _on_step(self) -> bool:
            observation = {name: torch.as_tensor(values) for name, values in self.locals["obs_tensor"].items()}
            logits, known = self.model.policy.scorer.judge(observation)
            seen.append((known, torch.distributions.Categorical(logits=logits).entropy(), self.locals["log_probs"]))
            return True

        def _on_rollout_end(self) -> None:
            rollouts = self.model.rollout_buffer  # type: ignore[attr-defined]
            assert rollouts.judged is not None and not rollouts.observations["candidates"].any()
            samples = list(rollouts.get(8))
            assert len(samples) > 2 * rollouts.buffer_size / 8
            for name, expected in zip(("known", "entropy", "log_prob"), zip(*seen, strict=True), strict=True):
                held = torch.cat([sample.observations[name] for sample in samples])  # type: ignore[call-overload]
                rows, made = held.view(len(held), -1), torch.cat(expected)
                apart = (rows[:, None] - made.view(len(made), -1)).abs().amax(dim=2)
                assert apart.amin(0).max() < 1e-5 and apart.amin(1).max() < 1e-5  # the same states, in any order
            values = self.model.policy.evaluate_actions(samples[0].observations, samples[0].actions)[0]
            assert torch.allclose(values.flatten(), samples[0].old_values, atol=1e-6)

    config = PPOConfig(**{**asdict(SMALL), "warm_up": 32})
    train_ppo(make_envs(), 32, config=config, init=init, callbacks=[Look()], progress=False)
    assert len(seen) == SMALL.rollout


def test_products_are_exact_again_after_a_training(make_envs: MakeEnvs) -> None:
    before = torch.get_float32_matmul_precision()
    train_ppo(make_envs(), 32, config=SMALL, init=small_scorer(), progress=False)
    assert torch.get_float32_matmul_precision() == before


def test_a_seed_fixes_a_training(make_envs: MakeEnvs) -> None:
    trained = [
        train_ppo(make_envs(), 64, seed=seed, config=SMALL, init=small_scorer(), progress=False).scorer.state_dict()
        for seed in (3, 3, 4)
    ]
    same, other = ([torch.equal(weights, run[name]) for name, weights in trained[0].items()] for run in trained[1:])
    assert all(same) and not all(other)


def test_training_begins_with_one_member_of_the_shipped_committee(tmp_path: Path) -> None:
    begun = initial_policy("builtin", Encoder())
    assert begun is not None and begun.config.members == 1
    assert initial_policy("random", Encoder()) is None
    PPOAgent(small_scorer()).save(tmp_path)
    assert initial_policy(str(tmp_path), Encoder()).config.hidden == 8  # type: ignore[union-attr]
    with pytest.raises(MissingDataError, match="no trained policy"):
        initial_policy(str(tmp_path / "nowhere"), Encoder())


def test_the_best_weights_are_kept(make_envs: MakeEnvs, tmp_path: Path) -> None:
    best = KeepBest(make_envs(3), every=32, folder=tmp_path, facts={"space": "another"})
    agent = train_ppo(make_envs(), 96, config=SMALL, callbacks=[best], progress=False)
    assert [row["steps"] for row in best.history] == [0, 32, 64, 96]
    env = make_envs(3)
    again = Comparison(
        play_episodes(env, greedy(agent.scorer), best.seed), play_episodes(env, random_picker(best.seed), best.seed)
    )
    assert again.gain == pytest.approx(max(row["gain"] for row in best.history))
    kept = load_file(tmp_path / "policy.safetensors")
    assert all(torch.equal(weights, kept[name]) for name, weights in agent.scorer.state_dict().items())
    assert PPOAgent.load(tmp_path).space == "another"  # before the end of the training, too
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".json", ".safetensors")]


def test_episodes_are_played_once_each_and_add_up(make_envs: MakeEnvs) -> None:
    env = make_envs(2)
    curves = play_episodes(env, random_picker(0), seed=3)
    assert (np.diff(curves.spent, axis=0) >= 0).all() and curves.spent[-1] == pytest.approx([1.0, 1.0])
    single, rng = make_envs(2), random_picker(0)
    single.seed(3)
    observation, total, going = single.reset(), np.zeros(2), np.ones(2, dtype=bool)
    while going.any():
        observation, rewards, done, _ = single.step(rng(observation))
        total += rewards * going
        going &= ~done
    assert curves.final == pytest.approx(total)


def test_speed_up_and_gain_of_worked_curves() -> None:
    spent = np.array([[0.2, 0.2], [0.6, 0.6], [1.0, 1.0]])
    random = GainCurves(spent, np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    ours = GainCurves(spent, np.array([[0.0, 0.0], [4.0, 0.5], [4.0, 1.0]]))
    assert random.area == pytest.approx([1.0, 1.0]) and ours.area == pytest.approx([3.0, 0.5])
    assert ours.spent_until(random.final) == pytest.approx([0.2, np.inf])
    compared = Comparison(ours, random)
    assert compared.speed_ups == pytest.approx([4.0, 0.0])
    assert compared.to_dict() == pytest.approx({"gain": 0.75, "speed_up": 2.0, "reached": 0.5, "won": 0.5})
    assert Comparison(random, random).gain == 0.0


def test_an_episode_that_ends_early_keeps_what_it_gained() -> None:
    early = GainCurves(np.array([[0.0], [0.5]]), np.array([[0.0], [2.0]]))
    assert early.area == pytest.approx([0.5 * 0.5 * 2 + 0.5 * 2])


def test_random_picks_are_candidates_and_spread() -> None:
    mask = np.zeros((400, 5), dtype=np.int8)
    mask[:, 1:4] = 1
    picked = random_picker(0)({"mask": mask})
    assert set(picked.tolist()) == {1, 2, 3} and np.bincount(picked).max() < 200


def test_what_is_logged_is_sent(make_envs: MakeEnvs, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    service = SimpleNamespace(
        init=lambda **run: sent.append(run),
        log=lambda numbers, step: sent.append((step, numbers)),
        finish=lambda: sent.append("finished"),
    )
    monkeypatch.setitem(sys.modules, "trackio", service)
    train_ppo(make_envs(), 64, config=SMALL, callbacks=[Tracker("trackio", "mine", {"a": 1})], progress=False)
    assert sent[0] == {"project": "kgrl", "name": "mine", "config": {"a": 1}} and sent[-1] == "finished"
    assert sent[2][0] == 64 and {"train/value_loss", "rollout/ep_rew_mean"} <= sent[2][1].keys()


def test_a_service_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDataError, match="pip install wandb"):
        Tracker("wandb", "mine", {})


@given(st.integers(1, 10_000), st.integers(1, 2**34), st.integers(1, 2**36))
def test_what_is_said_to_fit_fits(count: int, each: int, available: int) -> None:
    try:
        check_fits(count, each, "copies", available=available)
    except SettingError as error:
        fit = int(str(error).rsplit(": ", 1)[1].split()[0].replace(",", ""))
        assert fit < count
        check_fits(fit, each, "copies", available=available)
        with pytest.raises(SettingError):
            check_fits(fit + 1, each, "copies", available=available)


def test_the_memory_of_rollouts_is_estimated_from_above_and_not_by_far(make_envs: MakeEnvs) -> None:
    from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer

    env = make_envs(2)
    buffer = MaskableDictRolloutBuffer(16, env.observation_space, env.action_space, "cpu", n_envs=2)
    arrays = [value for value in vars(buffer).values() if isinstance(value, np.ndarray)]
    held = sum(array.nbytes for array in [*arrays, *buffer.observations.values()])
    assert held <= 2 * rollout_bytes(env.observation_space, 16) <= 2 * held


def test_rollouts_that_do_not_fit_are_refused(make_envs: MakeEnvs) -> None:
    with pytest.raises(SettingError, match="would fit"):
        train_ppo(make_envs(), 10**12, config=PPOConfig(rollout=10**9), progress=False)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_complete_and_name_no_test_goal(name: str) -> None:
    recipe, path = read_recipe(name), shipped_recipes()[name]
    for aim in recipe.aims:
        if aim.corpus.startswith("invented:"):
            assert aim.corpus not in USUAL_CORPORA.values()
        else:
            assert not TEST_GOALS[aim.corpus.removeprefix("noisy:")] & set(aim.goals)
    written = yaml.safe_load(path.read_text())
    sections = {"environment": Environments, "ppo": PPOConfig}
    sections |= {"variety": Episodes} if recipe.environment.vectorized else {}
    sections |= {"evaluation": Evaluation} if recipe.environment.simulated else {}
    for section, kind in sections.items():
        assert list(written[section]) == [f.name for f in fields(kind)]  # type: ignore[arg-type]
    assert set(written) - set(sections) == {"about", "aims", "steps", "init"}
    assert rollout_bytes(observation_space(64), recipe.ppo.rollout) * recipe.environment.envs < 500 * 2**20


def test_a_recipe_that_is_written_reads_as_itself(tmp_path: Path) -> None:
    recipe = read_recipe("ppo")
    recipe.write(tmp_path / "mine.yaml")
    assert read_recipe(str(tmp_path / "mine.yaml")) == recipe


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stepz: 3", DataError, "bad.yaml: 'stepz' is no known key; did you mean 'steps'"),
        ("ppo: {learning_rte: 1}", DataError, "ppo.'learning_rte' is no known key; did you mean 'learning_rate'"),
        ("aims: [{corpus: vital, goal: x}]", DataError, "'goal' is no known key; did you mean 'goals'"),
        ("steps: many", DataError, "bad.yaml: steps: expected a whole number, found text: 'many'"),
        ("variety: {members: 3}", DataError, "variety.members: expected true or false, found"),
        ("ppo: 3", DataError, "ppo: expected an object, found"),
        ("aims: []", DataError, "at least one aim"),
        ("- 3", DataError, "expected an object, found a list"),
        ("a: [", DataError, "not YAML"),
    ],
)
def test_faults_of_a_recipe_are_named(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(error, match=message):
        read_recipe(str(tmp_path / "bad.yaml"))


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ppo-goals'"):
        read_recipe("ppo-goal")


def test_other_corpora_rewards_and_goals_in_place_of_a_recipes_own() -> None:
    recipe = read_recipe("ppo")
    assert {aim.corpus for aim in recipe.on(("vital",)).aims} == {"vital"}
    assert recipe.on(()) == recipe
    assert Aim("notes") in recipe.on(("vital", "notes")).aims
    goal = recipe.on(("vital",), goal="History").aims
    assert goal == (Aim("vital", "target-prediction-gain", ("History",)),)
    assert {aim.reward for aim in recipe.on((), reward="self-prediction-gain").aims} == {"self-prediction-gain"}
    assert Recipe().aims
