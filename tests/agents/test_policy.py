"""The curiosity policy is indifferent to slot order, learns, and is saved without pickle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
import torch
from gymnasium.utils import seeding
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from stable_baselines3.common.env_util import make_vec_env

from kgrl.agents import PPOAgent, make_agent, train_ppo
from kgrl.agents.policy.agent import CuriosityActorCritic, PPOConfig
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig, load_policy
from kgrl.agents.training.ppo import _even_batch
from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import Agent
from kgrl.envs import CurriculumEnv
from kgrl.envs.features.names import (
    FEATURE_VERSION,
    FEATURES,
    GLOBAL_FEATURES,
    GLOBAL_KNOWLEDGE_FEATURES,
    KNOWLEDGE_FEATURES,
    SAME_MEANING_SINCE,
)
from kgrl.envs.features.space import observation_space
from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError
from kgrl.testing import AgentContract

Make = Callable[..., Curriculum]
SMALL = PPOConfig(rollout=16, batch=8, epochs=2, hidden=8)


Batch = dict[str, torch.Tensor]


def scorer(seed: int = 0, members: int = 1) -> CandidateScorer:
    """A policy with scores far from uniform, as after training: all weights and biases are random."""
    torch.manual_seed(seed)
    made = CandidateScorer(PolicyConfig(hidden=8, recurrent=8, heads=2, members=members))
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return made.eval()


def inputs(seed: int, slots: int, filled: int, pages: int = 13) -> Batch:
    """A random observation as a batch of one, with the first slots filled and the last pages known."""
    made = torch.Generator().manual_seed(seed)
    batch = {
        name: torch.randn(1, *space.shape, generator=made)
        for name, space in observation_space(slots).items()
        if name != "mask" and space.shape is not None
    }
    batch["mask"] = (torch.arange(slots) < filled).to(torch.int8).unsqueeze(0)
    batch["path"][:, : 13 - pages] = 0.0
    return batch


def at_slots(batch: Batch, order: torch.Tensor | slice) -> Batch:
    """The same state with its slots in another order, or with some of them."""
    return {**batch, **{name: batch[name][:, order] for name in ("candidates", "topics", "mask")}}


@given(st.integers(0, 1_000), st.integers(1, 12), st.sampled_from([1, 2]), st.data())
def test_permuting_slots_permutes_scores(seed: int, slots: int, members: int, data: st.DataObject) -> None:
    batch = inputs(seed, slots, data.draw(st.integers(1, slots)), data.draw(st.integers(1, 13)))
    order = torch.tensor(data.draw(st.permutations(range(slots))))
    network = scorer(members=members)
    with torch.no_grad():
        logits, value = network(batch)
        moved, same = network(at_slots(batch, order))
    assert torch.allclose(moved, logits[:, order], rtol=1e-4, atol=1e-5)
    assert torch.allclose(same, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
def test_empty_slots_change_nothing_and_are_never_taken(members: int) -> None:
    batch = inputs(3, 9, 5)
    network = scorer(members=members)
    with torch.no_grad():
        logits, value = network(batch)
        alone, same = network(at_slots(batch, slice(5)))
    assert torch.allclose(logits[:, :5], alone, atol=1e-5) and torch.allclose(value, same, atol=1e-5)
    assert logits.softmax(1)[0, 5:].sum() == 0


@pytest.mark.parametrize("members", [1, 2])
def test_a_state_without_candidates_has_a_finite_value(members: int) -> None:
    assert torch.isfinite(scorer(members=members)(inputs(0, 4, 0))[1]).all()


@pytest.mark.parametrize("pages", [2, 6, 13])
def test_scores_depend_on_the_candidate_the_path_the_goal_and_the_whole(pages: int) -> None:
    batch = inputs(1, 3, 3, pages)
    network = scorer()
    with torch.no_grad():
        logits = network(batch)[0]
        assert len(set(logits[0].tolist())) == 3
        for name in ("candidates", "topics", "goal", "global"):
            assert not torch.allclose(network({**batch, name: batch[name] + 1})[0], logits)
        for row in range(13 - pages, 13):
            other = batch["path"].clone()
            other[0, row] += 1
            assert not torch.allclose(network({**batch, "path": other})[0], logits, rtol=0, atol=1e-7)


def test_batches_of_paths_of_different_lengths_score_as_each_alone() -> None:
    network = scorer()
    alone = [inputs(seed, 4, 4, pages) for seed, pages in enumerate((1, 2, 7, 13))]
    together = {name: torch.cat([batch[name] for batch in alone]) for name in alone[0]}
    with torch.no_grad():
        logits, values = network(together)
        for row, batch in enumerate(alone):
            assert torch.allclose(network(batch)[0][0], logits[row], atol=1e-5)
            assert torch.allclose(network(batch)[1][0], values[row], atol=1e-5)


def test_a_committee_averages_log_probabilities_and_values() -> None:
    batch = inputs(5, 6, 4)
    alone = [scorer(seed) for seed in (1, 2)]
    with torch.no_grad():
        logits, value = CandidateScorer.of(alone).eval()(batch)
        expected = torch.stack([one(batch)[0][:, :4].log_softmax(1) for one in alone]).mean(0)
        assert torch.allclose(logits[:, :4].log_softmax(1), expected.log_softmax(1), atol=1e-5)
        assert torch.allclose(value, torch.stack([one(batch)[1] for one in alone]).mean(0), atol=1e-5)


def test_the_policy_is_small() -> None:
    assert sum(weights.numel() for weights in CandidateScorer().parameters()) < 1_000_000


def test_training_updates_the_policy_logs_and_repeats(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    def train(log_dir: Path | None = None, **changed: float) -> PPOAgent:
        env = CurriculumEnv(make_tiny_curriculum(budget_tokens=1_500), slots=6)
        config = replace(SMALL, **changed)  # type: ignore[arg-type]
        return train_ppo(env, steps=32, seed=3, config=config, log_dir=log_dir, progress=False)

    first, second = train(tmp_path), train()
    assert first.training["steps"] == 32 and first.training["mean_return"] is not None
    for name, weights in first.scorer.state_dict().items():
        assert torch.equal(weights, second.scorer.state_dict()[name])
    untrained = train(learning_rate=0.0).scorer.state_dict()
    assert any(not torch.equal(weights, untrained[name]) for name, weights in first.scorer.state_dict().items())
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
    while not curriculum.state.out_of_budget and not curriculum.state.exhausted:
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


def older(seed: int = 0, members: int = 1) -> CandidateScorer:
    """A policy that reads what there was before features of knowledge, in another order."""
    torch.manual_seed(seed)
    names = tuple(name for name in reversed(FEATURES) if name not in KNOWLEDGE_FEATURES)
    told = tuple(name for name in GLOBAL_FEATURES if name not in GLOBAL_KNOWLEDGE_FEATURES)
    config = PolicyConfig(hidden=8, members=members, feature_names=names, global_feature_names=told)
    return CandidateScorer(config).eval()


def with_other_knowledge(batch: Batch, seed: int) -> Batch:
    """The same state with other values of the features of knowledge."""
    made = torch.Generator().manual_seed(seed)
    candidates, overall = batch["candidates"].clone(), batch["global"].clone()
    for values, names, all_of_them in (
        (candidates, KNOWLEDGE_FEATURES, FEATURES),
        (overall, GLOBAL_KNOWLEDGE_FEATURES, GLOBAL_FEATURES),
    ):
        at = [all_of_them.index(name) for name in names]
        values[..., at] = 3 * torch.randn(values[..., at].shape, generator=made)
    return {**batch, "candidates": candidates, "global": overall}


@pytest.mark.parametrize("name", ["curiosity", "ppo", "older"])
@given(seed=st.integers(0, 10_000), slots=st.integers(1, 70))
def test_features_that_a_policy_does_not_know_change_nothing(name: str, seed: int, slots: int) -> None:
    """Bit for bit, and as the network was when there were no others: its layers have the sizes of then."""
    network = older(members=2) if name == "older" else load_policy(FOLDER / ("ppo" if name == "ppo" else ""))[0]
    batch = inputs(seed, slots, slots)
    told = {"candidates": (network.config.feature_names, FEATURES)}
    told["global"] = network.config.global_feature_names, GLOBAL_FEATURES
    alone = {part: batch[part][..., [known.index(n) for n in names]] for part, (names, known) in told.items()}
    with torch.no_grad():
        logits, value = network(batch)
        assert all(map(torch.equal, network(with_other_knowledge(batch, seed)), (logits, value)))
        opinions = [member({**batch, **alone})[0].log_softmax(1) for member in network.members]
    assert torch.equal(torch.stack(opinions).mean(0), logits)


def test_a_policy_that_reads_all_features_weighs_new_ones_with_zero_and_can_learn_them() -> None:
    network, batch = older(members=2), inputs(2, 9, 7)
    whole = network.reading_all()
    assert whole.config == PolicyConfig(hidden=8, members=2) and whole.reading_all() is whole
    logits, value = whole(batch)
    assert torch.allclose(logits[:, :7], network(batch)[0][:, :7], atol=1e-5)
    assert torch.allclose(value, network(batch)[1], atol=1e-5)
    columns = [FEATURES.index(name) for name in KNOWLEDGE_FEATURES]
    (logits[0, 0] - logits[0, 1] + value[0]).backward()
    for member in whole.members:
        for weight, at in (
            (member.candidate.weight, columns),  # type: ignore[union-attr]
            (member.context[0].weight, [GLOBAL_FEATURES.index("unknown_share") - len(GLOBAL_FEATURES)]),  # type: ignore[union-attr, index]
        ):
            assert isinstance(weight, torch.Tensor) and weight.grad is not None
            assert not weight[:, at].any() and weight.grad[:, at].any()


def test_policies_that_ship_choose_as_they_did_before_there_were_features_of_knowledge(
    make_tiny_curriculum: Make,
) -> None:
    """The topics that version 4 chose."""
    chosen = {
        ("curiosity", None): [23, 27, 39, 37, 33, 35, 30, 18, 17, 19],
        ("curiosity", "Mathematics"): [6, 4, 11, 8, 2, 0, 13, 37, 33, 30],
        ("ppo", None): [23, 27, 30, 2, 3, 10, 0, 37, 32, 21],
        ("ppo", "Mathematics"): [6, 4, 11, 0, 2, 9, 13, 37, 30, 19],
    }
    for (name, goal), topics in chosen.items():
        curriculum = make_tiny_curriculum(goal=goal, budget_tokens=2_000)
        assert [step.topic for step in curriculum.run(make_agent(name))] == topics, name


def test_a_policy_is_saved_with_the_names_that_it_reads(tmp_path: Path) -> None:
    network, batch = older(), inputs(0, 5, 5)
    PPOAgent(network).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    assert about["feature_version"] == FEATURE_VERSION and about["features"] == len(about["feature_names"])
    again, _ = load_policy(tmp_path)
    assert again.config == network.config and torch.equal(again(batch)[0], network(batch)[0])
    (tmp_path / "policy.json").write_text(json.dumps({**about, "feature_version": SAME_MEANING_SINCE}))
    assert same(load_policy(tmp_path)[0], network)


@pytest.mark.parametrize("part", ["feature_names", "global_feature_names"])
def test_names_that_a_policy_cannot_read_are_refused(part: str, tmp_path: Path) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    names = about[part]
    for given_names, named in (
        ([*names[:-1], "glamour"], "reads 'glamour', which this version of kgrl does not make; train it anew"),
        ([*names[:-1], names[0]], f"{len(names) - 1} features named, where it says {len(names)}"),
        (names[:-1], "features named, where it says"),
    ):
        (tmp_path / "policy.json").write_text(json.dumps({**about, part: given_names}))
        with pytest.raises(KgrlError, match=named):
            make_agent(tmp_path)
    del about[part]
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=f"{part}.*does not describe a policy"):
        make_agent(tmp_path)


def test_a_policy_for_other_features_is_refused_by_name(tmp_path: Path) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**about, "feature_version": 99}))
    with pytest.raises(KgrlError, match=f"feature version 99, this version of kgrl {FEATURE_VERSION}"):
        make_agent(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps({**about, "hidden": 9}))
    with pytest.raises(KgrlError, match="does not fit"):
        make_agent(tmp_path)
    (tmp_path / "policy.json").write_text("{")
    with pytest.raises(KgrlError, match="does not describe a policy"):
        make_agent(tmp_path)
    with pytest.raises(MissingDataError, match="no trained policy"):
        PPOAgent.load(tmp_path / "nowhere")


@pytest.mark.parametrize("sizes", [{"hidden": 20_000}, {"recurrent": 9_999_999}, {"heads": 9}, {"hidden": 7}])
def test_sizes_that_do_not_fit_are_refused_before_anything_of_that_size_is_made(
    sizes: dict[str, int], tmp_path: Path
) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**about, **sizes}))
    began, before = time.monotonic(), psutil.Process().memory_info().rss
    with pytest.raises(DataError, match=r"does not fit policy.json: members.0.* should be"):
        make_agent(tmp_path)
    assert time.monotonic() - began < 1
    assert psutil.Process().memory_info().rss - before < 50 * 2**20


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"colour": "blue"}, "'colour' is no known key"),
        ({"hidden": "8"}, r"hidden"),
        ({"hidden": 0}, r"hidden"),
        ({"hidden": 10**30}, r"hidden"),
        ({"members": 0}, r"members"),
        ({"slots": True}, r"slots"),
        ({"sample": 1}, r"sample"),
        ({"training": []}, r"training"),
        ({"training": float("nan")}, "NaN is no finite number"),
    ],
)
def test_entries_that_make_no_sense_are_named(entry: dict[str, Any], named: str, tmp_path: Path) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**about, **entry}))
    with pytest.raises(DataError, match=f"policy.json: .*{named}.*this file does not describe a policy"):
        make_agent(tmp_path)


def test_weights_that_are_no_policy_s_are_named(tmp_path: Path) -> None:
    PPOAgent(scorer()).save(tmp_path)
    about = json.loads((tmp_path / "policy.json").read_text())
    weights = tmp_path / "policy.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=r"policy.safetensors: these are not the weights that policy.json"):
        make_agent(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps({**about, "weights_sha256": None}))  # of an earlier version
    named = load_file(weights)
    weights.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"policy.safetensors: not the weights of a policy"):
        make_agent(tmp_path)
    save_file({"other": torch.zeros(2)}, weights)
    with pytest.raises(DataError, match="no member of a committee"):
        make_agent(tmp_path)
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in named.items()}, weights)
    with pytest.raises(DataError, match="NaNs or infinities"):
        make_agent(tmp_path)


def test_a_save_that_is_killed_leaves_the_policy_before_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, new = PPOAgent(scorer(seed=1), training={"steps": 1}), PPOAgent(scorer(seed=2), training={"steps": 2})
    rename, seen = Path.replace, set[tuple[int, bool, bool]]()
    for kept in range(4):
        folder = tmp_path / str(kept)
        before.save(folder)
        left = iter(range(kept))

        def some(path: Path, target: Path, left: Iterator[int] = left) -> Path:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Path, "replace", some)
            new.save(folder)
        found = PPOAgent.load(folder)
        one, other = (same(found.scorer, agent.scorer) for agent in (before, new))
        seen.add((found.training["steps"], one, other))
        new.save(folder)
        assert {path.name for path in folder.iterdir()} == {"policy.json", "policy.safetensors"}
    assert seen == {(1, True, False), (2, False, True)}


def same(one: CandidateScorer, other: CandidateScorer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("slots", [10**8, 10**12])
def test_too_many_slots_are_refused_before_memory_is_made(slots: int) -> None:
    began, before = time.monotonic(), psutil.Process().memory_info().rss
    with pytest.raises(SettingError, match=rf"{slots:,} candidate slots need about .* would fit"):
        observation_space(slots)
    assert time.monotonic() - began < 1
    assert psutil.Process().memory_info().rss - before < 50 * 2**20


def test_the_agent_sees_what_the_environment_shows(make_tiny_curriculum: Make) -> None:
    """The same seed and history give the policy the same picks inside the environment and outside of it."""
    agent = PPOAgent(scorer(), slots=6)
    env = CurriculumEnv(make_tiny_curriculum(), slots=6)
    observation, _ = env.reset(seed=11)
    other = make_tiny_curriculum()
    other.start(int(seeding.np_random(11)[0].integers(2**31)))
    agent.reset(other.view)
    for _ in range(5):
        batch = {name: torch.as_tensor(values).unsqueeze(0) for name, values in observation.items()}
        slot = int(agent.scorer(batch)[0].argmax())
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
