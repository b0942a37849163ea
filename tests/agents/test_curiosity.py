"""The built-in curiosity policy acts in curricula and in link navigation, and predicts human clicks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from kgrl.agents import PPOAgent, make_agent
from kgrl.agents.policy.network import WEIGHTS_FILE, load_policy
from kgrl.agents.pretraining.scoring import INDUCTIVE_WEIGHTS
from kgrl.builtin import FOLDER
from kgrl.cli import main
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import Agent
from kgrl.envs import CurriculumEnv
from kgrl.envs.rabbit_hole_env import RabbitHoleEnv
from kgrl.graph import TopicGraph
from kgrl.testing import AgentContract

Make = Callable[..., Curriculum]


class TestCuriosityAgent(AgentContract):
    @pytest.fixture
    def agent(self) -> Agent:
        return make_agent("curiosity")

    @pytest.fixture
    def curriculum(self, make_tiny_curriculum: Make) -> Curriculum:
        return make_tiny_curriculum(budget_tokens=1_200)


def test_it_is_small_enough_to_ship() -> None:
    names = "policy", "inductive", "clicks", "projection"
    assert sum((FOLDER / f"{name}.safetensors").stat().st_size for name in names) <= 2 * 2**20
    assert sum(tensor.size for tensor in load_file(FOLDER / WEIGHTS_FILE).values()) < 1_000_000


def test_its_card_names_data_and_limits() -> None:
    card = (FOLDER / "README.md").read_text()
    assert all(word in card for word in ("Data.", "Limits.", "Scores.", "West and Leskovec"))


def test_it_picks_a_candidate_of_a_curriculum_and_repeats(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(goal="Mathematics", budget_tokens=1_500)
    chosen = [[step.topic for step in curriculum.run(make_agent("curiosity"))] for _ in range(2)]
    assert len(chosen[0]) > 2 and chosen[0] == chosen[1]


def test_one_policy_acts_in_both_environments(make_tiny_curriculum: Make) -> None:
    agent = make_agent("curiosity")
    assert isinstance(agent, PPOAgent)
    curriculum = CurriculumEnv(make_tiny_curriculum("token-cost", budget_tokens=1_500), slots=6)
    vectors = np.eye(5, 8, dtype=np.float32)
    ring = TopicGraph.from_links(list("abcde"), [0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2])
    for env in (curriculum, RabbitHoleEnv(ring, vectors, slots=6, max_steps=4)):
        observation, info = env.reset(seed=1)
        ended = False
        while not ended:
            slot = agent.pick(observation)
            assert info["action_mask"][slot]
            observation, _, terminated, truncated, info = env.step(slot)
            ended = terminated or truncated


@pytest.mark.integration
def test_it_predicts_human_clicks(wikispeedia_root: Path, tmp_path: Path) -> None:
    command = ["traces", "score", "--policy", "builtin", "--source", "wikispeedia", "--root", str(wikispeedia_root)]
    assert main([*command, "--split", "test", "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["finished"]["clicks"] == 17_099 and scores["unfinished"]["clicks"] == 6_756
    for kind in ("finished", "unfinished"):
        assert scores[kind]["mrr"] > scores["markov2"][kind]["mrr"] + 0.02
        assert scores[kind]["nll"] < scores["markov2"][kind]["nll"]
    assert scores["inductive"]["mrr"] > scores["indegree"]["inductive"]["mrr"] + 0.08
    assert scores["goal"]["finished"]["mrr"] > scores["finished"]["mrr"] + 0.1


def test_the_inductive_weights_fit() -> None:
    scorer, _ = load_policy(FOLDER, INDUCTIVE_WEIGHTS)
    assert len(scorer.members) == 1
