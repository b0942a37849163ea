"""The average of weights: Adam's formula over tokens, for measuring alone, and kept with the learner."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.average import WeightAverage
from kgrl.learners.plugins import Isolation, Plugin, ReLoRA
from kgrl.testing import DifferentiableContract, LearnerContract

SMALL: dict[str, Any] = {"width": 32, "heads": 2, "vocabulary": 400}
TOKENS = 300


class Weights(Plugin):
    """Keeps the weights after each update."""

    name = "weights"

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def updated(self) -> None:
        self.kept.append(self.learner.weights.detach().clone())


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture
def learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, average_tokens=TOKENS, plugins=[Weights()], **SMALL)


class TestAveraged(LearnerContract, DifferentiableContract):
    pass


class TestAveragedAdapter(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> LoraLearner:
        return LoraLearner(corpus, model=str(base_folder), learning_rate=1e-2, average_tokens=TOKENS)


updates = st.lists(st.tuples(st.floats(-9, 9, width=32), st.integers(1, 500)), min_size=1, max_size=30)


def averaged(updates: list[tuple[float, int]], tokens: int) -> float:
    average, total = WeightAverage(torch.full((1,), 1e6), tokens), 0
    for value, n in updates:
        average.update(torch.tensor([value]), n, total := total + n)
    return average.vector.item()


@given(updates, st.integers(1, 10_000))
def test_it_is_adams_average_with_its_correction(updates: list[tuple[float, int]], tokens: int) -> None:
    """The weights before the first update do not enter."""
    sum_, share = 0.0, 1.0
    for value, n in updates:
        decay = np.exp(-n / tokens)
        sum_, share = decay * sum_ + (1 - decay) * value, share * decay
    assert averaged(updates, tokens) == pytest.approx(sum_ / (1 - share), rel=1e-4, abs=1e-3)


@given(updates, st.integers(1, 10_000))
def test_sizes_of_blocks_do_not_matter(updates: list[tuple[float, int]], tokens: int) -> None:
    """An update counts for as much as two with half its tokens that lead to the same weights."""
    halves = [(value, n) for value, n in updates for _ in range(2)]
    assert averaged(halves, tokens) == pytest.approx(averaged([(v, 2 * n) for v, n in updates], tokens), abs=1e-3)


def test_losses_are_those_of_the_average_and_nothing_else_changes(learner: ScratchLearner, corpus: Corpus) -> None:
    plain, weights, total = ScratchLearner(corpus, **SMALL), learner.plugins[0], 0
    average = WeightAverage(learner.weights, TOKENS)
    assert isinstance(weights, Weights)
    probes = corpus.select(np.arange(12))
    assert np.array_equal(learner.losses(probes), plain.losses(probes))  # before any update
    for lesson in range(3):  # each of one update
        learned = learner.learn(corpus.of(lesson, Split.TRAIN), 200)
        assert learned == plain.learn(corpus.of(lesson, Split.TRAIN), 200)
        average.update(weights.kept[-1], learned.tokens, total := total + learned.tokens)
    assert len(weights.kept) == 3
    assert np.array_equal(learner.trained_weights(), plain.trained_weights())
    assert np.array_equal(learner.loss_gradient(probes), plain.loss_gradient(probes))
    groups = np.zeros(len(corpus), dtype=np.int32)
    with plain.holding(average.vector):
        assert np.array_equal(learner.losses(probes), plain.losses(probes))
        assert np.array_equal(learner.compare(probes, groups), plain.compare(probes, groups))
    assert not np.array_equal(learner.losses(probes), plain.losses(probes))
    assert torch.equal(learner.modules["curriculum"], average.vector)  # adapters are written with what is measured


def test_a_copy_has_an_average_of_its_own(learner: ScratchLearner, corpus: Corpus) -> None:
    read = corpus.of(0, Split.TRAIN)
    learner.learn(read, 200)
    before, twin = learner.losses(read), copy.deepcopy(learner)
    twin.learn(read, 200)
    assert np.array_equal(before, learner.losses(read))
    learner.learn(read, 200)
    assert np.array_equal(twin.losses(read), learner.losses(read))


def test_a_saved_state_has_the_trained_weights_and_the_average(
    learner: ScratchLearner, corpus: Corpus, tmp_path: Path
) -> None:
    read = corpus.of(0, Split.TRAIN)
    for _ in range(3):
        learner.learn(read, 200)
    learner.save(tmp_path)
    other = ScratchLearner(corpus, seed=1, average_tokens=TOKENS, plugins=[Weights()], **SMALL)
    other.load(tmp_path)
    assert np.array_equal(other.trained_weights(), learner.trained_weights())
    assert np.array_equal(other.losses(read), learner.losses(read))
    for tokens in (None, TOKENS + 1):
        with pytest.raises(KgrlError, match="average_tokens"):
            ScratchLearner(corpus, average_tokens=tokens, plugins=[Weights()], **SMALL).load(tmp_path)


def test_an_adapter_that_is_loaded_is_what_is_measured(corpus: Corpus, base_folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": str(base_folder), "learning_rate": 1e-2}
    teacher, read = LoraLearner(corpus, **options), corpus.of(0, Split.TRAIN)
    teacher.learn(read, 500)
    teacher.save(tmp_path)
    learner = LoraLearner(corpus, average_tokens=TOKENS, **options)
    learner.learn(corpus.of(1, Split.TRAIN), 500)
    learner.load_adapter(tmp_path)
    assert np.array_equal(learner.losses(read), teacher.losses(read))


@pytest.mark.parametrize("plugin", [Isolation(np.eye(40, dtype=np.float32)), ReLoRA()])
def test_weights_that_are_replaced_have_no_average(plugin: Plugin, corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=f"'{plugin.name}' replaces trained weights"):
        ScratchLearner(corpus, rank=2, average_tokens=TOKENS, plugins=[plugin], **SMALL)


def test_it_is_over_some_tokens(corpus: Corpus) -> None:
    with pytest.raises(SettingError, match="average_tokens must be at least 1, not 0"):
        ScratchLearner(corpus, average_tokens=0, **SMALL)
