"""A corpus's own questions: read strictly, kept with the corpus, and kept apart from what is trained on."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Cloze, Corpus, Split
from kgrl.data import load_corpus
from kgrl.data.folder import load_folder, open_folder
from kgrl.data.questions import questions_about, told_in_training
from kgrl.data.traps.planted import plant
from kgrl.errors import DataError, SettingError
from kgrl.graph import TopicGraph
from kgrl.probes import own_questions

GOOD = {
    "topic": "Logic",
    "statement": "Logic was founded by Aristotle.",
    "answer": "Aristotle",
    "wrong": ["Euclid", "Ptolemy"],
    "group": "people",
}
TEXTS = {
    "Logic": [
        "Logic is the study of correct reasoning and of what follows from what.",
        "It was taught in three ancient cultures before anyone wrote its rules down.",
        "Modern logic uses symbols, which makes long arguments easy to check.",
    ],
    "Set": ["A set is a collection of things that is a thing itself."],
}


def write(folder: Path, *questions: Mapping[str, object], texts: Mapping[str, list[str]] = TEXTS) -> Path:
    """Write a folder of two topics, with questions."""
    folder.mkdir(exist_ok=True)
    (folder / "topics.jsonl").write_text('{"title": "Logic"}\n{"title": "Set"}\n')
    (folder / "links.tsv").write_text("Logic\tSet\n")
    passages = [json.dumps({"topic": topic, "text": text}) for topic in texts for text in texts[topic]]
    (folder / "passages.jsonl").write_text("\n".join(passages) + "\n")
    (folder / "questions.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
    return folder


def test_questions_are_read_with_the_folder(tmp_path: Path) -> None:
    corpus = load_folder(write(tmp_path / "mine", GOOD))
    assert corpus.questions == (Cloze(0, "Logic was founded by ", "Aristotle", ".", ("Euclid", "Ptolemy"), "people"),)
    (question,) = questions_about(corpus, 10)
    assert question.true == "Logic was founded by Aristotle." and question.group == "people"
    assert question.wrong == ("Logic was founded by Euclid.", "Logic was founded by Ptolemy.")


@pytest.mark.parametrize(
    ("statement", "answer", "expected"),
    [
        ("Ada taught Ada.", "Ada", "Ada taught X."),
        ("Ada, of the Adamites, ruled.", "Ada", "X, of the Adamites, ruled."),
        ("C, not C++, is old.", "C++", "C, not X, is old."),
        ("他写了数学家的书。", "数学", "他写了X家的书。"),
        ("He called it 'Home'", "Home'", "He called it 'X"),
    ],
)
def test_the_gap_is_the_last_place_that_has_the_answer_as_words(
    tmp_path: Path, statement: str, answer: str, expected: str
) -> None:
    question = {**GOOD, "statement": statement, "answer": answer, "wrong": ["X"]}
    (cloze,) = load_folder(write(tmp_path / "mine", question)).questions
    assert cloze.statement == statement and cloze.with_name("X") == expected


BAD = {
    "unknown topic": ({"topic": "Mars"}, "'Mars' is not a topic"),
    "statement without the answer": ({"answer": "Plato"}, "the answer 'Plato' is not in it"),
    "answer inside of a word": ({"answer": "Aris"}, "the answer 'Aris' is not in it"),
    "no wrong name": ({"wrong": []}, "needs two answers"),
    "wrong name that is the answer": ({"wrong": ["Euclid", " Aristotle"]}, "' Aristotle' is the answer"),
    "wrong name twice": ({"wrong": ["Euclid", "Euclid"]}, "'Euclid' is given twice"),
    "blank wrong name": ({"wrong": ["Euclid", " "]}, "one is blank"),
    "blank topic": ({"topic": " "}, "topic: expected text"),
    "blank statement": ({"statement": ""}, "statement: expected text"),
    "blank answer": ({"answer": "\u200b"}, "answer: expected text"),
    "blank group": ({"group": ""}, "group: expected text"),
    "unknown field": ({"hops": 1}, "'hops' is no known key"),
    "wrong names as one text": ({"wrong": "Euclid"}, "expected a list, found text"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions_are_named_by_file_and_line(tmp_path: Path, case: str) -> None:
    change, reason = BAD[case]
    with pytest.raises(DataError, match=reason) as caught:
        load_folder(write(tmp_path / "mine", GOOD, {**GOOD, **change}))
    assert (caught.value.path.name, caught.value.line) == ("questions.jsonl", 2)


@pytest.mark.parametrize("case", BAD)
def test_bad_questions_can_be_skipped_with_a_count(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        corpus = load_folder(write(tmp_path / "mine", {**GOOD, **BAD[case][0]}, GOOD), on_error="skip")
    assert len(corpus.questions) == 1 and "skipped 1 records" in caplog.text


def test_every_field_of_a_question_is_needed(tmp_path: Path) -> None:
    for field in GOOD:
        with pytest.raises(DataError, match=field):
            load_folder(write(tmp_path / field, {name: value for name, value in GOOD.items() if name != field}))


def test_passages_that_repeat_a_statement_are_not_trained_on(tmp_path: Path) -> None:
    statement = "Logic was founded by Aristotle, whom nobody had taught how to reason."
    repeated = {"Logic": [statement, *TEXTS["Logic"], statement.upper()], "Set": TEXTS["Set"]}
    question = {**GOOD, "statement": statement}
    corpus = load_folder(write(tmp_path / "mine", question, texts=repeated))
    trained = [text.lower() for text, split in zip(corpus.texts, corpus.splits, strict=True) if split != Split.EXAM]
    assert statement.lower() not in trained and TEXTS["Logic"][0].lower() in trained
    assert told_in_training(corpus) == {}


def test_statements_inside_of_longer_train_passages_are_counted_by_group(tmp_path: Path) -> None:
    """They stay, since the passage says more; so does a statement that a held-out passage has."""
    graph = TopicGraph.from_links(["Logic"], [], [])
    texts = ["It is old. Logic was founded by  ARISTOTLE! So they say.", "Logic was founded by Euclid."]
    asked = [
        Cloze(0, "Logic was founded by ", "Aristotle", ".", ("Ada",), "a"),
        Cloze(0, "Logic was founded by ", "Euclid", ".", ("Ada",), "a"),
        Cloze(0, "founded by Aristotle So they ", "say", "", ("hear",), "b"),
        Cloze(0, "was founded by ", "Arist", "", ("Ada",), "b"),
    ]
    corpus = Corpus("mine", graph, texts, [0, 0], [Split.TRAIN, Split.PROBE], asked)
    assert corpus.told.tolist() == [True, False, True, False]
    assert told_in_training(corpus) == {"a": 1, "b": 1}


def test_a_folder_that_is_opened_again_has_its_questions_until_they_change(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", GOOD)
    first, again = open_folder(folder), open_folder(folder)
    assert again.questions == first.questions and again.fingerprint == first.fingerprint
    write(folder, {**GOOD, "wrong": ["Plato"]})
    changed = open_folder(folder)
    assert changed.questions[0].wrong == ("Plato",) and changed.fingerprint != first.fingerprint


def test_a_corpus_without_questions_has_the_fingerprint_that_it_had(tmp_path: Path) -> None:
    graph = TopicGraph.from_links(["Logic"], [], [])
    bare = Corpus("bare", graph, ["Logic is old."], [0], [0])
    assert bare.fingerprint == "b1d54471783c887c86eb6f1875a226a2b82bdb0b83790e532d842082482932ed"


def test_planted_topics_leave_the_questions(tmp_path: Path, tiny_corpus: Corpus) -> None:
    asked = [Cloze(3, "It was ", "Ada", ".", ("Bob",), "people")]
    corpus = Corpus(
        "tiny", tiny_corpus.graph, tiny_corpus.texts, tiny_corpus.topics, tiny_corpus.splits, questions=asked
    )
    planted = plant(corpus, ["La logique étudie le raisonnement."])
    assert planted.corpus.questions == tuple(asked)


def test_a_question_of_no_topic_is_refused() -> None:
    graph = TopicGraph.from_links(["Logic"], [], [])
    with pytest.raises(ValueError, match="the topic of each question"):
        Corpus("mine", graph, [], [], [], [Cloze(1, "It was ", "Ada", ".", ("Bob",), "people")])


def test_invented_worlds_have_questions_and_others_have_none(tiny_corpus: Corpus) -> None:
    assert {question.group for question in questions_about(load_corpus("invented:400"), 8)} == {"1", "2"}
    with pytest.raises(SettingError, match=r"'tiny' has no questions about facts; .* questions\.jsonl"):
        questions_about(tiny_corpus, 8)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "c"])), max_size=30),
    st.integers(0, 35),
)
def test_questions_are_drawn_from_groups_and_topics_in_turn(kinds: list[tuple[int, str]], size: int) -> None:
    graph = TopicGraph.from_links(["A", "B", "C", "D"], [], [])
    asked = [Cloze(topic, f"{n} is ", "x", ".", ("y",), group) for n, (topic, group) in enumerate(kinds)]
    drawn = own_questions(Corpus("mine", graph, [], [], [], asked), size)
    assert len(drawn) == len({question.true for question in drawn}) == min(size, len(asked))
    of_group, there = Counter(q.group for q in drawn), Counter(group for _, group in kinds)
    for count in of_group.values():  # no group has two more than another that could have had more
        assert all(count <= of_group[other] + 1 for other in there if of_group[other] < there[other])
    of_topic, could = Counter((q.group, q.topic) for q in drawn), Counter((group, topic) for topic, group in kinds)
    for (group, _), count in of_topic.items():
        others = [kind for kind in could if kind[0] == group and of_topic[kind] < could[kind]]
        assert all(count <= of_topic[kind] + 1 for kind in others)
