"""`kgrl train`: recipes, arguments that override them, and refusals."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from kgrl.agents import PPOAgent, make_agent
from kgrl.agents.base import check_space
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.agents.training.recipe import Aim, Environments, Recipe, read_recipe
from kgrl.benchmark.tasks import make_task
from kgrl.cli import main
from kgrl.cli.train import TrainCommand
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.errors import SettingError
from kgrl.retrieval.encoder import Encoder
from kgrl.runs.place import hold_folder


def kgrl(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_the_recipe_of_the_simulated_learner_is_the_default() -> None:
    assert TrainCommand()._recipe() == ("ppo", read_recipe("ppo"))
    assert TrainCommand(learner="simulated")._recipe() == ("ppo", read_recipe("ppo"))
    assert TrainCommand(learner="lora")._recipe()[0] == "ppo-small"


def test_the_command_line_takes_the_place_of_the_recipe() -> None:
    command = TrainCommand(
        recipe="ppo-goals", corpus=("vital",), envs=8, steps=100, init="random", nucleus=("k-core",), slots=9
    )
    _, recipe = command._recipe()
    theirs = read_recipe("ppo-goals")
    assert {aim.corpus for aim in recipe.aims} == {"vital"}
    assert (recipe.steps, recipe.init) == (100, "random")
    assert recipe.environment == replace(theirs.environment, envs=8, nucleus="k-core", slots=9)
    assert (recipe.ppo, recipe.variety) == (theirs.ppo, theirs.variety)
    assert TrainCommand(nucleus=("Logic", "Set"))._recipe()[1].environment.nucleus == ("Logic", "Set")


def test_a_task_takes_the_place_of_the_aims(tiny_corpus: Corpus, tmp_path: Path) -> None:
    save_folder(tiny_corpus, tmp_path / "mine")
    origin = str(tmp_path / "mine")
    _, recipe = TrainCommand(task="noisy", corpus=(origin,), slots=9)._recipe()
    task = make_task("noisy", origin)
    assert recipe.aims == (Aim(f"noisy:{origin}", task.reward, (None,)),)
    assert recipe.environment.nucleus == task.config.nucleus
    assert (recipe.environment.neighbourhood, recipe.environment.slots) == (task.config.neighbourhood, 9)
    assert TrainCommand(task="noisy", corpus=(origin,), reward="token-cost")._recipe()[1].aims[0].reward == "token-cost"
    staged = TrainCommand(task="forgetting", corpus=(origin,), learner="scratch")._recipe()[1]
    assert staged.environment.stages == make_task("forgetting", origin).config.stages
    with pytest.raises(SettingError, match="policies are trained on categories as goals"):
        TrainCommand(task=f"target:{tiny_corpus.graph.titles[0]}", corpus=(origin,))._recipe()


@pytest.mark.integration
def test_a_corpus_without_a_calibration_says_how_to_make_one(
    tiny_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_folder(tiny_corpus, tmp_path / "mine")
    assert kgrl("train", "--task", "noisy", "--corpus", tmp_path / "mine", "--out", tmp_path / "policy") == 2
    said = capsys.readouterr().err
    assert f"`kgrl run --corpus noisy:{tmp_path / 'mine'} --learner scratch" in said and "kgrl calibrate" in said


@pytest.mark.integration
def test_a_real_learner_is_trained_in_stages(tiny_corpus: Corpus, tmp_path: Path) -> None:
    save_folder(tiny_corpus, tmp_path / "mine")
    settings = ("--learner", "scratch", "--budget-tokens", 1_500, "--expansion-tokens", 300, "--slots", 8)
    more = ("--corpus", tmp_path / "mine", "--steps", 8, "--nucleus-size", 3, "--out", tmp_path / "policy")
    assert kgrl("train", "--task", "forgetting", *settings, *more) == 0
    assert len(read_recipe(str(tmp_path / "policy" / "recipe.yaml")).environment.stages) == 3


@pytest.mark.integration
def test_a_training_embeds_by_its_encoder_and_the_policy_tells_the_space(
    tiny_corpus: Corpus, base_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_folder(tiny_corpus, tmp_path / "mine")
    settings = ("--learner", "scratch", "--budget-tokens", 1_500, "--expansion-tokens", 300, "--slots", 8)
    more = ("--corpus", tmp_path / "mine", "--steps", 8, "--nucleus-size", 3, "--out", tmp_path / "policy")
    assert kgrl("train", *settings, *more, "--encoder", base_folder, "--init", "builtin") == 0
    assert "trained on vectors of the space 'minilm'" in caplog.text  # the policy that training began with
    assert read_recipe(str(tmp_path / "policy" / "recipe.yaml")).environment.encoder == str(base_folder)
    policy = PPOAgent.load(tmp_path / "policy")
    caplog.clear()
    assert policy.space == Encoder(base_folder).space
    check_space(policy, Encoder(base_folder))
    assert not caplog.records
    check_space(policy, Encoder())
    assert caplog.records


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "ppo-goal"), "unknown recipe 'ppo-goal'; did you mean 'ppo-goals'?"),
        (("--envs", 10**9), "would fit"),
        (("--task", "nosiy"), "unknown task 'nosiy'; did you mean 'noisy'?"),
        (("--task", "target", "--goal", "Arts"), "the task 'target' is on one corpus and has its own goal"),
        (("--init", "nowhere"), "no trained policy in nowhere"),
        (("--corpus", "wikispedia"), "unknown corpus 'wikispedia'; did you mean 'wikispeedia'?"),
    ],
)
def test_refusals(
    arguments: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kgrl("train", *arguments, "--out", tmp_path / "policy") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "policy").exists()


def test_a_service_that_is_not_installed_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    assert kgrl("train", "--track", "trackio", "--out", tmp_path / "policy") == 2
    assert "pip install trackio" in capsys.readouterr().err
    assert not (tmp_path / "policy").exists()


def test_a_policy_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PPOAgent(CandidateScorer(PolicyConfig(hidden=8, recurrent=8)), training={"hours": 7}).save(tmp_path / "mine")
    (tmp_path / "mine" / "recipe.yaml").write_text("of that training")
    before = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    assert kgrl("train", "--steps", 4, "--out", tmp_path / "mine") == 2
    assert "mine holds a policy already; choose another --out" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_of_two_trainings_in_one_folder_the_second_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as other, hold_folder(tmp_path):
        assert other.submit(kgrl, "train", "--steps", 4, "--out", tmp_path).result() == 2
    assert "another process works in" in capsys.readouterr().err
    assert not (tmp_path / "recipe.yaml").exists()


@pytest.mark.integration
def test_training_on_a_real_learner_side_by_side(tiny_corpus: Corpus, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_folder(tiny_corpus, tmp_path / name)
    settings = ("--learner", "scratch", "--budget-tokens", 1_500, "--expansion-tokens", 300, "--slots", 8)
    corpora = ("--corpus", tmp_path / "a", tmp_path / "b", "--envs", 2, "--steps", 16, "--nucleus-size", 3)
    out = ("--out", tmp_path / "policy", "--json", tmp_path / "train.json")
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / ".policy.safetensors.x1.tmp").touch()  # of a training that was killed
    assert kgrl("train", *settings, *corpora, *out) == 0
    assert not list((tmp_path / "policy").glob(".*.tmp"))
    figures = json.loads((tmp_path / "train.json").read_text())
    assert figures["steps"] == 16 and figures["corpus"] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert make_agent(tmp_path / "policy").frontier_only
    recipe = read_recipe(str(tmp_path / "policy" / "recipe.yaml"))
    assert recipe.environment.envs == 2 and len(recipe.aims) == 2
    assert list((tmp_path / "policy").rglob("events.out.tfevents.*"))


@pytest.mark.integration
def test_training_on_the_simulated_learner_keeps_the_best_policy(tmp_path: Path) -> None:
    recipe = replace(Recipe(), environment=Environments(envs=4, slots=16, budget_tokens=3_000), init="random")
    recipe = replace(recipe, evaluation=replace(recipe.evaluation, every=32, envs=4))
    replace(recipe, variety=replace(recipe.variety, tasks=4)).write(tmp_path / "mine.yaml")
    out = ("--out", tmp_path / "policy", "--json", tmp_path / "train.json")
    assert kgrl("train", "--recipe", tmp_path / "mine.yaml", "--steps", 128, *out) == 0
    figures = json.loads((tmp_path / "train.json").read_text())
    assert {"best_gain", "best_speed_up", "best_steps"} <= figures.keys() and figures["init"] == "random"
    rows = make_agent(tmp_path / "policy").training["evaluation"]  # type: ignore[attr-defined]
    assert figures["best_gain"] == max(row["gain"] for row in rows) and len(rows) >= 2
