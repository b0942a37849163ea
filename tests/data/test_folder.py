"""Corpus folders: read strictly, written whole, and the same there and back."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from kgrl.corpus import Corpus, Split
from kgrl.data.folder import load_folder, save_folder
from kgrl.errors import DataError, MissingDataError
from tests.support.made_corpora import corpora

TEXTS = [
    "Logic is the study of correct reasoning and of what follows from what.",
    "It was taught in three ancient cultures before anyone wrote its rules down.",
    "Modern logic uses symbols, which makes long arguments easy to check.",
    "A set is a collection of things that is a thing itself.",
    "Two sets are the same when they have the same members.",
    "The empty set has no member and is part of every set.",
]


def write(
    folder: Path, topics: list[str] | None = None, links: str | None = None, passages: list[str] | None = None
) -> Path:
    """Write a good folder, or one with some of its files replaced by other lines."""
    folder.mkdir(exist_ok=True)
    if topics is None:
        topics = [json.dumps({"title": "Logic", "category": "Mathematics"}), json.dumps({"title": "Set"})]
    if passages is None:
        passages = [json.dumps({"topic": "Logic" if i < 3 else "Set", "text": text}) for i, text in enumerate(TEXTS)]
    (folder / "topics.jsonl").write_text("\n".join(topics) + "\n", encoding="utf-8")
    (folder / "links.tsv").write_text("Logic\tSet\n" if links is None else links, encoding="utf-8")
    (folder / "passages.jsonl").write_text("\n".join(passages) + "\n", encoding="utf-8")
    return folder


def passage(topic: str, text: str, **more: object) -> str:
    return json.dumps({"topic": topic, "text": text, **more})


def test_a_good_folder_loads(tmp_path: Path) -> None:
    corpus = load_folder(write(tmp_path / "mine"))
    assert corpus.name == "mine"
    assert corpus.graph.titles == ("Logic", "Set")
    assert corpus.graph.categories == ("Mathematics", "")
    assert corpus.graph.out(0).tolist() == [1]
    assert corpus.split_counts.tolist() == [2, 2, 2]


def test_given_splits_are_kept_and_topics_may_be_mixed(tmp_path: Path) -> None:
    lines = [
        passage("Set", "b", split="exam"),
        passage("Logic", "a", split="train"),
        passage("Set", "c", split="train"),
    ]
    corpus = load_folder(write(tmp_path / "mine", passages=lines))
    assert corpus.texts == ["a", "b", "c"]
    assert corpus.splits.tolist() == [Split.TRAIN, Split.EXAM, Split.TRAIN]


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    expected = load_folder(folder)
    (folder / "passages.jsonl").unlink()
    table = pa.table({"topic": ["Logic"] * 3 + ["Set"] * 3, "text": TEXTS})
    pq.write_table(table, folder / "passages.parquet")
    assert load_folder(folder).fingerprint == expected.fingerprint


GOOD = [passage("Logic", TEXTS[0]), passage("Set", TEXTS[3])]
LOGIC, SET = json.dumps({"title": "Logic"}), json.dumps({"title": "Set"})
BAD = {
    "dangling link": ({"links": "Logic\tSet\nLogic\tMars\n"}, "links.tsv", 2, "'Mars' is not a topic"),
    "link with three ends": ({"links": "Logic\tSet\tLogic\n"}, "links.tsv", 1, "two titles"),
    "duplicate topic": ({"topics": [LOGIC, SET, LOGIC]}, "topics.jsonl", 3, "on line 1"),
    "topic without title": ({"topics": [LOGIC, SET, '{"name": "x"}']}, "topics.jsonl", 3, "'name' is no known key"),
    "tab in a title": (
        {"topics": [LOGIC, SET, json.dumps({"title": "a\tb"})]},
        "topics.jsonl",
        3,
        "without control",
    ),
    "line end in a title": (
        {"topics": [LOGIC, SET, json.dumps({"title": "a\n"})]},
        "topics.jsonl",
        3,
        "without control",
    ),
    "topic that is a list": ({"topics": [LOGIC, SET, "[]"]}, "topics.jsonl", 3, "expected an object, found a list"),
    "topic without text": ({"topics": [LOGIC, SET, '{"title": "Mars"}']}, "topics.jsonl", 3, "'Mars' has no text"),
    "empty passage": ({"passages": [*GOOD, passage("Set", " \n ")]}, "passages.jsonl", 3, "is empty"),
    "malformed JSON": ({"passages": [*GOOD, '{"topic": "Set"']}, "passages.jsonl", 3, "not JSON"),
    "half a character": ({"passages": [*GOOD, '{"topic": "Set", "text": "\\ud800"}']}, "passages.jsonl", 3, "half"),
    "unknown topic": ({"passages": [*GOOD, passage("Mars", "red")]}, "passages.jsonl", 3, "'Mars' is not a topic"),
    "unknown split": (
        {"passages": [*GOOD, passage("Set", "x", split="test")]},
        "passages.jsonl",
        3,
        "one of exam, probe",
    ),
    "splits on some lines": ({"passages": [*GOOD, passage("Set", "x", split="exam")]}, "passages.jsonl", 3, "or none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_named_by_file_and_line(tmp_path: Path, case: str) -> None:
    files, name, line, reason = BAD[case]
    with pytest.raises(DataError, match=reason) as caught:
        load_folder(write(tmp_path / "mine", **files))  # type: ignore[arg-type]
    assert (caught.value.path.name, caught.value.line) == (name, line)


@pytest.mark.parametrize("case", BAD)
def test_bad_records_can_be_skipped_with_a_count(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        corpus = load_folder(write(tmp_path / "mine", **BAD[case][0]), on_error="skip")  # type: ignore[arg-type]
    assert corpus.graph.titles == ("Logic", "Set")
    assert "skipped 1 records" in caplog.text


def test_invalid_utf8_is_named_by_line_in_both_formats(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    with (folder / "passages.jsonl").open("ab") as file:
        file.write(b'{"topic": "Set", "text": "\xff"}\n')
    with pytest.raises(DataError, match=r"passages\.jsonl:7: invalid UTF-8"):
        load_folder(folder)
    (folder / "passages.jsonl").unlink()
    texts = pa.array([b"good", b"\xff"], type=pa.binary()).view(pa.string())
    pq.write_table(pa.table({"topic": ["Logic", "Set"], "text": texts}), folder / "passages.parquet")
    with pytest.raises(DataError, match=r"passages\.parquet:2: invalid UTF-8"):
        load_folder(folder)


def test_links_of_skipped_topics_are_skipped_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "mine", topics=[LOGIC, SET, '{"title": "Mars"}'], links="Logic\tSet\nMars\tSet\n")
    corpus = load_folder(folder, on_error="skip")
    assert corpus.graph.n_links == 1
    assert "link of a topic without text: 1, topic without text: 1" in caplog.text


def test_a_topic_may_say_that_it_has_no_text(tmp_path: Path) -> None:
    corpus = load_folder(write(tmp_path / "mine", topics=[LOGIC, SET, '{"title": "Mars", "textless": true}']))
    assert corpus.has(Split.TRAIN).tolist() == [True, True, False]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "links.tsv").unlink()
    with pytest.raises(MissingDataError, match=r"links\.tsv is missing"):
        load_folder(folder)


def test_near_duplicates_do_not_cross_drawn_splits(tmp_path: Path) -> None:
    lines = [passage("Logic", TEXTS[0]) for _ in range(5)] + [passage("Set", TEXTS[3])]
    corpus = load_folder(write(tmp_path / "mine", passages=lines))
    assert len({int(split) for text, split in zip(corpus.texts, corpus.splits, strict=True) if text == TEXTS[0]}) == 1


def test_saving_overwrites_nothing(tmp_path: Path, tiny_corpus: Corpus) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        save_folder(tiny_corpus, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@given(corpora())
def test_saving_and_loading_is_the_identity(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> None:
    folder = tmp_path_factory.mktemp("corpus") / "any"
    save_folder(corpus, folder)
    again = load_folder(folder)
    assert again.fingerprint == corpus.fingerprint and again.questions == corpus.questions
    assert np.array_equal(again.splits, corpus.splits)
