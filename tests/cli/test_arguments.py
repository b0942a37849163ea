"""Arguments: help in plain sentences that fit the terminal, parsing, and values that are refused before any work."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kgrl.cli import COMMANDS, main, parse
from kgrl.cli.arguments import CommandGroup
from kgrl.cli.bench import BenchCommand
from kgrl.cli.run import RunCommand

WIDTH = 100


def paths(commands: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield ()
    for name, command in commands.items():
        inner = paths(command.commands) if isinstance(command, CommandGroup) else [()]
        yield from ((name, *words) for words in inner)


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", sorted(set(paths(COMMANDS))), ids=" ".join)
def test_help_is_plain_and_fits(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(capsys, monkeypatch, *words)
    usage, *rest = text.splitlines()
    assert usage.startswith(" ".join(("usage: kgrl", *words)))
    assert all(len(line) <= WIDTH for line in rest)
    assert "None" not in text and "(default: )" not in text
    # A line of a docstring that begins with a digit or a bracket is broken there, far from the edge.
    inner = [line.strip("│") for line in rest if line.startswith("│")]
    for line, following in pairwise(inner):
        word = re.match(r" {6,}([\d(][^ ]*)", following)
        if word and not word[1].startswith("(default") and not word[1].startswith("(required"):
            assert len(line.rstrip()) + len(word[1]) + 3 > WIDTH - 2, f"{line.strip()} / {following.strip()}"


def test_the_list_of_commands_has_their_first_paragraphs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(shown(capsys, monkeypatch).replace("│", " ").split())
    assert "test whether learning follows links." in text and "--suite agents" not in text
    bench = " ".join(shown(capsys, monkeypatch, "bench").split())
    assert "--suite agents" in bench and "all goals together" in bench


def test_an_argument_that_is_left_out_is_none_and_several_are_a_tuple() -> None:
    graph: Any = parse(["graph", "--goal", "Mathematics", "--export", "a.tsv"])
    assert (graph.goal, graph.export, graph.root, graph.json) == ("Mathematics", Path("a.tsv"), None, None)
    bench: Any = parse(["bench", "--agents", "bfs", "dfs", "--budget-tokens", "500"])
    assert (bench.agents, bench.tasks, bench.corpus, bench.budget_tokens) == (("bfs", "dfs"), (), ("vital",), 500)
    train: Any = parse(["train", "--track", "wandb", "--nucleus", "Logic"])
    assert (train.track, train.nucleus) == ("wandb", ("Logic",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bnch"], "bench"),
        (["data"], "import-dump"),
        (["research", "serch"], "search"),
        (["merge", "a", "b"], "--out"),
        (["bench", "--suite", "agent"], "agents"),
        (["graph", "--nucleus-size", "many"], "--nucleus-size"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_names_the_way_out(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quickstart", "--agent", "random"], "choose another --agent"),
        (["run", "--exam-every", "0"], "--exam-every must be at least 1"),
        (["run", "--link-recall", "-1"], "--link-recall must be at least 0"),
        (["bench", "--seeds", "0"], "--seeds must be at least 1"),
        (["bench", "--seeds", str(10**40)], "--seeds must be at most"),
        (["run", "--seed", "-1"], "--seed must be at least 0"),
        (["run", "--seed", str(10**40)], "--seed must be at most"),
        (["run", "--exam-topics", "0"], "--exam-topics must be at least 1"),
        (["run", "--budget-tokens", str(10**40)], "--budget-tokens must be at most"),
        (["train", "--seed", "-1"], "--seed must be at least 0"),
        (["train", "--slots", "100000000"], "--slots must be at most"),
        (["train", "--slots", "0"], "--slots must be at least 1"),
        (["research", "run", "--nucleus", "Physics", "--rate", "nan"], "--rate must be at least"),
        (["research", "run", "--nucleus", "Physics", "--workers", "-1"], "--workers must be at least 0"),
    ],
)
def test_a_value_without_sense_is_refused_before_anything_is_loaded(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sigterm_ends_a_command_as_ctrl_c_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(BenchCommand, "run", lambda command: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(RunCommand, "_run_in", lambda command, folder: signal.raise_signal(signal.SIGTERM))
    assert main(["bench"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert main(["run", "--out", str(tmp_path / "run")]) == 130
    assert "interrupted before the run began" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before and not (tmp_path / "run").exists()


def test_threads_of_a_command_wait_without_spinning_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BenchCommand, "run", lambda command: {})
    for given, expected in ((None, "passive"), ("active", "active")):
        monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
        if given is None:
            monkeypatch.delenv("OMP_WAIT_POLICY")
        assert main(["bench"]) == 0
        assert os.environ["OMP_WAIT_POLICY"] == expected


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RunCommand, "default_name", lambda command: "same")
    monkeypatch.setattr(RunCommand, "_run_in", lambda command, folder: {"written": (folder / "a").write_text("")})
    assert [main(["run"]) for _ in range(3)] == [0, 0, 0]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["same", "same-2", "same-3"]
