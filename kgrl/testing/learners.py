"""The contract of learners, and of those that also give gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError
from kgrl.learners.base import Differentiable, Learner

__all__ = ["DifferentiableContract", "LearnerContract"]


class LearnerContract:
    """What every learner keeps. A subclass defines the fixtures `learner`, untaught, and `corpus`, small.

    Example:
        >>> import pytest
        >>> class TestMine(LearnerContract):
        ...     @pytest.fixture
        ...     def corpus(self) -> Corpus: ...
        ...     @pytest.fixture
        ...     def learner(self, corpus: Corpus) -> Learner: ...
    """

    def test_it_has_the_methods_of_a_learner(self, learner: Learner) -> None:
        """It satisfies the protocol."""
        assert isinstance(learner, Learner)

    def test_losses_are_one_finite_number_for_each_passage(self, learner: Learner, corpus: Corpus) -> None:
        """They are float32, and measuring twice gives the same: it changes nothing."""
        passages = corpus.of(0, Split.PROBE)
        losses = learner.losses(passages)
        assert losses.shape == (len(passages),) and losses.dtype == np.float32
        assert np.isfinite(losses).all() and (losses > 0).all()
        assert np.array_equal(losses, learner.losses(passages))

    def test_a_loss_does_not_depend_on_what_is_measured_with_it(self, learner: Learner, corpus: Corpus) -> None:
        """Passages measured together have the losses they have alone."""
        passages = corpus.select(np.arange(min(12, len(corpus))))
        alone = [learner.losses(corpus.select([i]))[0] for i in passages.ids]
        np.testing.assert_allclose(learner.losses(passages), alone, rtol=1e-3)

    def test_learning_lowers_the_loss_of_what_is_learned(self, learner: Learner, corpus: Corpus) -> None:
        """Reading a topic a few times makes its passages likelier."""
        passages = corpus.of(0, Split.TRAIN)
        before = learner.losses(passages).mean()
        for _ in range(4):
            learner.learn(passages, 10_000)
        assert learner.losses(passages).mean() < before

    def test_the_budget_is_kept_to_the_token(self, learner: Learner, corpus: Corpus) -> None:
        """A small budget is used up and cuts the last passage; a large one is not used up."""
        passages = corpus.select(np.arange(min(6, len(corpus))))
        counts = learner.count_tokens(passages)
        assert (counts > 0).all()
        budget = int(counts[:2].sum()) + 2
        learned = learner.learn(passages, budget)
        assert (learned.tokens, learned.passages) == (budget, 3)
        learned = learner.learn(passages, 10 * int(counts.sum()))
        assert (learned.tokens, learned.passages) == (int(counts.sum()), len(passages))
        assert np.isfinite(learned.loss)

    def test_there_has_to_be_something_to_learn(self, learner: Learner, corpus: Corpus) -> None:
        """No passage, or a budget below 2 tokens, is an error."""
        with pytest.raises(ValueError, match="learn"):
            learner.learn(corpus.select([]), 100)
        with pytest.raises(ValueError, match="budget"):
            learner.learn(corpus.of(0, Split.TRAIN), 1)

    def test_restoring_a_snapshot_goes_back_bit_for_bit(self, learner: Learner, corpus: Corpus) -> None:
        """Losses and the course of learning from there on are the same; the snapshot stays usable."""
        passages = corpus.of(0, Split.TRAIN)
        learner.learn(passages, 200)
        snapshot = learner.snapshot()
        losses = learner.losses(passages)
        learned = learner.learn(passages, 200)
        later = learner.losses(passages)
        assert not np.array_equal(losses, later)
        for _ in range(2):
            learner.restore(snapshot)
            assert np.array_equal(losses, learner.losses(passages))
            assert learned == learner.learn(passages, 200)
            assert np.array_equal(later, learner.losses(passages))

    def test_a_saved_state_loads_bit_for_bit(self, learner: Learner, corpus: Corpus, tmp_path: Path) -> None:
        """As for a snapshot, and saving over an older state replaces it."""
        passages = corpus.of(0, Split.TRAIN)
        learner.save(tmp_path / "state")
        learner.learn(passages, 200)
        learner.save(tmp_path / "state")
        losses = learner.losses(passages)
        learned = learner.learn(passages, 200)
        learner.load(tmp_path / "state")
        assert np.array_equal(losses, learner.losses(passages))
        assert learned == learner.learn(passages, 200)

    def test_another_folder_is_refused(self, learner: Learner, tmp_path: Path) -> None:
        """A folder without a saved learner is an error that names it."""
        with pytest.raises(KgrlError, match=tmp_path.name):
            learner.load(tmp_path)


class _DifferentiableLearner(Learner, Differentiable, Protocol):
    """A learner with gradients."""


class DifferentiableContract:
    """What learners with gradients keep. A subclass defines the fixtures `learner`, untaught, and `corpus`, small.

    It comes beside `LearnerContract`, which learners with gradients keep too.

    Example:
        >>> import pytest
        >>> class TestMine(DifferentiableContract):
        ...     @pytest.fixture
        ...     def corpus(self) -> Corpus: ...
        ...     @pytest.fixture
        ...     def learner(self, corpus: Corpus) -> Learner: ...
    """

    def test_it_has_the_methods(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """Gradient and weights are float32 vectors of one length."""
        assert isinstance(learner, Differentiable)
        gradient, weights = learner.loss_gradient(corpus.select([0, 1])), learner.trained_weights()
        assert gradient.shape == weights.shape == (len(weights),)
        assert gradient.dtype == weights.dtype == np.float32
        assert np.isfinite(gradient).all() and gradient.any()

    def test_every_token_weighs_the_same(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """The gradient over passages is the mean of theirs, each as often as it has tokens."""
        passages = corpus.select([0, 1, 2, len(corpus) - 1])
        alone = np.stack([learner.loss_gradient(corpus.select([i])) for i in passages.ids])
        expected = np.average(alone, axis=0, weights=learner.count_tokens(passages))
        np.testing.assert_allclose(learner.loss_gradient(passages), expected, rtol=1e-3, atol=1e-5)

    def test_there_has_to_be_something_to_take_it_of(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """No passage is an error, as in `learn`."""
        with pytest.raises(ValueError, match="passage"):
            learner.loss_gradient(corpus.select([]))

    def test_taking_it_changes_nothing(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """Losses, learning from there on and what was returned before are bit for bit as without."""
        passages, others = corpus.of(0, Split.TRAIN), corpus.of(1, Split.TRAIN)
        learner.learn(passages, 100)
        start = learner.snapshot()
        learned, after = learner.learn(others, 200), learner.losses(others)
        learner.restore(start)
        weights, gradient = learner.trained_weights(), learner.loss_gradient(passages)
        losses, kept = learner.losses(passages), gradient.copy()
        assert np.array_equal(gradient, learner.loss_gradient(passages))
        assert np.array_equal(weights, learner.trained_weights())
        assert np.array_equal(losses, learner.losses(passages))
        assert learned == learner.learn(others, 200)
        assert np.array_equal(after, learner.losses(others))
        assert np.array_equal(kept, gradient) and not np.array_equal(weights, learner.trained_weights())
