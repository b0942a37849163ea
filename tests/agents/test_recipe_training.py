"""Training by recipes: which environments it is in, and what a policy learns to read there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from kgrl.agents import PPOAgent, make_agent
from kgrl.agents.policy.agent import PPOConfig
from kgrl.agents.policy.network import load_policy
from kgrl.agents.training.recipe import Aim, Environments, Evaluation, Recipe, read_recipe
from kgrl.agents.training.recipe_run import make_envs, train_recipe
from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.data.load import load_corpus
from kgrl.envs.features.names import FEATURES, KNOWLEDGE_FEATURES
from kgrl.errors import SettingError
from tests.support.directed import directed
from tests.support.simulated import made_up_calibration

SMALL = PPOConfig(rollout=16, batch=16, epochs=2, hidden=8, learning_rate=1e-2)
KNOWING = Environments(
    envs=2,
    slots=8,
    budget_tokens=2_000,
    expansion_tokens=200,
    neighbourhood=3,
    nucleus_size=2,
    probe_topics=12,
    mastery="gap:0.3",
    most_readings=0,
    nucleus_share=0.0,
    review=0.25,
)


def knowing(tiny_corpus: Corpus, folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """A recipe of few steps in which topics have to be known, and the options of its simulated learner."""
    save_folder(tiny_corpus, folder)
    aims = (Aim(str(folder), "knowledge-gain"),)
    recipe = Recipe(aims=aims, steps=64, environment=KNOWING, evaluation=Evaluation(every=32, envs=2), ppo=SMALL)
    return recipe, {"calibration": made_up_calibration(load_corpus(str(folder)))}


def test_where_topics_have_to_be_known_training_is_in_single_environments_and_learns_features_of_it(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    recipe, options = knowing(tiny_corpus, tmp_path / "corpus")
    agent = train_recipe(recipe, tmp_path / "policy", learner_options=options, progress=False)
    assert [row["steps"] for row in agent.training["evaluation"]] == [0, 32, 64]
    assert agent.training["mean_return"] > 0, "episodes are counted"
    columns = [FEATURES.index(name) for name in KNOWLEDGE_FEATURES]
    kept = make_agent(str(tmp_path / "policy"))
    assert isinstance(kept, PPOAgent) and kept.scorer.config.feature_names == FEATURES
    assert load_file(tmp_path / "policy" / "policy.safetensors")["members.0.candidate.weight"].shape[1] > columns[-1]
    assert read_recipe(str(tmp_path / "policy" / "recipe.yaml")) == recipe


def test_copies_share_tables_and_have_seeds_of_their_own(tiny_corpus: Corpus, tmp_path: Path) -> None:
    recipe, options = knowing(tiny_corpus, tmp_path / "corpus")
    envs = [make_envs(recipe, 5, options, held_out=held_out) for held_out in (False, True)]
    curricula = [curriculum for env in envs for curriculum in env.get_attr("curriculum")]
    assert [curriculum.config.seed for curriculum in curricula] == [5, 6, 7, 8]
    assert [curriculum.learner.seed for curriculum in curricula] == [5, 6, 7, 8]
    assert len({id(curriculum.state.research.tables) for curriculum in curricula}) == 1
    settings = {name: getattr(KNOWING, name) for name in ("mastery", "most_readings", "nucleus_share", "review")}
    assert all(
        getattr(curriculum.config, name) == value for name, value in settings.items() for curriculum in curricula
    )


@pytest.mark.parametrize(
    ("changed", "vectorized"),
    [
        ({}, True),
        ({"mastery": "gap"}, False),
        ({"most_readings": 0}, False),
        ({"review": 0.1}, False),
        ({"learner": "scratch"}, False),
        ({"nucleus_share": 0.5}, True),
    ],
)
def test_vectors_are_for_what_they_can_do(changed: dict[str, Any], vectorized: bool) -> None:
    assert Environments(**changed).vectorized == vectorized


def test_corpora_with_prerequisites_are_for_single_environments(tiny_corpus: Corpus, tmp_path: Path) -> None:
    recipe, options = knowing(directed(tiny_corpus), tmp_path / "corpus")
    read = replace(KNOWING, mastery="read", most_readings=1, review=0.0)
    assert read.vectorized
    envs = make_envs(replace(recipe, environment=read), 5, options)
    assert [curriculum.config.seed for curriculum in envs.get_attr("curriculum")] == [5, 6]


def test_a_policy_keeps_its_features_where_topics_are_solid_once_they_were_read(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    """The others are 0 there, so trainings give the bits that they gave before there were others."""
    recipe, options = knowing(tiny_corpus, tmp_path / "corpus")
    read = replace(recipe, environment=replace(KNOWING, mastery="read"), steps=32)
    agent = train_recipe(read, tmp_path / "policy", learner_options=options, progress=False)
    assert agent.scorer.config.feature_names == load_policy(FOLDER)[0].config.feature_names != FEATURES


def test_a_criterion_that_there_is_not_is_refused_before_a_corpus_is_read(tmp_path: Path) -> None:
    recipe = Recipe(aims=(Aim("nowhere"),), environment=replace(KNOWING, mastery="feeling"))
    with pytest.raises(SettingError, match="mastery must be read, gap or recall"):
        train_recipe(recipe, tmp_path / "policy", progress=False)


def test_learners_that_remember_differ_from_environment_to_environment() -> None:
    recipe = Recipe(
        aims=(Aim("invented:40:5", "facts-gain"),), environment=replace(KNOWING, learner="remembering", envs=3)
    )
    envs = make_envs(recipe)
    learners = [env.unwrapped.curriculum.learner for env in envs.unwrapped.envs]
    assert [learner.member for learner in learners] == [0, 1, 2]
    assert len({learner.parameters.practice for learner in learners}) == 3
    alike = make_envs(replace(recipe, variety=replace(recipe.variety, members=False)))
    assert {env.unwrapped.curriculum.learner.member for env in alike.unwrapped.envs} == {None}
