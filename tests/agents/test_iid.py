"""Curricula without a frontier: passages drawn uniformly, read without replacement, and recorded like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.agents.baselines.passages import CoherentPassages
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import PassageAgent
from kgrl.errors import SettingError
from kgrl.exam import Exam
from kgrl.graph import TopicGraph
from kgrl.learners.make import make_learner
from kgrl.retrieval import FaissRetriever
from kgrl.runs import Run

Make = Callable[..., Curriculum]


def test_the_first_passage_is_uniform_over_what_is_unread(make_tiny_curriculum: Make) -> None:
    curriculum, agent = make_tiny_curriculum(), make_agent("iid")
    assert isinstance(agent, PassageAgent) and not isinstance(make_agent("random-global"), PassageAgent)
    curriculum.start()
    unread = curriculum.view.readable()
    drawn = [agent.choose(curriculum.view) for _ in range(4_000)]
    assert all(np.array_equal(np.sort(draw), unread) for draw in drawn[:20])
    counts = np.bincount([draw[0] for draw in drawn], minlength=len(curriculum.corpus))[unread]
    assert np.abs(counts - 4_000 / len(unread)).max() < 6 * np.sqrt(4_000 / len(unread))


def test_every_train_passage_is_read_once_and_nothing_else(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=100_000)
    steps = list(curriculum.run(make_agent("iid")))
    read = [passage for step in steps for passage in step.passages]
    train = np.flatnonzero(curriculum.corpus.splits == Split.TRAIN)
    assert sorted(read) == train.tolist()
    assert curriculum.state.frontier.is_solid.sum() == len(curriculum.corpus.graph)


def test_an_expansion_has_the_same_tokens_and_the_topics_of_its_passages(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=1_000)
    steps = list(curriculum.run(make_agent("iid")))
    assert {step.tokens for step in steps} == {200}
    for step in steps[1:]:
        topics = curriculum.corpus.topics[list(step.passages)].tolist()
        assert step.neighbourhood == tuple(dict.fromkeys(topics)) and step.topic == topics[0]
        assert "mean" in step.probes and step.reward is not None


def test_only_passages_that_can_be_read_are(make_tiny_curriculum: Make, tiny_corpus: Corpus) -> None:
    curriculum = make_tiny_curriculum()
    used = curriculum.start()[0].passages[0]
    probe = int(np.flatnonzero(tiny_corpus.splits == Split.PROBE)[0])
    for wrong in ([], [used], [probe]):
        with pytest.raises(ValueError, match="cannot read"):
            curriculum.expand(np.array(wrong, dtype=np.int32))


def test_passages_are_cut_where_the_tokens_end(make_tiny_curriculum: Make, tiny_corpus: Corpus) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=100_000, expansion_tokens=3_000, neighbourhood=8)
    curriculum.start()
    ids = curriculum.view.readable()
    words = np.cumsum([len(tiny_corpus.texts[i].split()) for i in ids])
    lesson = curriculum.teacher.lesson(ids)
    assert len(lesson.passages) == 1 + np.flatnonzero(words < 3_000)[-1] + 1
    assert lesson.neighbourhood.tolist() == list(dict.fromkeys(tiny_corpus.topics[lesson.passages.ids].tolist()))


def test_an_expansion_has_as_many_passages_as_one_of_a_topic_would(make_tiny_curriculum: Make) -> None:
    def passages(name: str) -> list[int]:
        curriculum = make_tiny_curriculum(budget_tokens=20_000, expansion_tokens=20_000, neighbourhood=1)
        return [len(step.passages) for step in list(curriculum.run(make_agent(name)))[1:6]]

    drawn, topics = passages("iid"), passages("random")
    assert len(set(drawn)) == 1 and abs(drawn[0] - np.mean(topics)) <= 1


def test_a_killed_run_goes_on_as_if_it_had_not_been(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    def run(folder: str) -> Run:
        curriculum = make_tiny_curriculum(budget_tokens=1_600)
        exam = Exam(curriculum.corpus, curriculum.goal, size=10)
        return Run(tmp_path / folder, curriculum, make_agent("iid"), exam, {"corpus": "tiny", "seed": 0})

    whole = run("whole").carry_out()
    seen: list[int] = []

    def stop(expansion: object, loss: float | None) -> None:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("killed").carry_out(stop)
    assert run("killed").carry_out().expansions == whole.expansions


def test_passages_of_coherent_topics_are_read_first() -> None:
    links = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 0), (4, 2)]
    graph = TopicGraph.from_links(["Cat", "Dog", "Sum", "Product", "Menu"], *zip(*links, strict=True))
    cats, sums = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    embeddings = np.array([cats, cats, sums, sums, [0.0, 0.0, 1.0]], dtype=np.float32)
    texts = [f"Text {i}." for i in range(10)]
    corpus = Corpus("five", graph, texts, np.repeat(np.arange(5), 2), [Split.TRAIN] * 10)
    curriculum = Curriculum(
        corpus, make_learner("scratch", corpus), FaissRetriever(np.arange(10), embeddings.repeat(2, 0)), embeddings
    )
    agent = CoherentPassages()
    agent.reset(curriculum.view)
    orders = np.array([agent.choose(curriculum.view) for _ in range(50)])
    assert (np.sort(orders) == np.arange(10)).all(), "whatever is incoherent is read as well, at the end"
    assert set(orders[:, -2:].ravel().tolist()) == {8, 9}, "the menu's text is like that of no topic it is linked with"
    assert len(np.unique(orders[:, 0])) > 4


def test_a_threshold_that_no_cosines_differ_by_is_refused() -> None:
    with pytest.raises(SettingError, match="least"):
        CoherentPassages(least=1.5)
