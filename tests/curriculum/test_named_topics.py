"""Goals and nuclei that are not categories: titles, files of titles, sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.named_topics import named_goal, with_titles
from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError, UnknownNameError
from kgrl.graph import TopicGraph
from kgrl.retrieval.encoder import Encoder
from kgrl.testing.samples import sample_corpus


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return sample_corpus()


def titles(corpus: Corpus, **config: object) -> CurriculumConfig:
    return with_titles(CurriculumConfig(**config), corpus, "static")  # type: ignore[arg-type]


def test_a_category_stays_one_and_another_word_is_a_title(corpus: Corpus) -> None:
    graph = corpus.graph
    assert named_goal(graph.category_names[0], corpus, "static") == graph.category_names[0]
    assert named_goal(graph.titles[3], corpus, "static") == (graph.titles[3],)
    config = CurriculumConfig(goal=graph.category_names[0])
    assert with_titles(config, corpus, "static") is config


def test_a_goal_of_titles_is_these_topics(corpus: Corpus) -> None:
    named = (corpus.graph.titles[5], corpus.graph.titles[2])
    curriculum = Curriculum.make(corpus, "scratch", None, CurriculumConfig(goal=named, nucleus=named[:1]))
    assert curriculum.goal is not None and curriculum.goal.tolist() == [2, 5]
    assert curriculum.nucleus.tolist() == [5]


def test_a_file_has_a_title_on_each_line(corpus: Corpus, tmp_path: Path) -> None:
    file, graph = tmp_path / "my goal.txt", corpus.graph
    file.write_text(f"\ufeff{graph.titles[4]}\n\n  {graph.titles[1]}\n{graph.titles[4]}\n", encoding="utf-8")
    config = titles(corpus, goal=f"file:{file}", nucleus=f"file:{file}")
    assert config.goal == config.nucleus == (graph.titles[4], graph.titles[1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{first}\n{first}x\n", r"goal.txt:2: unknown topic '.*x'; did you mean"),
        ("{first}x\nzzzz\n", r"goal.txt: 2 titles are not known: '.*x' \(nearest: '.*'\), 'zzzz'"),
        ("\n".join(f"zz{number}" for number in range(40)), "more than 10 titles are not known: .*…"),
        ("\n \n", "goal.txt: has no titles"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(corpus: Corpus, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "goal.txt"
    file.write_text(text.format(first=corpus.graph.titles[0]))
    with pytest.raises(DataError, match=told):
        titles(corpus, goal=f"file:{file}")


def test_a_file_that_is_missing_or_no_text_is_told(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"no file nowhere.txt to take titles from; looked in"):
        titles(corpus, nucleus="file:nowhere.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="not text in UTF-8"):
        titles(corpus, nucleus=f"file:{tmp_path / 'binary'}")


def test_what_is_neither_a_category_nor_a_title_is_named_with_the_nearest_of_each(corpus: Corpus) -> None:
    category, title = corpus.graph.category_names[0], corpus.graph.titles[0]
    with pytest.raises(UnknownNameError, match=f"unknown category '{category}y'; did you mean '{category}'.*Nor is it"):
        titles(corpus, goal=f"{category}y")
    with pytest.raises(UnknownNameError, match=f"the nearest is '{title}'"):
        titles(corpus, goal=f"{title}y")


def test_without_categories_titles_alone_are_suggested() -> None:
    graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
    plain = Corpus("two", graph, ["Logic is old.", "Sets are new."], [0, 1], [0, 0])
    with pytest.raises(UnknownNameError, match="unknown topic 'Lgoic'; did you mean 'Logic'"):
        named_goal("Lgoic", plain, "static")


def test_a_sentence_stands_for_the_most_similar_topics(corpus: Corpus) -> None:
    sentence = corpus.of(7, Split.TRAIN).texts[0]  # what a topic says is most similar to it
    config = titles(corpus, goal=f"about:{sentence}", nucleus=f"about: {sentence}", nucleus_size=3)
    assert isinstance(config.goal, tuple) and config.goal[0] == corpus.graph.titles[7]
    assert 1 <= len(config.goal) <= 8
    assert config.nucleus[0] == corpus.graph.titles[7] and len(config.nucleus) == 3
    # The titles stand for the same topics whatever the encoder, and are not looked at again.
    assert with_titles(config, corpus, "no encoder") is config
    curriculum = Curriculum.make(corpus, "scratch", None, config)
    assert len(np.intersect1d(curriculum.goal, curriculum.nucleus)) >= 1 and len(curriculum.nucleus) == 3


def test_curricula_that_are_made_read_sentences(corpus: Corpus) -> None:
    sentence = corpus.of(7, Split.TRAIN).texts[0]
    curriculum = Curriculum.make(corpus, "scratch", None, CurriculumConfig(goal=f"about:{sentence}"))
    assert isinstance(curriculum.config.goal, tuple) and 7 in curriculum.goal  # type: ignore[operator]


@pytest.mark.parametrize("goal", ["about:", "about:  "])
def test_a_sentence_is_needed(corpus: Corpus, goal: str) -> None:
    with pytest.raises(SettingError, match="about: needs a sentence"):
        titles(corpus, goal=goal)


def test_a_sentence_that_no_topic_is_similar_to_is_refused(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: np.zeros((1, self.dimensions), dtype=np.float32))
    with pytest.raises(SettingError, match=r"no topic of .* is similar to 'tides'"):
        titles(corpus, goal="about:tides")


@pytest.mark.parametrize("config", [{"goal": ""}, {"goal": ()}, {"nucleus": ()}, {"nucleus": ""}])
def test_goal_and_nucleus_name_something(config: dict[str, object]) -> None:
    with pytest.raises(KgrlError, match="names no topic"):
        CurriculumConfig(**config)  # type: ignore[arg-type]
