"""Tests of links: what is asked, which names stand beside the right one, and mastery by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data.invented import load_invented
from kgrl.errors import SettingError
from kgrl.learners import ScratchLearner
from kgrl.probes.link_test import LinkTest
from kgrl.probes.recall import Recall

Make = Callable[..., Curriculum]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_invented("invented:300")


@pytest.fixture(scope="module")
def learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, width=32, heads=2, vocabulary=600)


def questions_of(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every question be right, and return the list that those asked are added to."""
    asked = list[Any]()

    def answer(recall: Recall, learner: object) -> tuple[np.ndarray, int]:
        asked.extend(recall.questions)
        return np.ones(len(recall.questions), dtype=bool), 7

    monkeypatch.setattr(Recall, "answers_once", answer)
    return asked


def test_links_are_asked_for_with_names_that_what_was_read_links_to(
    corpus: Corpus, learner: ScratchLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions_of(monkeypatch)
    read, topics = np.arange(0, 300, 2), np.array([200, 40, 41])
    shares, tokens = LinkTest(corpus).ask(learner, topics, read, np.random.default_rng(0))
    titles = corpus.graph.titles
    assert shares.tolist() == [1, 1, 1] and tokens == 7
    for question in asked:
        probe = corpus.of(question.topic, Split.PROBE).texts[0]
        assert question.topic in topics and question.named in corpus.graph.out(question.topic)
        assert question.true.removeprefix(f"{titles[question.topic]}: ") in probe
        assert len(set(question.wrong)) == 15 and question.true not in question.wrong
        names = {titles[named] for t in read.tolist() for named in corpus.graph.out(t)} - {titles[question.named]}
        assert all(any(name in statement for name in names) for statement in question.wrong)
    stated = {(q.topic, q.named) for q in asked}
    assert len(stated) == len(asked)  # each link once


def test_nothing_is_asked_while_too_few_names_were_read(corpus: Corpus, learner: ScratchLearner) -> None:
    shares, tokens = LinkTest(corpus).ask(learner, np.array([3, 4]), np.arange(5), np.random.default_rng(0))
    assert np.isnan(shares).all() and tokens == 0


def test_a_share_is_that_of_a_topic_s_own_links(
    corpus: Corpus, learner: ScratchLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order that was asked in, whatever order the questions are in."""
    test = LinkTest(corpus)
    many = [topic for topic in range(300) if len(test.mentions(topic)) > 1][:3][::-1]

    def answer(recall: Recall, learner: object) -> tuple[np.ndarray, int]:
        first = {question.topic: question for question in reversed(recall.questions)}
        return np.array([q is first[q.topic] and q.topic != many[1] for q in recall.questions]), 0

    monkeypatch.setattr(Recall, "answers_once", answer)
    shares, _ = test.ask(learner, np.array(many), np.arange(300), np.random.default_rng(0))
    expected = [1 / len(test.mentions(many[0])), 0, 1 / len(test.mentions(many[2]))]
    np.testing.assert_allclose(shares, expected)


def test_asking_counts_what_is_read(corpus: Corpus, learner: ScratchLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    read, states = list[int](), learner._decoder.states
    monkeypatch.setattr(learner._decoder, "states", lambda block: (read.append(len(block)), states(block))[1])
    _, tokens = LinkTest(corpus).ask(learner, np.array([40, 200]), np.arange(300), np.random.default_rng(0))
    assert tokens == sum(read) > 0


def test_topics_are_solid_once_their_links_are_known(corpus: Corpus) -> None:
    """Whatever the learner knows, the frontier follows the answers; a resumed curriculum asks the same."""
    config = CurriculumConfig(budget_tokens=9_000, expansion_tokens=1_000, mastery="recall:0.3", most_readings=0)

    def make() -> Curriculum:
        return Curriculum.make(corpus, ScratchLearner(corpus, width=16, heads=2), config=config)

    whole = make()
    steps = list(whole.run(make_agent("iid")))
    state = whole.state
    assert sum(len(step.tested.recalled) for step in steps) > 50 and not any(step.tested.losses for step in steps)
    test = state.link_test
    assert test is not None
    assert all(step.probe_tokens for step in steps if any(test.mentions(topic) for topic in step.tested.asked))
    solid = state.frontier.is_solid
    assert solid.any() and not (state.knowledge.recall[solid] < 0.15).any()  # a topic that cannot be asked for has none
    assert not solid[state.knowledge.recall < 0.15].any()
    again = make()
    again.resume(steps, make_agent("iid"))
    assert_array_equal(again.state.knowledge.recall, state.knowledge.recall)
    assert_array_equal(again.state.frontier.solid, state.frontier.solid)


def test_a_topic_that_cannot_be_asked_for_counts_by_reading(corpus: Corpus) -> None:
    config = CurriculumConfig(budget_tokens=2_000, expansion_tokens=1_000, mastery="recall", most_readings=0)
    curriculum = Curriculum.make(corpus, ScratchLearner(corpus, width=16, heads=2), config=config)
    test = curriculum.state.link_test
    assert test is not None
    silent = next(topic for topic in range(300) if not test.mentions(topic))
    curriculum.start()
    curriculum.expand(corpus.of(silent, Split.TRAIN).ids)
    assert curriculum.state.frontier.is_solid[silent]


def test_a_learner_that_reads_no_text_is_refused(make_tiny_curriculum: Make) -> None:
    with pytest.raises(SettingError, match="cannot be asked"):
        make_tiny_curriculum(None, mastery="recall")


@pytest.mark.parametrize("wrong", ["recall:0", "recall:1.1", "recall:nan", "recall:x"])
def test_a_level_that_is_no_share_is_refused(wrong: str) -> None:
    with pytest.raises(SettingError, match="mastery"):
        CurriculumConfig(mastery=wrong)
