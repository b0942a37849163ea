"""Checks of corpus folders: everything that is wrong is said at once, and schemas are those of the readers."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data import folder_faults, load_folder, save_folder
from kgrl.data.folder import folder_schemas
from kgrl.errors import KgrlError
from tests.support.made_corpora import corpora

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
TOPICS = ['{"title": "Logic"}', '{"title": "Set"}', '{"titel": "Number"}', '{"title": "Set"}', '{"title": "Law"}']
PASSAGES = [
    '{"topic": "Logic", "text": "Logic is old."}',
    '{"topic": "Set", "text": " "}',
    '{"topic": "Mars", "text": "Mars is red."}',
    '{"topic": "Set", "text": "A set has members.", "split": "train"}',
    "{",
]
LINKS = ["Logic\tSet", "Logic\tMars", "Logic", "Law\tLogic"]


def write(folder: Path) -> Path:
    folder.mkdir()
    for name, lines in (("topics.jsonl", TOPICS), ("passages.jsonl", PASSAGES), ("links.tsv", LINKS)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    (folder / "questions.jsonl").write_text('{"topic": "Logic"}\n')
    return folder


def test_everything_wrong_is_named_by_file_and_line(tmp_path: Path) -> None:
    faults = [(fault.path.name, fault.line) for fault in folder_faults(write(tmp_path / "mine"))]
    assert faults == [
        *(("topics.jsonl", 3), ("topics.jsonl", 4)),
        *(("passages.jsonl", 2), ("passages.jsonl", 3), ("passages.jsonl", 4), ("passages.jsonl", 5)),
        *(("topics.jsonl", 2), ("topics.jsonl", 5)),  # topics without text
        *(("links.tsv", 2), ("links.tsv", 3)),
        ("questions.jsonl", 1),
    ]


def test_missing_files_are_faults_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "links.tsv").unlink()
    (folder / "passages.jsonl").write_bytes("{}".encode("utf-16"))
    reasons = [fault.reason for fault in folder_faults(folder)]
    assert any("links.tsv is missing" in reason for reason in reasons)
    assert any("UTF-16" in reason for reason in reasons)
    (folder / "topics.jsonl").write_text("")
    assert [fault.reason for fault in folder_faults(folder)] == ["it holds no topic"]


def test_the_command_ends_with_1_where_something_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, told = write(tmp_path / "mine"), tmp_path / "told.json"
    assert main(["data", "check", str(folder), "--json", str(told)]) == 1
    out = capsys.readouterr().out
    assert f"{folder}/topics.jsonl:3: 'titel' is no known key" in out
    assert len(json.loads(told.read_text())["faults"]) == 11
    (folder / "topics.jsonl").write_text("\n".join(TOPICS[:1]))
    (folder / "passages.jsonl").write_text(PASSAGES[0])
    (folder / "links.tsv").write_text("")
    (folder / "questions.jsonl").unlink()
    assert main(["data", "check", str(folder)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "none")]) == 2


@given(corpora())
def test_a_folder_that_was_saved_has_no_faults(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> None:
    folder = tmp_path_factory.mktemp("saved") / "corpus"
    save_folder(corpus, folder)
    assert folder_faults(folder) == []


@pytest.mark.parametrize("broken", ["topics.jsonl", "passages.jsonl", "links.tsv"])
def test_a_folder_without_faults_is_one_that_loads(tmp_path: Path, broken: str) -> None:
    """Each line of the broken files alone: the check finds a fault exactly where loading fails."""
    good = {"topics.jsonl": TOPICS[:1], "passages.jsonl": PASSAGES[:1], "links.tsv": ["Logic\tLogic"]}
    for number, line in enumerate({"topics.jsonl": TOPICS, "passages.jsonl": PASSAGES, "links.tsv": LINKS}[broken]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, lines in (good | {broken: [*good[broken], line]}).items():
            (folder / name).write_text("".join(f"{one}\n" for one in lines))
        try:
            load_folder(folder)
        except KgrlError:
            assert folder_faults(folder)
        else:
            assert not folder_faults(folder)


@pytest.mark.parametrize("name", sorted(folder_schemas()))
def test_the_schemas_in_the_docs_are_those_of_the_readers(name: str) -> None:
    """To write them anew: see the page docs/your_text.md."""
    written = msgspec.json.decode((SCHEMAS / f"{name.removesuffix('.jsonl')}.schema.json").read_bytes())
    assert written == folder_schemas()[name]
