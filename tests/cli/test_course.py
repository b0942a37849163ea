"""A course with prerequisites, run by an agent and by a syllabus that somebody wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kgrl.cli import main
from kgrl.data import folder_faults, load_folder
from kgrl.expansion import Expansion
from kgrl.runs import Run
from tests.support.directed import needs_of

pytestmark = pytest.mark.integration

COURSE = Path(__file__).parents[2] / "examples" / "course"
PLACE = ("--nucleus", "Counting", "--learner", "scratch:width=16,heads=2")


def steps_of(folder: Path) -> list[Expansion]:
    return [Expansion.from_json(line) for line in (folder / "curriculum.jsonl").read_text().splitlines()]


def run(out: Path, agent: str, *more: str, corpus: Path = COURSE) -> int:
    return main(["run", "--corpus", str(corpus), *PLACE, "--agent", agent, "--out", str(out), *more])


def test_the_course_of_the_examples_is_in_order() -> None:
    assert folder_faults(COURSE) == []
    corpus = load_folder(COURSE)
    assert sum(map(len, needs_of(corpus).values())) == 19
    lines = (COURSE / "syllabus.txt").read_text().splitlines()
    assert len(lines) == len(corpus.graph) - 1  # the nucleus has been read before


def test_a_syllabus_is_followed_line_by_line(tmp_path: Path) -> None:
    assert run(tmp_path / "order", f"order:{COURSE / 'syllabus.txt'}", "--neighbourhood", "1") == 0
    titles = [step.title for step in steps_of(tmp_path / "order")]
    assert titles == ["Counting", *(COURSE / "syllabus.txt").read_text().splitlines()]
    assert "order:syllabus" in (tmp_path / "order" / "report.html").read_text()
    assert Run.read_config(tmp_path / "order")["reward"] == "none"


@pytest.mark.parametrize("agent", ["closure", "random"])
def test_beside_it_agents_learn_what_is_needed_first(tmp_path: Path, agent: str) -> None:
    """With neighbourhoods, too: no topic is taught in the lesson that teaches what it needs."""
    corpus = load_folder(COURSE)
    assert run(tmp_path / "run", agent) == 0
    needs, learned = needs_of(corpus), set[int]()
    steps = steps_of(tmp_path / "run")
    for step in steps:
        assert all(needs.get(topic, set()) <= learned for topic in step.neighbourhood)
        learned |= {*step.neighbourhood}
    assert len(learned) == len(corpus.graph) and len(steps) < len(corpus.graph)


def test_a_run_is_not_continued_by_another_syllabus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    syllabus = shutil.copy(COURSE / "syllabus.txt", tmp_path / "mine.txt")
    assert run(tmp_path / "run", f"order:{syllabus}", "--budget-tokens", "300") == 0
    assert main(["run", "--resume", str(tmp_path / "run")]) == 0
    syllabus.write_text("\n".join(reversed(syllabus.read_text().splitlines())))
    assert main(["run", "--resume", str(tmp_path / "run")]) == 2
    assert "the run would not be continued as it began: agent is" in " ".join(capsys.readouterr().err.split())


def test_unknown_titles_are_refused_before_anything_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("Counting\nMultiplikation\nDerivative\n")
    assert run(tmp_path / "run", f"order:{tmp_path / 'mine.txt'}") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "mine.txt:2: 'Multiplikation' is not a topic; the nearest is 'Multiplication'" in told
    assert "line 3: 'Derivative' is not a topic; the nearest is 'Derivatives'" in told
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_benchmark_has_it_beside_the_others(tmp_path: Path) -> None:
    corpus = shutil.copytree(COURSE, tmp_path / "course")
    arguments = ["--tasks", "coverage", "--corpus", str(corpus), "--seeds", "1", "--executor", "serial"]
    agents = ["--agents", f"order:{corpus / 'syllabus.txt'}", "--out", str(tmp_path / "bench")]
    told = tmp_path / "told.json"
    command = ["bench", *arguments, *agents, "--budget-tokens", "500", "--json", str(told)]
    assert main(command) == 0
    rows = json.loads(told.read_text())["rows"]
    assert {row["agent"] for row in rows} == {"random", "order:syllabus"}
    assert list((tmp_path / "bench").glob("coverage/*/scratch/order%3Asyllabus/0.json"))
    (corpus / "syllabus.txt").write_text("Integrals\nAddition\n")
    assert main(command) == 2
