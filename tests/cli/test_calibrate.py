"""`kgrl calibrate`: run folders in, a calibration out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.learners.simulated.calibration import Calibration


def kgrl(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def corpus_folder(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    save_folder(tiny_corpus, folder)
    return folder


def write_run(folder: Path, **config: object) -> Path:
    """A run folder whose run was stopped before its first expansion."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"learner": "scratch", "plugins": [], "seed": 0, **config}))
    (folder / "curriculum.jsonl").write_text("")
    return folder


@pytest.mark.integration
def test_runs_of_a_scratch_learner_become_a_calibration(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for agent, seed in (("random", 0), ("bfs", 1)):
        runs.append(tmp_path / f"{agent}{seed}")
        setting = ("--corpus", corpus_folder, "--learner", "scratch", "--agent", agent, "--seed", seed)
        sizes = ("--budget-tokens", 4000, "--expansion-tokens", 250, "--neighbourhood", 3)
        # These agents read no probes; a calibration is fitted to them.
        assert kgrl("run", *setting, *sizes, "--reward", "mean-prediction-gain", "--out", runs[-1]) == 0
    out, result = tmp_path / "calibration.json", tmp_path / "result.json"
    capsys.readouterr()
    assert kgrl("calibrate", "--runs", *runs, "--out", out, "--members", 3, "--json", result) == 0
    calibration, printed = Calibration.read(out), capsys.readouterr().out
    assert (calibration.learner, calibration.fitted.runs, len(calibration.members)) == ("scratch", 2, 3)
    assert calibration.errors.fit < calibration.errors.no_change
    assert calibration.tokens_per_word > 1
    figures = json.loads(result.read_text())
    assert figures["errors"]["fit"] == calibration.errors.fit and figures["out"] == str(out)
    for said in ("scratch on", "mean change", f"{calibration.errors.mean_change:.4f}", "style_tokens"):
        assert said in printed


def test_records_without_probes_are_too_few(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", corpus=str(corpus_folder))
    assert kgrl("calibrate", "--runs", run, "--out", tmp_path / "c.json") == 2
    assert "found 0 expansions with probes and 0 forks; a calibration needs at least 20" in capsys.readouterr().err
    assert not (tmp_path / "c.json").exists()


def test_runs_on_one_corpus_in_several_places_are_of_one_corpus(
    corpus_folder: Path, tiny_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tiny_corpus.fingerprint
    first = write_run(tmp_path / "first", corpus="/gone", corpus_fingerprint=known)
    second = write_run(tmp_path / "second", corpus=str(corpus_folder), corpus_fingerprint=known)
    third = write_run(tmp_path / "third", corpus="../typed")
    for runs, place, told in (
        ((first, second), (), "the corpus '/gone' that this run learned from cannot be found"),
        ((first, second), ("--corpus", corpus_folder), "found 0 expansions with probes"),
        ((first, third), ("--corpus", corpus_folder), "found 0 expansions with probes"),
        ((first, third), (), f"{third} has corpus '../typed'"),
    ):
        assert kgrl("calibrate", "--runs", *runs, *place, "--out", tmp_path / "c.json") == 2
        assert told in " ".join(capsys.readouterr().err.split())
    other = write_run(tmp_path / "other", corpus=str(corpus_folder), corpus_fingerprint="0" * 64)
    assert kgrl("calibrate", "--runs", other, "--out", tmp_path / "c.json") == 2
    assert "so it is another corpus or was changed" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("other", "name"),
    [({"learner": "lora"}, "learner"), ({"corpus": "vital"}, "corpus"), ({"plugins": ["replay"]}, "plugins")],
)
def test_runs_of_different_learners_are_refused(
    other: dict[str, object], name: str, corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_run(tmp_path / "first", corpus=str(corpus_folder))
    second = write_run(tmp_path / "second", **{"corpus": str(corpus_folder), **other})
    assert kgrl("calibrate", "--runs", first, second, "--out", tmp_path / "c.json") == 2
    assert f"{second} has {name} {other[name]!r}" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kgrl("calibrate", "--runs", tmp_path, "--out", tmp_path / "c.json") == 2
    assert f"{tmp_path / 'config.yaml'}: no such file" in capsys.readouterr().err
