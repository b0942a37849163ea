"""Curricula on graphs with prerequisites: what is needed first is learned first, and lessons read nothing else."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.standing import Standing
from kgrl.data.traps.planted import extended
from kgrl.envs.curriculum_env import CurriculumEnv
from kgrl.envs.vector.env import CurriculumVectorEnv
from kgrl.errors import SettingError
from kgrl.retrieval import FaissRetriever, indexed_passages
from tests.support.directed import directed, needs_of
from tests.support.fake_learner import FakeLearner
from tests.support.simulated import simulated_curriculum

Vectors = NDArray[np.float32]
KNOWING: dict[str, Any] = {"mastery": "gap:0.2", "most_readings": 3, "nucleus_share": 0.3, "budget_tokens": 6_000}


def curriculum_on(corpus: Corpus, vectors: Vectors, reward: Any = None, **config: Any) -> Curriculum:
    settings = {"budget_tokens": 4_000, "expansion_tokens": 200, "neighbourhood": 4, "nucleus_size": 2, **config}
    ids = indexed_passages(corpus)
    retriever = FaissRetriever(ids, vectors[corpus.topics[ids]])
    return Curriculum(corpus, FakeLearner(corpus), retriever, vectors, reward, CurriculumConfig(**settings))


@pytest.fixture
def course(tiny_corpus: Corpus) -> Corpus:
    return directed(tiny_corpus)


@pytest.mark.parametrize("agent", ["random", "closure", "dfs", "stratified"])
@pytest.mark.parametrize("settings", [{}, KNOWING])
def test_what_is_needed_first_is_solid_first(
    course: Corpus, fake_embeddings: Vectors, agent: str, settings: dict[str, Any]
) -> None:
    """Before each lesson, for each of its topics and for the topic of each passage that it reads."""
    curriculum, needs = curriculum_on(course, fake_embeddings, **settings), needs_of(course)
    solid: set[int] = set()
    asked = 0
    for step in curriculum.run(make_agent(agent)):
        read = {int(course.topics[passage]) for passage in step.passages}
        for topic in ({*step.neighbourhood} | read) - {*curriculum.nucleus.tolist()}:
            assert needs.get(topic, set()) <= solid
            asked += topic in needs
        solid = {*curriculum.state.frontier.solid.tolist()}
    assert asked > 10


def test_everything_can_be_learned_where_reading_is_enough(course: Corpus, fake_embeddings: Vectors) -> None:
    curriculum = curriculum_on(course, fake_embeddings, budget_tokens=10**6)
    steps = list(curriculum.run(make_agent("random")))
    assert len(curriculum.state.frontier.solid) == len(course.graph) and curriculum.state.exhausted
    assert len(steps) < len(course.graph)


def test_agents_that_leave_the_frontier_are_not_held_up(course: Corpus, fake_embeddings: Vectors) -> None:
    needs, skipped = needs_of(course), 0
    for name in ("random-global", "iid"):
        curriculum = curriculum_on(course, fake_embeddings)
        solid = {*curriculum.nucleus.tolist()}
        for step in curriculum.run(make_agent(name)):
            skipped += not needs.get(step.topic, set()) <= solid
            solid |= {*step.neighbourhood}
    assert skipped > 2


def test_what_has_no_text_is_not_asked_for_and_said_once(
    course: Corpus, fake_embeddings: Vectors, caplog: pytest.LogCaptureFixture
) -> None:
    needs = needs_of(course)
    silent = min(source for target in needs for source in needs[target])
    kept = ~((course.topics == silent) & (course.splits == Split.TRAIN))
    texts = [text for text, keep in zip(course.texts, kept, strict=True) if keep]
    mute = Corpus("mute", course.graph, texts, course.topics[kept], course.splits[kept])
    with caplog.at_level(logging.WARNING):
        made = [curriculum_on(mute, fake_embeddings, budget_tokens=10**6) for _ in range(2)]
    assert caplog.text.count("1 prerequisite of 'mute' without passages to learn from, so not asked for") == 1
    assert repr(mute.graph.titles[silent]) in caplog.text
    for _ in made[0].run(make_agent("random")):
        pass
    assert len(made[0].state.frontier.solid) == len(mute.graph) - 1


@pytest.mark.parametrize("settings", [{}, KNOWING])
def test_records_alone_tell_the_frontier(course: Corpus, fake_embeddings: Vectors, settings: dict[str, Any]) -> None:
    curriculum = curriculum_on(course, fake_embeddings, **settings)
    state, nucleus = curriculum.state, curriculum.nucleus.tolist()
    told = Standing(course.graph, course.topics, state.mastery, nucleus, state.trainable)
    for step in curriculum.run(make_agent("random")):
        told.replay(step)
        assert_array_equal(told.frontier.topics, state.frontier.topics)


def test_a_resumed_curriculum_goes_on_alike(course: Corpus, fake_embeddings: Vectors) -> None:
    whole, resumed = (curriculum_on(course, fake_embeddings) for _ in range(2))
    steps = list(whole.run(make_agent("closure")))
    agent, half = make_agent("closure"), len(steps) // 2
    resumed.resume(steps[:half], agent)
    assert_array_equal(resumed.view.candidates, _candidates_after(whole, steps[:half]))


def _candidates_after(curriculum: Curriculum, steps: list[Any]) -> NDArray[np.int32]:
    curriculum.resume(steps, make_agent("closure"))
    return curriculum.view.candidates


def test_the_environment_shows_no_topic_that_lacks_something(course: Corpus, fake_embeddings: Vectors) -> None:
    env = CurriculumEnv(curriculum_on(course, fake_embeddings, "mean-prediction-gain"), slots=8)
    needs, over = needs_of(course), False
    _, info = env.reset(seed=0)
    while not over:
        shown = info["slot_topics"][info["slot_topics"] >= 0]
        solid = {*env.curriculum.state.frontier.solid.tolist()}
        assert all(needs.get(topic, set()) <= solid for topic in shown.tolist())
        _, _, terminated, truncated, info = env.step(int(np.argmax(info["action_mask"])))
        over = terminated or truncated
    assert len(env.expansions) > 5


def test_vector_environments_refuse_prerequisites_by_name(
    tiny_corpus: Corpus, course: Corpus, fake_embeddings: Vectors
) -> None:
    n = len(course.graph.prerequisites()[0])
    with pytest.raises(SettingError, match=rf"'{course.name}' has {n} prerequisites, .*vectorization_mode=\"sync\""):
        CurriculumVectorEnv(simulated_curriculum(course, fake_embeddings))
    CurriculumVectorEnv(simulated_curriculum(tiny_corpus, fake_embeddings)).close()


def test_planted_topics_neither_need_nor_are_needed(course: Corpus) -> None:
    n = len(course.graph)
    grown = extended(course, "grown", ["zz"], [""], ([0, n], [n, 1]), [(n, "Text of zz.", Split.TRAIN)])
    assert needs_of(grown) == needs_of(course)
