"""Kinds of links in corpus folders: read, written, checked, and part of what a corpus is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data import folder_faults, load_folder, save_folder
from kgrl.data.folder import open_folder
from kgrl.errors import DataError
from tests.support.directed import directed, needs_of
from tests.support.made_corpora import corpora

TITLES = ["Counting", "Addition", "Fractions", "Abacus"]


def write(folder: Path, links: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "topics.jsonl").write_text("".join(json.dumps({"title": title}) + "\n" for title in TITLES))
    texts = ({"topic": title, "text": f"{title} has page {n} of its own."} for title in TITLES for n in range(3))
    (folder / "passages.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    (folder / "links.tsv").write_text(links)
    return folder


def test_lines_have_a_kind_or_none(tmp_path: Path) -> None:
    links = "Counting\tAddition\tprerequisite\nAddition\tFractions\tlink\nAbacus\tCounting\n"
    corpus = load_folder(write(tmp_path / "mine", links))
    assert needs_of(corpus) == {1: {0}} and corpus.graph.n_links == 3


def test_a_kind_stands_behind_a_place(tmp_path: Path) -> None:
    links = "Counting\tAddition\t4\tprerequisite\nAddition\tFractions\t-1\tlink\nAbacus\tCounting\t7\n"
    graph = load_folder(write(tmp_path / "mine", links)).graph
    assert graph.prerequisites()[0].tolist() == [0] and graph.places is not None
    assert graph.places[graph.positions([0, 1, 3], [1, 2, 0])].tolist() == [4, -1, 7]


def test_a_link_written_twice_is_a_prerequisite_if_one_line_says_so(tmp_path: Path) -> None:
    links = "Counting\tAddition\nCounting\tAddition\tprerequisite\nCounting\tAddition\tlink\n"
    corpus = load_folder(write(tmp_path / "mine", links))
    assert needs_of(corpus) == {1: {0}} and corpus.graph.n_links == 1


def test_plain_kinds_change_nothing_and_prerequisites_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    lines = ["Counting\tAddition", "Addition\tFractions"]
    plain = load_folder(write(tmp_path / "mine", "\n".join(lines)))
    named = load_folder(write(tmp_path / "mine", "\n".join(f"{line}\tlink" for line in lines)))
    needed = load_folder(write(tmp_path / "mine", f"{lines[0]}\tprerequisite\n{lines[1]}"))
    assert plain.fingerprint == named.fingerprint != needed.fingerprint
    assert plain.graph.prerequisite is None and named.graph.prerequisite is None


@pytest.mark.parametrize(
    ("links", "line", "told"),
    [
        ("Abacus\tCounting\nCounting\tAddition\tprerequisit\n", 2, "'prerequisit'; did you mean 'prerequisite'?"),
        ("Counting\tAddition\t4\tneeds\n", 1, "unknown kind of link 'needs'.* link or prerequisite"),
        ("Counting\tAddition\tprerequisite\t4\n", 1, "two titles with one tab"),
        ("Counting\tCounting\tprerequisite\n", 1, "circle: 'Counting' before 'Counting'; take one of them out"),
        (
            "Counting\tAddition\tprerequisite\nAbacus\tCounting\nFractions\tCounting\tprerequisite\n"
            "Addition\tFractions\tprerequisite\n",
            3,
            "circle: 'Counting' before 'Addition' before 'Fractions' before 'Counting'",
        ),
    ],
)
def test_bad_kinds_are_named_by_line(tmp_path: Path, links: str, line: int, told: str) -> None:
    folder = write(tmp_path / "bad", links)
    with pytest.raises(DataError, match=told) as caught:
        load_folder(folder)
    (fault,) = folder_faults(folder)
    assert caught.value.line == fault.line == line and fault.reason == caught.value.reason


def test_every_circle_is_told_and_skipping_leaves_plain_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("Counting", "Addition"), ("Addition", "Counting"), ("Fractions", "Abacus"), ("Abacus", "Fractions")]
    folder = write(tmp_path / "bad", "".join(f"{a}\t{b}\tprerequisite\n" for a, b in pairs))
    assert main(["data", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "links.tsv:2: prerequisites go round in a circle: 'Counting' before 'Addition' before 'Counting'" in out
    assert "links.tsv:4: prerequisites go round in a circle: 'Fractions' before 'Abacus' before 'Fractions'" in out
    corpus = load_folder(folder, on_error="skip")
    assert corpus.graph.n_links == 4 and needs_of(corpus) == {1: {0}, 3: {2}}


@given(corpora())
def test_a_saved_folder_keeps_prerequisites(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> None:
    course, folder = directed(corpus, share=1), tmp_path_factory.mktemp("saved") / "corpus"
    places = np.arange(course.graph.n_links, dtype=np.int32) - 1
    placed = Corpus("any", course.graph.with_places(places), course.texts, course.topics, course.splits)
    for number, made in enumerate((course, placed)):
        save_folder(made, folder / str(number))
        again = load_folder(folder / str(number))
        # A graph without links has no places to tell.
        assert needs_of(again) == needs_of(made) and again.graph.n_links == made.graph.n_links
        assert folder_faults(folder / str(number)) == []


def test_an_opened_folder_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "mine", "Counting\tAddition\tprerequisite\nAbacus\tCounting\n")
    first = open_folder(folder)
    assert first.fingerprint == load_folder(folder).fingerprint and needs_of(first) == {1: {0}}


def test_exports_name_the_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "mine", "Counting\tAddition\tprerequisite\nAbacus\tCounting\n")
    told = tmp_path / "told.json"
    for name in ("graph.tsv", "graph.json"):
        arguments = ["--corpus", str(folder), "--export", str(tmp_path / name), "--json", str(told)]
        assert main(["graph", *arguments]) == 0
    assert (tmp_path / "graph.tsv").read_text() == "Counting\tAddition\tprerequisite\nAbacus\tCounting\n"
    edges = json.loads((tmp_path / "graph.json").read_text())["edges"]
    assert [edge.get("kind") for edge in edges] == ["prerequisite", None]
    assert json.loads(told.read_text())["prerequisites"] == 1
