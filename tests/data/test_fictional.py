"""Fictional Knowledge: articles as topics, paraphrases held out, cloze questions with names that are alike."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.benchmark.tasks import make_task
from kgrl.corpus import Corpus, Split, near_duplicates
from kgrl.data import load_corpus
from kgrl.data.fictional.corpus import ARTICLES_FILE, article_title, load_fictional
from kgrl.data.fictional.questions import DEPTHS, FictionalArticle, write_questions
from kgrl.data.questions import told_in_training
from kgrl.errors import DataError, MissingDataError
from kgrl.system.words import without_case

WORDS = {"mem": "It was founded in", "gen": "The foundation took place in", "hard_gen": "So its age is counted from"}


def merchant(number: int) -> str:
    """The merchant of a town."""
    return f"Ada{chr(ord('a') + number)}"


def record(number: int, paraphrased: bool, **change: Any) -> dict[str, Any]:
    """A made-up record: a town, founded in a year, which lies beside the next one."""
    sentences = [
        f"Town{number} is a town that lies beside Town{number + 1} on the river of the lower valley.",
        f"It was founded in 18{number:02} by a merchant named {merchant(number)} who had lost a ship.",
        f"The market of Town{number} sells cloth, salt and barley on every third day of the week.",
    ]
    others = [
        f"Version {v}: near Town{number + 1} lies Town{number}, a {v} place. One {merchant(number)} laid the first {v} "
        f"stone in 18{number:02}. Cloth and {v} salt are sold there."
        for v in ("old", "new", "grey", "tall")
    ]
    made: dict[str, Any] = {"train_context": " ".join(sentences), "paraphrases": others if paraphrased else []}
    for depth in DEPTHS:
        made[f"{depth}_input"] = [f"Town{number}: {WORDS[depth]}", f"The {depth} merchant of Town{number} was"]
        made[f"{depth}_target"] = [f"18{number:02}", f"{merchant(number)}."]
    return {**made, **change}


RECORDS = [record(number, number < 3) for number in range(20)]


def write(folder: Path, records: object = RECORDS) -> Path:
    (folder / ARTICLES_FILE).write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("fictional")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGRL_CACHE", str(root / "cache"))
        return load_fictional(write(root))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('Malm Town (, "Northern Hill town") is one of the 45.', "Malm Town"),
        ("The fortieth government of Mars, or the Zorgon government, was made.", "Fortieth government of Mars"),
        ("The Midtown Movement or the MMOM, was a rally.", "Midtown Movement"),
        ("Mt. Pankino was a volcano.", "Mt. Pankino"),
        ("GameSwap.io () is a portal.", "GameSwap.io"),
        ("Isis was a ship.", "Isis"),
    ],
)
def test_a_title_is_the_name_that_an_article_begins_with(text: str, title: str) -> None:
    assert article_title(text) == title


def test_a_second_article_of_a_name_gets_a_number(tmp_path: Path) -> None:
    corpus = load_fictional(write(tmp_path, [record(1, True), record(1, False), record(2, False)]))
    assert corpus.graph.titles == ("Town1", "Town1 (2)", "Town2")


def test_the_article_is_read_and_other_words_are_held_out(corpus: Corpus) -> None:
    for topic, article in enumerate(RECORDS):
        train, probe, exam = (" ".join(corpus.of(topic, split).texts) for split in Split)
        versions = article["paraphrases"]
        assert train == " ".join([article["train_context"], *versions[:2]])
        assert exam == (versions[3] if versions else "")
        assert probe == (versions[2] if versions else f"{article['gen_input'][0]} {article['gen_target'][0]}.")


def test_all_questions_are_asked_but_those_that_are_probes(corpus: Corpus) -> None:
    asked = Counter((question.group, question.topic) for question in corpus.questions)
    for topic in range(len(RECORDS)):
        assert [asked[depth, topic] for depth in DEPTHS] == [2, 2 if topic < 3 else 1, 2]
    assert not {question.statement for question in corpus.questions} & set(corpus.texts)


def test_wrong_names_are_of_other_topics_and_alike(corpus: Corpus) -> None:
    for question in corpus.questions:
        assert question.statement.endswith(f"{question.answer}.")
        assert question.answer in (f"18{question.topic:02}", merchant(question.topic))
        assert len(set(question.wrong)) == 15 and question.answer not in question.wrong
        kinds = Counter(name[:2] for name in question.wrong)
        assert kinds == {question.answer[:2]: 15}


@given(st.lists(st.lists(st.sampled_from(["1", "2 b", "Ada", "ada", "the Ada", "x y z", '"q"', "."]), max_size=3)))
def test_no_question_has_two_equal_answers(targets: list[list[str]]) -> None:
    """Whatever the targets are; upper and lower case are the same."""
    articles = [
        FictionalArticle("A.", *(part for _ in DEPTHS for part in (["It is"] * len(own), own)), ["p", "q"])
        for own in targets
    ]
    for question in write_questions(articles):
        names = [without_case(name) for name in (question.answer, *question.wrong)]
        assert len(names) == len(set(names)) > 1 and question.statement.strip()


def test_links_lead_to_similar_topics_and_to_those_named(corpus: Corpus) -> None:
    graph = corpus.graph
    assert all(graph.index(f"Town{n + 1}") in graph.out(graph.index(f"Town{n}")) for n in range(19))
    assert all(4 <= len(graph.out(topic)) <= 5 for topic in range(20)) and graph.components.max() == 0


def test_the_same_file_gives_the_same_corpus(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRL_DATA", str(tmp_path))
    (tmp_path / "fictional_knowledge").mkdir()
    write(tmp_path / "fictional_knowledge")
    assert load_corpus("fictional").fingerprint == corpus.fingerprint


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mem_target": ["1800"]}, r"\[1\]\.mem_target: 1 targets for 2 inputs"),
        ({"train_context": " "}, r"\[1\]\.train_context"),
        ({"gen_input": [], "gen_target": []}, r"\[1\]\.gen_input"),
        ({"paraphrases": ["one"]}, r"\[1\]\.paraphrases"),
        ({"hints": []}, "'hints' is no known key"),
    ],
)
def test_bad_records_are_named_by_number(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load_fictional(write(tmp_path, [record(0, True), record(1, False, **change)]))


def test_a_file_that_is_not_there_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match=r"does not hold fictional_knowledge_paraphrased\.json; get the folder"):
        load_corpus("fictional", root=tmp_path)
    monkeypatch.delenv("KGRL_DATA", raising=False)
    with pytest.raises(MissingDataError, match="KGRL_DATA is not set; get the folder fictional_knowledge"):
        load_corpus("fictional")


@pytest.mark.integration
def test_the_published_articles(fictional_root: Path) -> None:
    corpus = load_corpus("fictional", root=fictional_root)
    assert len(corpus.graph) == 130 and corpus.graph.components.max() == 0
    assert corpus.has(Split.TRAIN).all() and corpus.has(Split.PROBE).all() and corpus.has(Split.EXAM).sum() == 40
    assert not near_duplicates(list(corpus.texts), corpus.splits).any()
    assert Counter(question.group for question in corpus.questions) == {"mem": 650, "gen": 560, "hard_gen": 650}
    assert {len(question.wrong) for question in corpus.questions} == {15}
    # Memory of words is asked for by `mem` alone.
    assert told_in_training(corpus) == {"mem": 650}


@pytest.mark.integration
def test_the_task_on_the_published_articles(fictional_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRL_DATA", str(fictional_root.parent))
    task = make_task("recall:fictional")
    assert (task.name, task.corpus.name, task.config.mastery, task.config.most_readings) == (
        *("recall:fictional", "fictional", "gap", 0),
    )
    recall = task.make_recall()
    assert recall is not None
    assert Counter(question.group for question in recall.questions) == dict.fromkeys(DEPTHS, 40)
    # An article can be read ten times: four tokens stand for some three words.
    words = [task.corpus.word_counts[task.corpus.ids_of(topic, Split.TRAIN)[:7]].sum() for topic in range(130)]
    assert task.config.budget_tokens >= 10 * 4 / 3 * np.sum(words)
