"""The encoder that was chosen is the only one that embeds, wherever it is asked for; others are refused or told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import kgrl.envs  # noqa: F401 - registers the environments
from kgrl.agents import PPOAgent, make_agent
from kgrl.agents.base import check_space
from kgrl.agents.baselines.passages import Interleaved
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.benchmark.hypothesis.measuring import MeasurementFolder, PreparedCorpus
from kgrl.benchmark.traps import TrapEpisode, carry_out
from kgrl.cli import main
from kgrl.cli.pretrain import PretrainCommand
from kgrl.cli.run import RunCommand
from kgrl.cli.train import TrainCommand
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.data.load import load_corpus
from kgrl.errors import DataError, KgrlError
from kgrl.learners import ScratchLearner
from kgrl.learners.make import make_learner
from kgrl.learners.plugins import make_plugin
from kgrl.learners.simulated.relatives import Relatives
from kgrl.retrieval import encoder as encoder_module
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.static_encoder import StaticModel
from tests.support.simulated import made_up_calibration

WIDTH = 32
"""Entries of the vectors of the small model, where those of kgrl's encoders have 384."""


@pytest.fixture
def only(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an encoder other than the default, beside which the default one refuses to embed."""

    def refused(*arguments: object) -> None:
        raise AssertionError("the default encoder embeds, though another one was chosen")

    monkeypatch.setattr(StaticModel, "encode", refused)
    monkeypatch.setattr(StaticModel, "fingerprint", property(refused))
    yield str(base_folder)


@pytest.fixture
def corpus_folder(tiny_corpus: Corpus, tmp_path: Path) -> str:
    save_folder(tiny_corpus, tmp_path / "corpus")
    return str(tmp_path / "corpus")


SMALL = {"budget_tokens": 400, "expansion_tokens": 100, "learner": "scratch"}
OPTIONS = {"width": 16, "heads": 2, "vocabulary": 300}


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("kgrl/Curriculum-v0", {**SMALL, "learner_options": OPTIONS}),
        ("kgrl/Coverage-v0", {**SMALL, "learner_options": OPTIONS}),
        ("kgrl/RabbitHole-v0", {}),
    ],
)
def test_environments_embed_by_it(name: str, keywords: dict[str, Any], tiny_corpus: Corpus, only: str) -> None:
    env = gym.make(name, corpus=tiny_corpus, encoder=only, **keywords).unwrapped
    tables: Any = getattr(env, "_tables", None)
    found = tables.relations.embeddings if tables is not None else env.curriculum.state.embeddings  # type: ignore[attr-defined]
    assert found.shape == (len(tiny_corpus.graph), WIDTH)


def test_simulated_environments_embed_by_it(tiny_corpus: Corpus, only: str) -> None:
    options = {"calibration": made_up_calibration(tiny_corpus)}
    single = gym.make("kgrl/Curriculum-v0", corpus=tiny_corpus, encoder=only, learner_options=options)
    many = gym.make_vec("kgrl/Curriculum-v0", num_envs=2, corpus=tiny_corpus, encoder=only, learner_options=options)
    theirs = Relatives.of(tiny_corpus, encoder=only).related
    for env in (single.unwrapped, many.unwrapped):
        curriculum = env.curriculum  # type: ignore[attr-defined]
        assert curriculum.state.embeddings.shape[1] == WIDTH
        assert np.array_equal(curriculum.learner.related.nearest, theirs.nearest)


def test_relatives_are_shared_by_equal_encoders(tiny_corpus: Corpus, base_folder: Path) -> None:
    assert Relatives.of(tiny_corpus, encoder=base_folder) is Relatives.of(tiny_corpus, encoder=Encoder(base_folder))
    assert Relatives.of(tiny_corpus, encoder=base_folder) is not Relatives.of(tiny_corpus)


def test_runs_with_isolation_and_simulated_learners_embed_by_it(corpus_folder: str, only: str) -> None:
    command = RunCommand(corpus=corpus_folder, learner="scratch", plugins=("isolation",), encoder=only)
    (isolation,) = command.make_learner(load_corpus(corpus_folder)).plugins  # type: ignore[attr-defined]
    assert isolation.embeddings.shape[1] == WIDTH
    corpus = load_corpus(corpus_folder)
    learner: Any = make_learner("simulated", corpus, encoder=only, calibration=made_up_calibration(corpus))
    assert np.array_equal(learner.related.nearest, Relatives.of(corpus, encoder=only).related.nearest)


def test_the_encoder_is_no_option_of_a_plug_in_of_its_own() -> None:
    with pytest.raises(KgrlError, match="'encoder=minilm' is not an option of the plug-in 'isolation'"):
        make_plugin("isolation:encoder=minilm")


def test_suites_embed_by_it(corpus_folder: str, only: str, tmp_path: Path) -> None:
    assert PreparedCorpus.load(corpus_folder, Encoder(only)).embeddings.shape[1] == WIDTH
    cell = TrapEpisode("coverage", corpus_folder, "scratch", "random", ("token-cost",), 0, encoder=only)
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kgrl.benchmark.traps.play_trap", lambda cell, task, embedded: calls.append(embedded[1].shape[1]))
        carry_out([cell], tmp_path)
    assert calls == [WIDTH]


def test_commands_pass_it_on(only: str, corpus_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def noted(*arguments: object) -> None:
        asked.append(arguments[-1])
        raise KgrlError("that is enough")

    monkeypatch.setattr("kgrl.data.traces.traced_clicks.load_clicks", noted)
    with pytest.raises(KgrlError, match="enough"):
        PretrainCommand(encoder=only).run()
    assert asked == [only]
    assert TrainCommand(encoder=only)._recipe()[1].environment.encoder == only
    monkeypatch.setattr("kgrl.benchmark.hypothesis.suite.Suite", noted)
    said = ("bench", "--suite", "hypothesis", "--corpus", corpus_folder, "--encoder", only)
    assert main(list(said)) == 2
    assert asked == [only, only]


def test_a_resumed_run_with_another_encoder_is_refused(
    corpus_folder: str, base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, config = tmp_path / "run", tmp_path / "run" / "config.yaml"
    run = ["run", "--corpus", corpus_folder, "--learner", "scratch", "--budget-tokens", "1000", "--out", str(out)]
    assert main(run) == 0
    records = (out / "curriculum.jsonl").read_bytes()
    config.write_text(config.read_text().replace("encoder: static", f"encoder: {base_folder}"))
    assert main(["run", "--resume", str(out)]) == 2
    assert f"config encoder is '{base_folder}' and was 'static'" in capsys.readouterr().err
    assert (out / "curriculum.jsonl").read_bytes() == records


def test_a_resumed_run_is_refused_if_the_folder_of_its_encoder_has_changed(
    tiny_corpus: Corpus, corpus_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def model(seed: int) -> None:
        ScratchLearner(tiny_corpus, seed=seed, width=16, heads=2, vocabulary=300).save(tmp_path / "model")

    model(1)
    run = ["run", "--corpus", corpus_folder, "--learner", "scratch", "--budget-tokens", "1000"]
    assert main([*run, "--encoder", str(tmp_path / "model"), "--out", str(tmp_path / "run")]) == 0
    model(2)
    assert main(["run", "--resume", str(tmp_path / "run")]) == 2
    assert f"encoder is '{Encoder(tmp_path / 'model').fingerprint}' and was" in capsys.readouterr().err
    model(1)
    assert main(["run", "--resume", str(tmp_path / "run")]) == 0


def test_a_policy_of_another_space_is_told(base_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = PPOAgent(CandidateScorer(PolicyConfig(hidden=8))), Encoder(base_folder)
    for agent in (ours, make_agent("ppo"), make_agent("closure")):
        for encoder in (Encoder(), Encoder("minilm")):
            check_space(agent, encoder)
    assert not caplog.text
    for agent in (ours, make_agent("ppo"), Interleaved(ours)):
        caplog.clear()
        check_space(agent, theirs)
        assert "trained on vectors of the space 'minilm'" in caplog.text
    caplog.clear()
    check_space(PPOAgent(ours.scorer, training={"space": theirs.space}), theirs)
    check_space(make_agent("closure"), theirs)
    assert not caplog.text


def test_a_run_tells_of_a_policy_of_another_space(
    corpus_folder: str, base_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = ["run", "--corpus", corpus_folder, "--learner", "scratch", "--budget-tokens", "1000", "--agent", "ppo"]
    assert main([*run, "--encoder", str(base_folder), "--out", str(tmp_path / "run")]) == 0
    assert "trained on vectors of the space 'minilm'" in caplog.text


def test_a_folder_of_results_is_of_one_encoder(corpus_folder: str, tmp_path: Path) -> None:
    MeasurementFolder(tmp_path).check("a", "1", "one")
    with pytest.raises(DataError, match="of another encoder"):
        MeasurementFolder(tmp_path).check("a", "1", "another")


def test_vectors_of_one_corpus_by_two_encoders_stay_apart(tiny_corpus: Corpus, base_folder: Path) -> None:
    (held, ours), (_, theirs) = [embed_corpus(tiny_corpus, Encoder(model)) for model in ("static", base_folder)]
    assert ours.shape[1] == 384
    assert theirs.shape[1] == WIDTH
    again, vectors = embed_corpus(tiny_corpus, Encoder())
    assert again is held and vectors is ours


def test_space_names() -> None:
    assert Encoder().space == Encoder("minilm").space == Encoder(encoder_module._HUB_NAME).space == "minilm"
