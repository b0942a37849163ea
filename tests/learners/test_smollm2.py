"""The LoRA learner on SmolLM2: real weights, real text."""

from __future__ import annotations

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.graph import TopicGraph
from kgrl.learners import LoraLearner
from kgrl.learners.decoder.models import fingerprint
from kgrl.testing import LearnerContract

pytestmark = pytest.mark.integration

TEXTS = {
    "Prime number": (
        "A prime number is a natural number greater than 1 that is not a product of two smaller natural numbers.",
        "A natural number greater than 1 that is not prime is called a composite number.",
        "For example, 5 is prime because the only ways of writing it as a product involve 5 itself.",
    ),
    "Glacier": (
        "A glacier is a persistent body of dense ice that is constantly moving under its own weight.",
        "A glacier forms where the accumulation of snow exceeds its ablation over many years.",
        "Glaciers slowly deform and flow under stresses induced by their weight.",
    ),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    texts = [text for passages in TEXTS.values() for text in passages]
    return Corpus("two topics", TopicGraph.from_links(list(TEXTS), [0], [1]), texts, [0, 0, 0, 1, 1, 1], [0, 0, 1] * 2)


@pytest.fixture(scope="module")
def loaded(corpus: Corpus) -> LoraLearner:
    return LoraLearner(corpus)


@pytest.fixture
def learner(loaded: LoraLearner) -> LoraLearner:
    if not hasattr(loaded, "untaught"):
        loaded.untaught = loaded.snapshot()  # type: ignore[attr-defined]
    loaded.restore(loaded.untaught)  # type: ignore[attr-defined]
    return loaded


class TestSmolLM2(LearnerContract):
    pass


def test_it_knows_english(learner: LoraLearner, corpus: Corpus) -> None:
    """A pretrained model of this size has about 2.5 nats per token on an encyclopaedia; weights put wrong give 10."""
    assert learner.losses(corpus.of(0, Split.TRAIN)).mean() < 3.5


def test_learning_a_topic_helps_with_what_is_held_out_of_it(learner: LoraLearner, corpus: Corpus) -> None:
    probe = corpus.of(1, Split.PROBE)
    before = learner.losses(probe)
    for _ in range(6):
        learner.learn(corpus.of(1, Split.TRAIN), 1000)
    assert np.all(learner.losses(probe) < before)


def test_its_weights_are_those_of_the_package(learner: LoraLearner) -> None:
    assert learner.identity["base_model"] == f"smollm2@{learner.identity['base_model'].partition('@')[2]}"
    assert len(fingerprint(learner.model)) == 32
