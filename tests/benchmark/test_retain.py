"""The task `retain`: its questions, its nucleus, and how agents of every kind go through it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.benchmark.tasks import KNOWLEDGE, Task, make_task
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.data.invented.corpus import world_of
from kgrl.errors import SettingError
from kgrl.learners import ScratchLearner
from kgrl.retrieval import FaissRetriever, indexed_passages


@pytest.fixture(scope="module")
def task() -> Task:
    """The task on its own corpus."""
    return make_task("retain")


def embedded(corpus: Corpus) -> tuple[FaissRetriever, NDArray[np.float32]]:
    """Made-up vectors, and a retriever that searches by them."""
    drawn = np.random.default_rng(0).normal(size=(len(corpus.graph), 8))
    vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    ids = indexed_passages(corpus)
    return FaissRetriever(ids, vectors[corpus.topics[ids]]), vectors


def test_questions_are_about_one_hop_facts_of_the_nucleus_and_of_the_rest(task: Task) -> None:
    """Each with 15 other objects of its relation; the nucleus is the most central tenth."""
    graph, world = task.corpus.graph, world_of(task.corpus.name)
    nucleus = {graph.index(title) for title in task.config.nucleus}
    assert len(nucleus) == len(graph) // 10
    assert graph.degree[list(nucleus)].mean() > 3 * graph.degree.mean()
    recall = task.make_recall()
    assert recall is not None
    groups = [question.group for question in recall.questions]
    assert set(groups) == {"nucleus", "rest"} and groups.count("nucleus") >= 40 and groups.count("rest") == 128
    for question in recall.questions:
        assert (question.topic in nucleus) == (question.group == "nucleus")
        assert question.true in {world.statement(fact) for fact in world.facts_of[question.topic]}
        assert len({question.true, *question.wrong}) == 16


def test_no_two_questions_of_a_group_have_the_same_answer_in_a_relation(task: Task) -> None:
    recall = task.make_recall()
    assert recall is not None
    world = world_of(task.corpus.name)
    stated = {world.statement(fact): fact for fact in world.stated}
    asked = [(q.group, stated[q.true].relation, stated[q.true].object) for q in recall.questions]
    assert len(asked) == len(set(asked))


def test_it_is_on_invented_worlds_and_asked_for_by_name(tiny_corpus: Corpus) -> None:
    assert "retain" in KNOWLEDGE
    with pytest.raises(SettingError, match="'retain' is for invented worlds, invented:400 for example"):
        make_task("retain", tiny_corpus)


@pytest.mark.parametrize("agent", ["random", "iid", "nucleated"])
def test_the_nucleus_comes_first_and_then_the_rest(task: Task, agent: str) -> None:
    """For agents of every kind: a share of the budget at most, and all of it is read."""
    config = replace(task.config, budget_tokens=12_000, expansion_tokens=2_000, nucleus_share=0.4, probe_topics=6)
    learner = ScratchLearner(task.corpus, width=16, heads=2, vocabulary=600)
    curriculum = Curriculum(task.corpus, learner, *embedded(task.corpus), None, config)
    steps, at = [], []
    for step in curriculum.run(make_agent(agent)):
        steps.append(step)
        at.append(curriculum.state.tokens)
    assert at == [step.tokens_total for step in steps], "the learner is as it was after each lesson"
    first = [step for step in steps if step.neighbourhood[0] == curriculum.nucleus[0]][:3]
    assert [step.index for step in first] == [0, 1, 2], "4,800 tokens are reached by the third lesson"
    nucleus = set(curriculum.nucleus.tolist())
    assert nucleus == {topic for step in first for topic in step.neighbourhood}, "though one lesson is too short"
    later = {topic for step in steps[3:] for topic in step.neighbourhood}
    assert steps[-1].tokens_total == 12_000
    assert agent == "nucleated" or later - nucleus, "its set begins with the nucleus, which is not known yet"
