"""Runs whose corpus was moved: paths are absolute, the corpus is known by its fingerprint, and its place may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from kgrl.cli import main
from kgrl.cli.recorded import corpus_of_run
from kgrl.cli.run import RunCommand
from kgrl.cli.view import shown_runs
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.errors import DataError, MissingDataError
from kgrl.rewards.expression import absolute_files
from kgrl.runs import Run
from kgrl.system.files import absolute

SMALL = ("--learner", "scratch:width=16,heads=2", "--budget-tokens", 600, "--expansion-tokens", 300)


def kgrl(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def there(tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a corpus folder `mine` in it."""
    monkeypatch.chdir(tmp_path)
    save_folder(tiny_corpus, tmp_path / "mine")
    return tmp_path


def begun(*more: object, corpus: str = "mine") -> Path:
    assert kgrl("run", "--corpus", corpus, *SMALL, *more, "--out", "run") == 0
    return Path("run").absolute()


def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")


def other_corpus(corpus: Corpus, folder: Path) -> Path:
    texts = [text.replace("bread", "cake") + " More." for text in corpus.texts]
    save_folder(Corpus("other", corpus.graph, texts, corpus.topics, corpus.splits), folder)
    return folder


def without(path: Path, *names: str) -> None:
    """Take entries out of a configuration, as earlier versions had none of them."""
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({name: value for name, value in config.items() if name not in names}))


def test_a_run_is_viewed_and_resumed_from_another_folder(
    there: Path, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun()
    config = Run.read_config(run)
    assert config["corpus"] == str(there / "mine") and config["corpus_fingerprint"] == tiny_corpus.fingerprint
    elsewhere(there, monkeypatch)
    assert shown_runs((run,))[0].corpus.fingerprint == tiny_corpus.fingerprint
    assert kgrl("run", "--resume", run) == 0


def test_a_corpus_that_was_moved_is_named_and_found_again(
    there: Path, tiny_corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begun()
    shutil.move("mine", "moved")
    before = (run / "config.yaml").read_bytes()
    assert kgrl("run", "--resume", run) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"config.yaml: the corpus '{there / 'mine'}' that this run learned from cannot be found" in told
    assert "--corpus" in told
    with pytest.raises(MissingDataError, match="--corpus"):
        shown_runs((run,))
    assert shown_runs((run,), "moved")[0].corpus.fingerprint == tiny_corpus.fingerprint
    assert (run / "config.yaml").read_bytes() == before
    assert kgrl("run", "--resume", run, "--corpus", "moved") == 0
    assert Run.read_config(run) == {**yaml.safe_load(before), "corpus": str(there / "moved")}
    assert kgrl("run", "--resume", run) == 0  # the new place is noted


def test_another_corpus_is_refused_with_both_names(
    there: Path, tiny_corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = begun(), other_corpus(tiny_corpus, there / "other")
    before = (run / "config.yaml").read_bytes()
    for command in (("run", "--resume", run), ("view", run, "--no-browser")):
        assert kgrl(*command, "--corpus", other) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert str(there / "mine") in told and str(other) in told
        assert "so it is another corpus or was changed" in told and "--corpus" in told
    assert (run / "config.yaml").read_bytes() == before


def test_a_corpus_that_changed_in_its_place_is_refused(there: Path, tiny_corpus: Corpus) -> None:
    run = begun()
    shutil.rmtree("mine")
    other_corpus(tiny_corpus, there / "mine")
    with pytest.raises(DataError, match="was changed"):
        corpus_of_run(run)


def test_runs_of_earlier_versions_still_work(
    there: Path, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:  # as earlier versions wrote it down
        patch.setattr(RunCommand, "placed", lambda self: self)
        patch.setattr(RunCommand, "known_corpus", {})
        run = begun()
    assert Run.read_config(run)["corpus"] == "mine"
    assert shown_runs((run,)) and kgrl("run", "--resume", run) == 0
    assert Run.read_config(run)["corpus_fingerprint"] == tiny_corpus.fingerprint  # known from now on
    without(run / "config.yaml", "corpus_fingerprint")
    elsewhere(there, monkeypatch)
    assert kgrl("run", "--resume", run) == 2
    assert "name its place by --corpus" in " ".join(capsys.readouterr().err.split())
    other = other_corpus(tiny_corpus, there / "other")
    assert kgrl("run", "--resume", run, "--corpus", other) == 2  # its checkpoint knows the corpus
    assert f"corpus is '{tiny_corpus.fingerprint}'" not in (told := capsys.readouterr().err)
    assert f"was '{tiny_corpus.fingerprint}'" in told
    assert kgrl("run", "--resume", run, "--corpus", there / "mine") == 0


def test_the_corpus_of_a_task_keeps_its_traps(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun("--task", "noisy")
    known = Run.read_config(run)
    assert known["corpus"] == f"noisy:{there / 'mine'}"
    shutil.move("mine", "moved")
    assert corpus_of_run(run, "moved").fingerprint == known["corpus_fingerprint"]
    assert kgrl("run", "--resume", run, "--corpus", "moved") == 0
    elsewhere(there, monkeypatch)
    assert Run.read_config(run)["corpus"] == f"noisy:{there / 'moved'}"
    assert kgrl("run", "--resume", run) == 0


def test_another_device_may_go_on(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun()
    # There is one device here: a name for it, as `auto` may stand for another one on another machine.
    path = run / "config.yaml"
    path.write_text(path.read_text() + "device: cuda:7\n")
    assert kgrl("run", "--resume", run) == 2
    assert kgrl("run", "--resume", run, "--device", "cpu") == 0
    assert "device" not in Run.read_config(run)


def test_reward_files_get_absolute_paths(there: Path) -> None:
    (there / "mine.py").write_text("def prize(expansion):\n    return 1.0\n")
    (there / "a place").mkdir()
    shutil.copy("mine.py", "a place")
    file, spaced = there / "mine.py", there / "a place" / "mine.py"
    assert absolute_files("mine.py:prize") == f"{file}:prize"
    assert absolute_files("2*mine.py:prize - mine.py:prize") == f"2*{file}:prize - {file}:prize"
    assert absolute_files("a place/mine.py:prize") == f"{spaced}:prize"
    assert absolute_files("gone.py:prize + token-cost") == "gone.py:prize + token-cost"
    run = begun("--reward", "mine.py:prize")
    assert Run.read_config(run)["reward"] == f"{file}:prize"


def test_what_has_a_name_is_no_folder(there: Path, tiny_corpus: Corpus) -> None:
    for name in ("vital", "smollm2", "static", "closure"):
        (there / name).mkdir()
    usual = RunCommand(corpus="vital", agent="closure")
    assert usual.placed() == usual
    typed = RunCommand(corpus="noisy:mine", model="static", encoder="mine:device=cpu", root=Path("mine"))
    assert typed.placed() == RunCommand(
        corpus=f"noisy:{there / 'mine'}",
        model=str(there / "static"),
        encoder=f"{there / 'mine'}:device=cpu",
        root=there / "mine",
    )


def test_links_stay_in_absolute_paths(there: Path) -> None:
    (there / "link").symlink_to("mine")
    assert absolute("link") == str(there / "link")
    (there / "deep" / "er").mkdir(parents=True)
    (there / "away").symlink_to(there / "deep" / "er")
    assert absolute("away/../x") == str(there / "deep" / "x")  # behind a link, .. is another folder's


def test_an_agent_of_a_file_is_found_from_another_folder(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from kgrl.agents.baselines.frontier import Degree\nclass Mine(Degree):\n    pass\n"
    (there / "mine.py").write_text(code)
    run = begun("--agent", "mine.py:Mine")
    assert Run.read_config(run)["agent"] == f"{there / 'mine.py'}:Mine"
    elsewhere(there, monkeypatch)
    assert kgrl("run", "--resume", run) == 0
