"""Gradients of learners and what is measured with them, each found by another way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.expansion import Expansion
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import Reward, as_reward
from kgrl.testing import DifferentiableContract

SMALL: dict[str, Any] = {"width": 32, "heads": 2, "vocabulary": 400}


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


class TestScratch(DifferentiableContract):
    @pytest.fixture
    def learner(self, corpus: Corpus) -> ScratchLearner:
        return ScratchLearner(corpus, **SMALL)


class TestLowRank(DifferentiableContract):
    @pytest.fixture
    def learner(self, corpus: Corpus) -> ScratchLearner:
        return ScratchLearner(corpus, rank=4, **SMALL)


class TestLora(DifferentiableContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> LoraLearner:
        return LoraLearner(corpus, model=str(base_folder), dtype=torch.float32)


def mean_loss(learner: DecoderLearner, passages: Passages) -> torch.Tensor:
    """The loss per token by the plain model, passage by passage, without packing."""
    total, tokens = torch.zeros(()), 0
    for i in passages.ids:
        ids = torch.from_numpy(learner.tokens[int(i)].astype(np.int64))[None]
        total = total + torch.nn.functional.cross_entropy(learner.model(ids)[0, :-1], ids[0, 1:], reduction="sum")
        tokens += ids.shape[1] - 1
    return total / tokens


def plain_gradient(learner: DecoderLearner, passages: Passages) -> NDArray[np.float64]:
    """The same loss's gradient by autograd, in the order of the model's parameters."""
    trained = [weight for weight in learner.model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(mean_loss(learner, passages), trained)
    gradient: NDArray[np.float64] = torch.cat([part.reshape(-1) for part in found]).double().numpy()
    return gradient


def test_the_gradient_is_that_of_the_plain_model(corpus: Corpus) -> None:
    learner, passages = ScratchLearner(corpus, **SMALL), corpus.select(np.arange(9))
    learner.learn(corpus.of(5, Split.TRAIN), 300)
    expected = plain_gradient(learner, passages)
    np.testing.assert_allclose(learner.loss_gradient(passages), expected, rtol=1e-3, atol=1e-6)


def test_the_gradient_agrees_with_finite_differences(corpus: Corpus) -> None:
    """Along itself, along its signs and along a random direction."""
    learner, passages = ScratchLearner(corpus, **SMALL), corpus.select([0, 1])
    gradient = torch.from_numpy(learner.loss_gradient(passages))
    drawn, weights = torch.Generator().manual_seed(3), learner.weights.detach().clone()
    for direction in (gradient, gradient.sign(), torch.randn(gradient.shape, generator=drawn)):
        step = 1e-2 * direction / direction.norm()
        losses = []
        for moved in (weights + step, weights - step):
            with learner.holding(moved), torch.no_grad():
                losses.append(float(mean_loss(learner, passages)))
        assert losses[0] - losses[1] == pytest.approx(2 * float(gradient @ step), rel=2e-2, abs=2e-5)


def test_a_small_step_gains_what_gpg_says_and_grows_the_weights_as_the_complexity_gain_says(corpus: Corpus) -> None:
    """After theta' = theta - rate g, to first order: L falls by rate |g|^2, |theta|^2 grows by -2 rate theta . g."""
    learner, passages, rate = ScratchLearner(corpus, **SMALL), corpus.of(0, Split.TRAIN), 1e-3
    gradient, weights = (v.astype(np.float64) for v in (learner.loss_gradient(passages), learner.trained_weights()))
    moved = weights - rate * gradient
    with torch.no_grad():
        before = float(mean_loss(learner, passages))
        with learner.holding(torch.from_numpy(moved).float()):
            after = float(mean_loss(learner, passages))
    assert (before - after) / rate == pytest.approx(gradient @ gradient, rel=0.02)
    growth = (moved @ moved - weights @ weights) / (2 * rate)
    assert growth == pytest.approx(-(weights @ gradient), abs=1e-3 * float(gradient @ gradient))


class Reads(Reward):
    """Needs all that a learner with gradients can have measured, and pays nothing."""

    name, needs = "reads", frozenset({"gradient", "alignment", "weights", "trained", "flops"})

    def score(self, expansion: Expansion) -> float:
        return 0.0


@pytest.mark.parametrize("goal", [None, "Craft"])
def test_measures_are_what_the_plain_model_has(
    goal: str | None, corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    """Computed after the fact on learners put back to before and after the lesson."""
    ids = indexed_passages(corpus)
    retriever = FaissRetriever(ids, fake_embeddings[corpus.topics[ids]])
    learner = ScratchLearner(corpus, **SMALL)
    config = CurriculumConfig(1500, 500, neighbourhood=2, nucleus_size=1, probe_topics=4, goal=goal)
    curriculum = Curriculum(corpus, learner, retriever, fake_embeddings, Reads(), config)
    curriculum.start()
    before = learner.snapshot()
    step = curriculum.expand(int(curriculum.view.candidates[0]))
    after, found = learner.snapshot(), step.measures
    read = corpus.select(step.passages)
    if learner.count_tokens(read).sum() > step.tokens:  # the last was cut
        read = corpus.select(step.passages[:-1])
    assert len(read) > 1

    def state() -> tuple[float, NDArray[np.float64]]:
        with torch.no_grad():
            return float(mean_loss(learner, read)), learner.trained_weights().astype(np.float64)

    loss, weights = state()
    assert found["trained_after"] == pytest.approx(loss, rel=1e-5)
    assert found["weights_squared_after"] == pytest.approx(weights @ weights, rel=1e-9)
    learner.restore(before)
    loss, weights = state()
    assert found["trained_before"] == pytest.approx(loss, rel=1e-5)
    assert found["weights_squared_before"] == pytest.approx(weights @ weights, rel=1e-9)
    gradient = plain_gradient(learner, read)
    assert found["gradient_squared"] == pytest.approx(gradient @ gradient, rel=1e-4)
    assert found["gradient_weights"] == pytest.approx(weights @ gradient, abs=1e-4)
    aim = plain_gradient(learner, _probe_sample(corpus, goal, config))
    each = [plain_gradient(learner, corpus.select([i])) for i in read.ids]
    cosines = [g @ aim / np.linalg.norm(g) / np.linalg.norm(aim) for g in each]
    assert found["alignment"] == pytest.approx(np.mean(cosines), rel=1e-4)
    assert found["flops"] == 6 * sum(p.numel() for p in learner.model.parameters()) * step.tokens
    learner.restore(after)


def _probe_sample(corpus: Corpus, goal: str | None, config: CurriculumConfig) -> Passages:
    """The passages that mean or target prediction gain would measure, drawn as the config says."""
    pool = np.flatnonzero(corpus.has(Split.PROBE))
    pool = pool if goal is None else np.intersect1d(pool, corpus.graph.in_category(goal))
    drawn = np.sort(np.random.default_rng(config.seed).permutation(pool)[: config.probe_topics])
    return corpus.select([corpus.ids_of(int(topic), Split.PROBE)[0] for topic in drawn])


def test_losses_can_be_measured_of_learners_without_gradients(
    make_tiny_curriculum: Callable[..., Curriculum],
) -> None:
    steps = list(make_tiny_curriculum(as_reward("prediction-gain")).run(make_agent("bfs")))
    assert all(step.reward is not None and step.reward > 0 for step in steps[1:])
