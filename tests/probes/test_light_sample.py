"""Light probe samples: unbiased, as precise for fewer tokens, the same at every call, and part of the record."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.learners import ScratchLearner
from kgrl.probes.light_sample import light_sample
from kgrl.retrieval import FaissRetriever, indexed_passages

TOPICS, WORDS, DRAWN = 120, 30, 80
Sample = tuple[NDArray[np.int32], tuple[float, ...]]


@pytest.fixture(scope="module")
def counts() -> NDArray[np.int64]:
    """How often each word is in each topic's probe passage, `[topics, words]`: 8 to 150 words, some words frequent."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(8), np.log(150), TOPICS)).astype(int)
    likely = 1 / np.arange(1, WORDS + 1)
    return np.array([rng.multinomial(length, likely / likely.sum()) for length in lengths])


@pytest.fixture(scope="module")
def corpus(counts: NDArray[np.int64]) -> Corpus:
    texts = [" ".join(f"w{word}" for word, n in enumerate(row) for _ in range(n)) for row in counts]
    graph = TopicGraph.from_links([f"t{topic}" for topic in range(TOPICS)], [0], [1])
    return Corpus("made", graph, texts, range(TOPICS), [Split.PROBE] * TOPICS)


@pytest.fixture(scope="module")
def samples(corpus: Corpus) -> list[Sample]:
    return [light_sample(corpus, 20, seed) for seed in range(DRAWN)]


def estimates(samples: list[Sample], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.average(gains[topics], weights=weights) for topics, weights in samples])


def test_the_weighted_mean_is_that_of_all_topics(samples: list[Sample], counts: NDArray[np.int64]) -> None:
    """Also where gains go with the passage's length, which a plain mean over the same topics gets wrong."""
    gains = np.log(counts.sum(1))
    found, plain = estimates(samples, gains), np.array([gains[topics].mean() for topics, _ in samples])
    # A ratio of two sums is biased by a fraction of its standard deviation.
    assert abs(found.mean() - gains.mean()) < (0.25 + 3 / np.sqrt(DRAWN)) * found.std()
    assert gains.mean() - plain.mean() > 0.4


def test_it_is_more_precise_for_the_words_it_reads(samples: list[Sample], counts: NDArray[np.int64]) -> None:
    """Gains are means over words of what the word gained and of noise, as those of learners are."""
    rng, errors = np.random.default_rng(1), []
    lengths = counts.sum(1)
    read = np.mean([lengths[topics].sum() for topics, _ in samples])
    as_many = round(read / lengths.mean())  # topics drawn alike that have as many words
    for _ in range(40):
        gains = counts @ rng.normal(0, 0.3, WORDS) / lengths + rng.normal(0, 1, TOPICS) / np.sqrt(lengths)
        alike = np.array([gains[rng.permutation(TOPICS)[:as_many]].mean() for _ in range(DRAWN)])
        errors.append([np.square(found - gains.mean()).mean() for found in (estimates(samples, gains), alike)])
    light, plain = np.mean(errors, axis=0)
    assert light < 0.75 * plain


def test_the_same_seed_draws_the_same_topics_among_those_asked_for(tiny_corpus: Corpus) -> None:
    among = np.arange(5, 30, dtype=np.int32)
    topics, weights = light_sample(tiny_corpus, 6, 3, among)
    again, same = light_sample(tiny_corpus, 6, 3, among)
    assert topics.tolist() == again.tolist() == sorted(set(topics.tolist()) & set(among.tolist())) and weights == same
    assert len(topics) == len(weights) == 6 and min(weights) >= 1
    assert any(light_sample(tiny_corpus, 6, seed, among)[0].tolist() != topics.tolist() for seed in range(4))


def test_of_few_topics_all_are_drawn_and_weigh_the_same(tiny_corpus: Corpus) -> None:
    among = np.array([2, 5, 9], dtype=np.int32)
    among = among[tiny_corpus.has(Split.PROBE)[among]]
    topics, weights = light_sample(tiny_corpus, 9, 0, among)
    assert topics.tolist() == among.tolist() and weights == (1.0,) * len(among)
    assert light_sample(tiny_corpus, 9, 0, among[:0])[1] == ()


def make(tiny_corpus: Corpus, embeddings: NDArray[np.float32], light: bool) -> Curriculum:
    ids = indexed_passages(tiny_corpus)
    config = CurriculumConfig(1_200, 200, neighbourhood=2, nucleus_size=2, probe_topics=5, light_probes=light)
    retriever = FaissRetriever(ids, embeddings[tiny_corpus.topics[ids]])
    learner = ScratchLearner(tiny_corpus, width=32, heads=2, vocabulary=400)
    return Curriculum(tiny_corpus, learner, retriever, embeddings, "mean-prediction-gain", config)


def test_rewards_are_weighted_and_recorded(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    """The record holds exact losses and the weights, from which anyone makes the same reward."""
    curriculum = make(tiny_corpus, fake_embeddings, light=True)
    steps = list(curriculum.run(make_agent("bfs")))
    topics, weights = light_sample(tiny_corpus, 5, 0)
    exact = curriculum.state.prober.losses(topics)
    last = steps[-1].probes["mean"]
    assert last.topics == tuple(topics.tolist()) and last.after == tuple(exact.tolist()) and last.weights == weights
    for step in steps[1:]:
        probe = step.probes["mean"]
        drops = np.array(probe.before) - np.array(probe.after)
        assert step.reward == pytest.approx(np.average(drops, weights=weights))
        assert Expansion.from_json(step.to_json()) == step
    plain = list(make(tiny_corpus, fake_embeddings, light=False).run(make_agent("bfs")))
    assert {step.probes["mean"].weights for step in plain} == {()}


def test_a_resumed_curriculum_goes_on_with_the_same_sample(
    tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    whole = list(make(tiny_corpus, fake_embeddings, light=True).run(make_agent("bfs")))
    begun, agent = make(tiny_corpus, fake_embeddings, light=True), make_agent("bfs")
    steps = begun.run(agent)
    first = [next(steps) for _ in range(3)]
    resumed, again = make(tiny_corpus, fake_embeddings, light=True), make_agent("bfs")
    resumed.learner.restore(begun.learner.snapshot())
    resumed.resume([Expansion.from_json(step.to_json()) for step in first], again)
    assert resumed.expand(whole[3].topic) == whole[3]


def test_weights_fit_the_topics() -> None:
    probe = Measurement((3, 5), (4.0, 3.0), (3.5, 3.0), (3.0, 1.0))
    assert (probe.mean_before, probe.mean_after, probe.gain) == pytest.approx((3.75, 3.375, 0.375))
    with pytest.raises(ValueError, match="2 topics, 1 weights"):
        Measurement((3, 5), (4.0, 3.0), (3.5, 3.0), (3.0,))
