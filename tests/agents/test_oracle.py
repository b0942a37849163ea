"""The oracle and the forks it looks ahead on: it picks what brute force says, and nothing is left changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.agents.baselines.frontier import BreadthFirst, Oracle
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.view import Agent, View
from kgrl.errors import DivergedError, SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import ScratchLearner
from kgrl.learners.base import Learner
from kgrl.probes import Prober
from kgrl.probes.forks import losses_after
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.testing import AgentContract

Make = Callable[..., Curriculum]
Embeddings = NDArray[np.float32]
ALL = 1_000


class TryingFirst(BreadthFirst):
    """Takes the topic that was discovered first, after trying some that it does not take."""

    def choose(self, view: View) -> int:
        view.try_topics(view.candidates[-3:])
        return super().choose(view)


def small_learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, width=32, heads=2, vocabulary=400)


@pytest.fixture
def make_scratch_curriculum(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> Make:
    """Makes curricula on the tiny corpus with a small scratch learner."""

    def make(reward: str = "mean-prediction-gain", **config: object) -> Curriculum:
        settings = {"budget_tokens": 1_500, "expansion_tokens": 250, "neighbourhood": 2, "nucleus_size": 2, **config}
        ids = indexed_passages(tiny_corpus)
        retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
        learner = small_learner(tiny_corpus)
        return Curriculum(tiny_corpus, learner, retriever, fake_embeddings, reward, CurriculumConfig(**settings))

    return make


def gains_by_brute_force(curriculum: Curriculum, picks: list[int], topics: IntArray) -> list[float]:
    """The mean prediction gain of each topic when it is truly expanded, after the same picks from the start."""
    gains = []
    for topic in topics.tolist():
        curriculum.start()
        for pick in picks:
            curriculum.expand(pick)
        gains.append(curriculum.expand(topic).probes["mean"].gain)
    return gains


@pytest.mark.parametrize(("steps", "light"), [(0, False), (2, False), (1, True)])
def test_a_try_says_what_expanding_then_does(make_scratch_curriculum: Make, steps: int, light: bool) -> None:
    curriculum = make_scratch_curriculum(light_probes=light)
    curriculum.start()
    picks = [curriculum.expand(int(curriculum.view.candidates[0])).topic for _ in range(steps)]
    topics = curriculum.view.candidates[:4]
    drops = curriculum.view.try_topics(topics)
    assert drops.dtype == np.float32
    gains = gains_by_brute_force(curriculum, picks, topics)
    assert len(set(gains)) == len(gains)
    np.testing.assert_allclose(drops, gains, rtol=0, atol=1e-6)


def test_the_oracle_picks_what_brute_force_says(make_scratch_curriculum: Make) -> None:
    curriculum = make_scratch_curriculum()
    curriculum.start()
    candidates = curriculum.view.candidates
    choice = Oracle(sample=ALL).choose(curriculum.view)
    gains = gains_by_brute_force(curriculum, [], candidates)
    assert choice == candidates[int(np.argmax(gains))]


def test_the_oracle_tries_a_sample_and_picks_from_it(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    tried: list[list[int]] = []

    def try_topics(topics: IntArray) -> NDArray[np.float32]:
        tried.append(topics.tolist())
        return -topics.astype(np.float32)  # all of them do harm: less harm than what was not tried

    view = dataclasses.replace(curriculum.view, try_topics=try_topics)
    choices = [Oracle(sample=3).choose(view) for _ in range(20)]
    assert [min(topics) for topics in tried] == choices
    assert all(len(set(topics)) == 3 and set(topics) <= set(view.candidates.tolist()) for topics in tried)
    assert len(set(map(tuple, tried))) > 1
    with pytest.raises(ValueError, match="sample must be at least 1, not 0"):
        Oracle(sample=0)


def test_trying_leaves_the_curriculum_undisturbed(make_scratch_curriculum: Make) -> None:
    """With the same picks, all that is learned and measured is bit for bit the same; only the cost differs."""
    ends, runs = [], []
    for agent in (BreadthFirst(), TryingFirst()):
        curriculum = make_scratch_curriculum("self-prediction-gain")
        runs.append(list(curriculum.run(agent)))
        exam = curriculum.corpus.select(np.flatnonzero(curriculum.corpus.splits == Split.EXAM))
        ends.append((curriculum.learner.losses(exam), curriculum.state.profile.level, curriculum.state.rng.random()))
    assert [free_of_cost(step) for step in runs[0]] == [free_of_cost(step) for step in runs[1]]
    for plain, tried in zip(*ends, strict=True):
        np.testing.assert_array_equal(plain, tried)
    assert len(runs[0]) > 3
    assert all(tried.probe_tokens > plain.probe_tokens for plain, tried in list(zip(*runs, strict=True))[1:])


def free_of_cost(step: Expansion) -> Expansion:
    return dataclasses.replace(step, probe_tokens=0)


def test_a_try_is_booked_as_probing_on_the_next_expansion(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("token-cost")
    curriculum.start()
    topic = int(curriculum.view.candidates[0])
    curriculum.view.try_topics(np.array([topic], dtype=np.int32))
    sample = curriculum.corpus.of(0, Split.PROBE)
    step = curriculum.expand(topic)
    assert step.seconds["probe"] > 0
    # Measured before and after, and learned in between what the expansion learned too.
    assert step.probe_tokens > step.tokens + curriculum.learner.count_tokens(sample)[0]
    assert curriculum.state.tokens == curriculum.start()[0].tokens + step.tokens


def test_with_a_goal_a_try_is_about_the_goal(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("target-prediction-gain", goal="Craft")
    curriculum.start()
    topic = int(curriculum.view.candidates[1])
    (drop,) = curriculum.view.try_topics(np.array([topic], dtype=np.int32))
    assert drop == pytest.approx(curriculum.expand(topic).probes["target"].gain, abs=1e-6)


def test_exam_passages_are_never_read(make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    curriculum = make_tiny_curriculum()
    seen: set[int] = set()
    for name in ("losses", "learn"):
        monkeypatch.setattr(curriculum.learner, name, noting(getattr(curriculum.learner, name), seen))
    list(curriculum.run(make_agent("oracle")))
    assert {Split(int(split)) for split in curriculum.corpus.splits[list(seen)]} == {Split.TRAIN, Split.PROBE}


def noting(method: Callable[..., object], seen: set[int]) -> Callable[..., object]:
    def noted(passages: Passages, *arguments: object) -> object:
        seen.update(passages.ids.tolist())
        return method(passages, *arguments)

    return noted


def test_what_cannot_be_expanded_cannot_be_tried(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    with pytest.raises(ValueError, match="is learned already"):
        curriculum.view.try_topics(curriculum.nucleus[:1])


def test_a_corpus_without_probe_passages_is_refused(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> None:
    splits = np.where(tiny_corpus.splits == Split.PROBE, Split.EXAM, tiny_corpus.splits)
    corpus = Corpus("unprobed", tiny_corpus.graph, tiny_corpus.texts, tiny_corpus.topics, splits)
    ids = indexed_passages(corpus)
    retriever = FaissRetriever(ids, fake_embeddings[corpus.topics[ids]])
    curriculum = Curriculum(corpus, small_learner(corpus), retriever, fake_embeddings)
    curriculum.start()
    with pytest.raises(SettingError, match="no topic of 'unprobed'"):
        Oracle().choose(curriculum.view)


def test_a_fork_that_diverges_is_named_and_put_back(
    make_scratch_curriculum: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum = make_scratch_curriculum()
    curriculum.start()
    learner, topics = curriculum.learner, curriculum.view.candidates[:1]
    probes = curriculum.corpus.of(0, Split.PROBE)
    before, learn = learner.losses(probes), learner.learn

    def diverging(passages: Passages, token_budget: int) -> None:
        learn(passages, token_budget)
        raise DivergedError("the training loss became nan")

    monkeypatch.setattr(learner, "learn", diverging)
    title = curriculum.corpus.graph.titles[int(topics[0])]
    with pytest.raises(DivergedError, match=rf"expansion 1 \({title}\).*nan"):
        curriculum.view.try_topics(topics)
    assert np.array_equal(learner.losses(probes), before)


class TestOracle(AgentContract):
    """On a real, if small, learner; the registered one is tested with all agents."""

    @pytest.fixture
    def agent(self) -> Agent:
        return Oracle(sample=2)

    @pytest.fixture
    def curriculum(self, make_scratch_curriculum: Make) -> Curriculum:
        return make_scratch_curriculum()


def check_a_fork(learner: Learner, corpus: Corpus) -> None:
    """A fork sees what learning in earnest then does, and the learner itself stays bit for bit what it was."""
    probes = corpus.select(np.flatnonzero(corpus.splits == Split.PROBE)[:4])
    lesson, topics = corpus.of(0, Split.TRAIN), np.unique(probes.topics)
    learner.learn(corpus.of(1, Split.TRAIN), 200)
    prober = Prober(corpus, learner, {})
    before, losses = prober.losses(topics), learner.losses(probes)
    foreseen = losses_after(prober, lesson, 200, topics)
    assert np.array_equal(learner.losses(probes), losses)
    assert np.array_equal(losses_after(prober, lesson, 200, topics), foreseen)
    learner.learn(lesson, 200)
    assert np.array_equal(prober.losses(topics), foreseen)
    assert not np.array_equal(foreseen, before)


def test_a_fork_of_the_scratch_learner_is_bit_exact(tiny_corpus: Corpus) -> None:
    check_a_fork(small_learner(tiny_corpus), tiny_corpus)


@pytest.mark.integration
def test_a_fork_of_smollm2_is_bit_exact(tiny_corpus: Corpus) -> None:
    from kgrl.learners import LoraLearner

    check_a_fork(LoraLearner(tiny_corpus, rank=8), tiny_corpus)
