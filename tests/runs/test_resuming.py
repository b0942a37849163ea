"""Resumed runs: they are refused unless they are the runs they were, and a folder is one process's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kgrl.agents import make_agent
from kgrl.agents.baselines.nucleated import RandomNucleated
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import View
from kgrl.errors import DataError, KgrlError
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.runs import Run
from kgrl.runs.checkpoint import _digest
from kgrl.runs.place import hold_folder, unused_folder
from tests.runs.test_run import StopError, interrupted, run_in

Make = Callable[..., Curriculum]


@pytest.fixture
def cut(make_tiny_curriculum: Make, tmp_path: Path) -> Path:
    """A run that ended after its third expansion."""
    interrupted(tmp_path / "cut", make_tiny_curriculum(budget_tokens=900), 2)
    return tmp_path / "cut"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def drop_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def double_line(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines]))


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["curriculum.jsonl", "metrics.jsonl"])
@pytest.mark.parametrize(("change", "message"), [(drop_line, r"has \d whole lines"), (double_line, "lines were added")])
def test_a_record_that_lost_or_gained_lines_is_refused(
    make_tiny_curriculum: Make, cut: Path, name: str, change: Callable[[Path], None], message: str
) -> None:
    change(cut / name)
    before = content(cut)
    with pytest.raises(DataError, match=message) as refused:
        run_in(cut, make_tiny_curriculum(budget_tokens=900)).carry_out()
    assert str(cut / name) in str(refused.value) and "--out" in str(refused.value)
    with pytest.raises(DataError, match=message):
        Run.check_resumable(cut)
    assert content(cut) == before


@pytest.mark.parametrize("change", [flip_bit, halve, Path.unlink])
def test_a_damaged_checkpoint_is_named(make_tiny_curriculum: Make, cut: Path, change: Callable[[Path], None]) -> None:
    for path in sorted(p for p in (cut / "checkpoint").rglob("*") if p.is_file()):
        kept = path.read_bytes()
        change(path)
        if path.exists() or path.name != "latest.json":  # without a checkpoint a run begins anew
            with pytest.raises(DataError, match=r"damaged|missing") as refused:
                run_in(cut, make_tiny_curriculum(budget_tokens=900)).carry_out()
            assert str(path) in str(refused.value)
        path.write_bytes(kept)
    assert run_in(cut, make_tiny_curriculum(budget_tokens=900)).carry_out().expansions[-1].tokens_total == 900


@pytest.mark.parametrize(
    ("reward", "settings", "message"),
    [
        ("mean-prediction-gain", {"seed": 1}, "settings seed is 1 and was 0"),
        ("mean-prediction-gain", {"neighbourhood": 2}, "settings neighbourhood is 2 and was 3"),
        ("token-cost", {}, "reward is .*token-cost"),
    ],
)
def test_another_curriculum_does_not_continue_a_run(
    make_tiny_curriculum: Make, cut: Path, reward: str, settings: dict[str, int], message: str
) -> None:
    before = content(cut)
    with pytest.raises(DataError, match=message):
        run_in(cut, make_tiny_curriculum(reward, budget_tokens=900, **settings)).carry_out()
    assert content(cut) == before


def test_a_changed_configuration_corpus_or_version_is_refused(
    make_tiny_curriculum: Make, cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = (cut / "config.yaml").read_text()
    (cut / "config.yaml").write_text(config.replace("seed: 0", "seed: 1"))
    with pytest.raises(DataError, match=r"config\.yaml: .*config seed is 1 and was 0"):
        Run.check_resumable(cut)
    (cut / "config.yaml").write_text(config)
    with monkeypatch.context() as patch:
        patch.setattr("kgrl.runs.run.version", lambda name: "9.9")
        with pytest.raises(DataError, match=r"kgrl is '9\.9' and was"):
            Run.check_resumable(cut)
    curriculum = make_tiny_curriculum(budget_tokens=900)
    curriculum.corpus.__dict__["fingerprint"], kept = "cut", curriculum.corpus.fingerprint
    try:
        with pytest.raises(DataError, match="corpus is 'cut' and was"):
            run_in(cut, curriculum).carry_out()
    finally:
        curriculum.corpus.__dict__["fingerprint"] = kept


@pytest.mark.parametrize(
    ("found", "told"), [(None, "format 1, of another kgrl, whose records do not"), (9, "format 9,")]
)
def test_a_run_of_another_format_is_refused_with_what_to_do(
    make_tiny_curriculum: Make, cut: Path, found: int | None, told: str
) -> None:
    """Before records had the losses of passages, checkpoints had no format."""
    path = cut / "checkpoint" / "latest.json"
    state = json.loads(path.read_text())
    del state["format"], state["sha256"]
    state |= {} if found is None else {"format": found}
    path.write_text(json.dumps({**state, "sha256": _digest(state)}))
    before = content(cut)
    with pytest.raises(DataError, match=f"latest.json: .*{told}.*the kgrl that began it, or .*--out"):
        Run.check_resumable(cut)
    with pytest.raises(DataError, match=told):
        run_in(cut, make_tiny_curriculum(budget_tokens=900)).carry_out()
    assert content(cut) == before


class Drawing(RandomNucleated):
    """Draws at its reset, too."""

    def reset(self, view: View) -> None:
        super().reset(view)
        self.drawn = view.rng.random()


KNOWING = {"mastery": "gap:1.6", "most_readings": 0, "budget_tokens": 1_500, "nucleus_share": 0.3}


@pytest.mark.parametrize("agent", ["random", "nucleated", "drawing"])
def test_a_run_that_knows_goes_on_as_if_nothing_had_happened(
    make_tiny_curriculum: Make, tmp_path: Path, agent: str
) -> None:
    """Wherever it is stopped: within the nucleus, which takes several lessons, right after it, or later."""

    def run(name: str) -> Run:
        curriculum = make_tiny_curriculum("mean-prediction-gain", **KNOWING)
        made = Drawing() if agent == "drawing" else make_agent(agent)
        return Run(tmp_path / name, curriculum, made, Exam(curriculum.corpus, size=10), {}, exam_every=1)

    whole = run("whole").carry_out()
    nucleus = sum(step.topic == whole.expansions[0].topic for step in whole.expansions[:3])
    assert nucleus > 1 and whole.curve[1][1] > whole.curve[2][1], "an exam after each lesson on the nucleus"
    for after in (0, nucleus - 1, nucleus, len(whole.expansions) - 2):

        def stop(expansion: Expansion, loss: float | None, after: int = after) -> None:
            if expansion.index == after:
                raise StopError

        with pytest.raises(StopError):
            run(f"cut {after}").carry_out(stop)
        resumed = run(f"cut {after}").carry_out()
        assert resumed.expansions == whole.expansions and resumed.curve == whole.curve
        for name in ("curriculum.jsonl", "metrics.jsonl"):
            assert timeless(tmp_path / f"cut {after}" / name) == timeless(tmp_path / "whole" / name)


def timeless(path: Path) -> list[dict[str, object]]:
    """The lines of a record without what a clock said."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if "seconds" not in name} for line in lines]


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"])
def test_a_configuration_that_is_none_is_named(cut: Path, text: str) -> None:
    (cut / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml:(1:)? "):
        Run.check_resumable(cut)


def test_a_line_that_is_no_record_is_named(cut: Path) -> None:
    with (cut / "curriculum.jsonl").open("a") as file:
        file.write("[]\n")
    with pytest.raises(DataError, match=r"curriculum\.jsonl:4: expected an object, found a list"):
        Run.read_expansions(cut)


def test_the_last_exam_of_a_finished_run_is_part_of_its_checkpoint(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    run_in(tmp_path, make_tiny_curriculum(budget_tokens=900), exam_every=100).carry_out()
    marks = json.loads((tmp_path / "checkpoint" / "latest.json").read_text())["records"]
    assert marks["metrics"]["lines"] == len((tmp_path / "metrics.jsonl").read_text().splitlines())
    before = (tmp_path / "metrics.jsonl").read_bytes()
    run_in(tmp_path, make_tiny_curriculum(budget_tokens=900), exam_every=100).carry_out()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_folder_is_one_process_s(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from kgrl.runs.place import hold_folder\n"
    code += "with hold_folder(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(KgrlError, match="another process works in"):
            run_in(tmp_path, make_tiny_curriculum(budget_tokens=900)).carry_out()
        other.kill()  # the lock ends with its process, however that ends
        other.wait()
    assert run_in(tmp_path, make_tiny_curriculum(budget_tokens=900)).carry_out().expansions


def test_a_folder_in_which_nothing_came_about_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_folder(tmp_path / "run"), hold_folder(tmp_path / "run"):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()
    assert unused_folder(tmp_path / "run") != unused_folder(tmp_path / "run")
