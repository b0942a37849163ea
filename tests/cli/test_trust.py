"""Code of files of rewards and agents that a folder names runs only if somebody asked for it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import yaml

from kgrl.agents.training.recipe import Aim, Recipe
from kgrl.cli import main
from kgrl.cli.trust import check_code, remember_code
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder
from kgrl.errors import KgrlError

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_agent.py"
CODE = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\ndef prize(expansion):\n    return 1.0\n"


def kgrl(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "from elsewhere" / "prize.py"
    file.parent.mkdir()
    file.write_text(CODE)
    return file


class Terminal(io.StringIO):
    """A terminal on which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "expression", ["{file}:prize", "2*{quick}:prize - token-cost", "clip(-{quick}:prize, 0, 1)", "1e-3*({quick}:prize)"]
)
def test_no_file_runs_that_nobody_gave(expression: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(code.parent)
    reward = expression.format(file=code, quick=code.name)
    with pytest.raises(KgrlError, match=r"config.yaml names the reward file .*prize.py, .*add --trust .*prize.py"):
        check_code(Path("config.yaml"), [reward])
    assert not code.with_suffix(".ran").exists()
    check_code(Path("config.yaml"), [reward], trusted=[code])
    check_code(Path("config.yaml"), [reward])  # remembered from then on
    check_code(Path("config.yaml"), ["token-cost", None, "nowhere.py:prize"])  # no file, or none that is there


def test_what_was_typed_is_remembered_until_it_changes(code: Path, tmp_path: Path) -> None:
    remember_code([f"{code}:prize"])
    check_code(Path("config.yaml"), [f"{code}:prize"])
    copy = tmp_path / "prize.py"
    copy.write_bytes(code.read_bytes())
    for file, text in ((copy, CODE), (code, f"{CODE}\n")):  # elsewhere it may read other files beside it
        file.write_text(text)
        with pytest.raises(KgrlError, match="names the reward file"):
            check_code(Path("config.yaml"), [f"{file}:prize"])


@pytest.mark.parametrize(
    ("typed", "runs"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_terminal_is_asked(typed: str, runs: bool, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", shown)
    if runs:
        check_code(Path("config.yaml"), [f"{code}:prize"])
    else:
        with pytest.raises(KgrlError, match="names the reward file"):
            check_code(Path("config.yaml"), [f"{code}:prize"])
    assert "config.yaml names the reward file" in shown.getvalue().replace("\n", " ")


def test_agents_are_asked_about_as_well(code: Path) -> None:
    with pytest.raises(KgrlError, match=r"names the agent file .*nobody gave as --agent here before.*add --trust"):
        check_code(Path("config.yaml"), [None], ["closure", f"{code}:Prize"])
    assert not code.with_suffix(".ran").exists()
    remember_code([], [f"{code}:Prize"])
    check_code(Path("config.yaml"), [None], ["closure", f"{code}:Prize", "nowhere.py:Prize"])


def test_a_cache_that_cannot_be_written_is_no_obstacle(code: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    check_code(Path("config.yaml"), [f"{code}:prize"], trusted=[code])


def test_the_commands_refuse_what_others_name(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"corpus": "vital", "reward": f"{code}:prize"}))
    assert kgrl("run", "--resume", run) == 2
    assert f"{run / 'config.yaml'} names the reward file" in capsys.readouterr().err
    (run / "config.yaml").write_text(yaml.safe_dump({"corpus": "vital", "agent": f"{code}:Prize"}))
    assert kgrl("run", "--resume", run) == 2
    assert f"{run / 'config.yaml'} names the agent file" in capsys.readouterr().err
    Recipe(aims=(Aim("vital", f"{code}:prize", (None,)),)).write(tmp_path / "mine.yaml")
    assert kgrl("train", "--recipe", tmp_path / "mine.yaml", "--out", tmp_path / "policy") == 2
    assert f"{tmp_path / 'mine.yaml'} names the reward file" in capsys.readouterr().err
    assert not code.with_suffix(".ran").exists() and not (tmp_path / "policy").exists()


@pytest.mark.integration
def test_a_run_that_began_here_goes_on_unasked_and_one_from_elsewhere_does_not(
    tiny_corpus: Corpus, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tiny_corpus, tmp_path / "corpus")
    own = ("--reward", f"{code}:prize", "--learner", "scratch", "--budget-tokens", 1_000, "--agent", "random")
    assert kgrl("run", "--corpus", tmp_path / "corpus", *own, "--out", tmp_path / "run") == 0
    assert kgrl("run", "--resume", tmp_path / "run") == 0
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache of somebody else"))
    assert kgrl("run", "--resume", tmp_path / "run") == 2
    assert kgrl("run", "--resume", tmp_path / "run", "--trust", code) == 0


@pytest.mark.integration
def test_a_run_of_an_agent_of_a_file_goes_on_in_another_folder_and_is_asked_about_elsewhere(
    tiny_corpus: Corpus, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tiny_corpus, tmp_path / "corpus")
    code.write_text(EXAMPLE.read_text(encoding="utf-8"))
    monkeypatch.chdir(code.parent)
    own = ("--learner", "scratch", "--budget-tokens", 1_000, "--agent", f"{code.name}:TrainOfThought")
    assert kgrl("run", "--corpus", tmp_path / "corpus", *own, "--out", tmp_path / "run") == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["agent"] == f"{code}:TrainOfThought"
    monkeypatch.chdir(tmp_path)
    assert kgrl("run", "--resume", "run") == 0
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache of somebody else"))
    assert kgrl("run", "--resume", "run") == 2
    assert kgrl("run", "--resume", "run", "--trust", code) == 0
