"""Environments of one corpus share what was made of it, and nothing else."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv
from kgrl.learners import SimulatedLearner
from kgrl.retrieval import FaissRetriever
from kgrl.retrieval.corpus_index import embed_corpus
from tests.support.simulated import StubEncoder, made_up_calibration

CONFIG = CurriculumConfig(budget_tokens=3_000, expansion_tokens=200, neighbourhood=3, nucleus_size=2)


class CountingEncoder(StubEncoder):
    """Counts how often texts are encoded."""

    times = 0

    def encode_cached(self, *args: object, **options: object) -> np.ndarray:
        type(self).times += 1
        return super().encode_cached(*args, **options)  # type: ignore[arg-type]


def curriculum(corpus: Corpus) -> Curriculum:
    """A curriculum made from nothing but the corpus, as by its name."""
    retriever, embeddings = embed_corpus(corpus, StubEncoder())
    learner = SimulatedLearner(corpus, 5, made_up_calibration(corpus), embeddings=embeddings)
    return Curriculum(corpus, learner, retriever, embeddings, "mean-prediction-gain", CONFIG)


def test_environments_of_one_corpus_share_its_tables(tiny_corpus: Corpus) -> None:
    one, other = (CurriculumEnv(curriculum(tiny_corpus), slots=6) for _ in range(2))
    many = CurriculumVectorEnv(curriculum(tiny_corpus), 2, slots=6)
    for env in (one, other):
        env.reset(seed=0)
    many.reset(seed=0)
    ours, theirs = one.curriculum.state, other.curriculum.state
    assert ours.embeddings is theirs.embeddings and ours.research.retriever is theirs.research.retriever
    assert ours.research.tables is theirs.research.tables is many._fixed.research
    assert one._features is not None and other._features is not None
    assert one._features.tables is other._features.tables is many._fixed.graph
    assert not np.shares_memory(one._features.known(one.curriculum.view).compared, other._features._known.compared)


def test_a_step_in_one_environment_is_not_seen_in_another(tiny_corpus: Corpus) -> None:
    one, other, alone = (CurriculumEnv(curriculum(tiny_corpus), slots=6) for _ in range(3))
    shown = [env.reset(seed=3)[0] for env in (one, other, alone)]
    assert all(np.array_equal(shown[0][name], shown[1][name]) for name in shown[0])
    for _ in range(4):
        one.step(0)
    after, expected = other.step(0), alone.step(0)
    assert after[1] == expected[1] and all(np.array_equal(after[0][name], expected[0][name]) for name in after[0])


def test_shared_tables_refuse_to_be_changed(tiny_corpus: Corpus) -> None:
    env = CurriculumEnv(curriculum(tiny_corpus), slots=6)
    env.reset(seed=0)
    assert env._features is not None
    state, learner = env.curriculum.state, env.curriculum.learner
    assert isinstance(learner, SimulatedLearner)
    for array in (state.embeddings, *env._features.tables, *state.research.tables, *learner.related):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_what_nobody_uses_any_more_is_made_anew(tiny_corpus: Corpus) -> None:
    CountingEncoder.times = 0
    corpus = Corpus("own", tiny_corpus.graph, [f"{text} Again." for text in tiny_corpus.texts], tiny_corpus.topics,
                    tiny_corpus.splits)  # fmt: skip
    first: tuple[FaissRetriever, np.ndarray] | None = embed_corpus(corpus, CountingEncoder())
    again = embed_corpus(corpus, CountingEncoder())
    assert first is not None and again[0] is first[0] and again[1] is first[1] and CountingEncoder.times == 1
    del first, again
    gc.collect()
    embed_corpus(corpus, CountingEncoder())
    assert CountingEncoder.times == 2


def test_other_texts_have_their_own(tiny_corpus: Corpus) -> None:
    other = Corpus("tiny", tiny_corpus.graph, tiny_corpus.texts[::-1], tiny_corpus.topics, tiny_corpus.splits)
    assert embed_corpus(tiny_corpus, StubEncoder())[1] is not embed_corpus(other, StubEncoder())[1]
