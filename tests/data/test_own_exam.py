"""Exams of users' own: `exam.jsonl` of a corpus folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Split, near_duplicates
from kgrl.data import folder_faults, load_corpus, load_folder, save_folder
from kgrl.data.own_exam import repeated_wording
from kgrl.errors import DataError, KgrlError
from kgrl.exam import Exam

LOGIC = [f"Logic says in its part {n} that premises of kind {n} lead to conclusions of kind {n}." for n in range(5)]
SETS = [f"A set of sort {n} has members of sort {n} and is equal to a set with the same members." for n in range(5)]
OWN = ["Whoever reasons well ends with a truth that was hidden.", "Two collections that hold alike are alike."]


def write(folder: Path, exam: list[dict[str, str]] | None, splits: list[str] | None = None) -> Path:
    passages = [{"topic": title, "text": text} for title, texts in (("Logic", LOGIC), ("Set", SETS)) for text in texts]
    if splits is not None:
        passages = [{**passage, "split": split} for passage, split in zip(passages, splits, strict=True)]
    topics = [{"title": "Logic"}, {"title": "Set"}, {"title": "Empty", "textless": True}]
    folder.mkdir(exist_ok=True)
    for name, lines in (("topics", topics), ("passages", passages), ("exam", exam)):
        if lines is not None:
            (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "links.tsv").write_text("Logic\tSet\n")
    return folder


def own(*topics: str) -> list[dict[str, str]]:
    return [{"topic": topic, "text": text} for topic, text in zip(topics, OWN, strict=False)]


def test_it_takes_the_place_of_drawn_passages_and_these_are_learned_from(tmp_path: Path) -> None:
    drawn = load_folder(write(tmp_path / "drawn", None))
    corpus = load_folder(write(tmp_path / "mine", own("Set", "Set")))
    assert [corpus.texts[i] for i in np.flatnonzero(corpus.splits == Split.EXAM)] == OWN
    assert corpus.split_counts.tolist() == [8, 2, 2] and drawn.split_counts.tolist() == [6, 2, 2]
    assert sorted(corpus.texts) == sorted([*LOGIC, *SETS, *OWN])
    assert [corpus.graph.titles[topic] for topic in Exam(corpus).topics] == ["Set"]
    with pytest.raises(KgrlError, match="to be examined has an exam passage; 1 of its 3 topics have one"):
        Exam(corpus, np.array([0], dtype=np.int32))


def test_given_exam_passages_give_way(tmp_path: Path) -> None:
    given = ["train", "train", "train", "probe", "exam"] * 2
    corpus = load_folder(write(tmp_path / "mine", own("Logic"), given))
    assert corpus.split_counts.tolist() == [6, 2, 1]
    assert LOGIC[4] not in list(corpus.texts) and SETS[4] not in list(corpus.texts)


def test_what_was_saved_loads_as_the_same(tmp_path: Path) -> None:
    corpus = load_folder(write(tmp_path / "mine", own("Logic", "Set")))
    save_folder(corpus, tmp_path / "saved")
    assert load_folder(tmp_path / "saved", name="mine").fingerprint == corpus.fingerprint


@pytest.mark.parametrize("splits", [None, ["train"] * 4 + ["probe"] + ["train"] * 5])
@pytest.mark.parametrize("copied", [4, 7])
def test_passages_that_are_learned_are_refused_by_line_or_counted(
    tmp_path: Path, splits: list[str] | None, copied: int, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{[*LOGIC, *SETS][copied].upper()} So it is!"  # a near-duplicate
    folder = write(tmp_path / "mine", [*own("Logic"), {"topic": "Logic", "text": text}], splits)
    with pytest.raises(DataError, match=r"exam.jsonl:2: text: more than half .* say it in other words"):
        load_folder(folder)
    corpus = load_folder(folder, on_error="skip")
    assert corpus.split_counts[Split.EXAM] == 1 and "exam passage that is learned: 1" in caplog.text
    assert sum(corpus.split_counts) == 11


def test_learned_passages_that_stand_in_a_longer_exam_passage_are_dropped(tmp_path: Path) -> None:
    long = f"{LOGIC[2]} {' '.join(f'Word{n} stands here.' for n in range(30))}"
    for splits in (None, ["train"] * 10):
        corpus = load_folder(write(tmp_path / "mine", [{"topic": "Set", "text": long}], splits))
        assert LOGIC[2] not in list(corpus.texts) and LOGIC[3] in list(corpus.texts)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"topic": "Mars", "text": "Mars is red."}, "'Mars' is not a topic"),
        ({"topic": "Empty", "text": "Nothing is here."}, "the topic 'Empty' has no passage to learn from"),
        ({"topic": "Set", "text": " \u200b"}, "the passage of 'Set' is empty"),
        ({"topic": "Set", "text": OWN[0].upper()}, "the passage has the words of line 1"),
        ({"topic": "Set", "txt": "A"}, "'txt' is no known key; did you mean 'text'"),
    ],
)
def test_faults_are_named_by_line(tmp_path: Path, line: dict[str, str], told: str) -> None:
    folder = write(tmp_path / "mine", [*own("Logic"), line])
    (fault,) = folder_faults(folder)
    assert (fault.path.name, fault.line) == ("exam.jsonl", 2) and told in fault.reason
    with pytest.raises(DataError, match=r"exam.jsonl:2"):
        load_folder(folder)
    assert load_folder(folder, on_error="skip").split_counts[Split.EXAM] == 1


def test_an_exam_without_a_passage_is_not_drawn_instead(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", [])
    assert "holds no passage that can be used" in folder_faults(folder)[0].reason
    with pytest.raises(DataError, match="delete the file to have exam passages drawn"):
        load_folder(folder, on_error="skip")


def test_a_folder_is_read_anew_when_its_exam_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "mine", own("Logic"))
    first = load_corpus(str(folder))
    assert load_corpus(str(folder)).fingerprint == first.fingerprint
    write(folder, own("Logic", "Set"))
    assert load_corpus(str(folder)).split_counts[Split.EXAM] == 2


_WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=14).map(" ".join)


@given(exam=st.lists(_WORDS, max_size=5), learned=st.lists(_WORDS, max_size=5))
def test_wording_is_compared_as_near_duplicates_are(exam: list[str], learned: list[str]) -> None:
    told, inside = repeated_wording(exam, learned)
    splits = np.array([Split.EXAM] * len(exam) + [Split.TRAIN] * len(learned), dtype=np.uint8)
    assert inside.tolist() == near_duplicates([*exam, *learned], splits)[len(exam) :].tolist()
    assert told.tolist() == near_duplicates([*learned, *exam], 2 - splits[::-1])[len(learned) :].tolist()
