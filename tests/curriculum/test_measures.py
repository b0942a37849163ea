"""Measures of lessons: what they are, that they disturb nothing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.measures import check_needs
from kgrl.envs.vector.env import CurriculumVectorEnv
from kgrl.errors import SettingError, UnknownNameError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.learners import ScratchLearner
from kgrl.learners.base import Differentiable
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import (
    ForgettingPenalty,
    FrontierSurprise,
    MeanPredictionGain,
    Reward,
    RewardContext,
    SelfPredictionGain,
    TargetPredictionGain,
    as_reward,
    rewards,
)
from kgrl.runs import Run

MEASURED = ("prediction-gain", "reducible-loss", "gradient-prediction-gain", "gradient-alignment",
            "l2-complexity-gain", "flop-cost")  # fmt: skip


class NoGradients:
    """A learner that is none of the optional things."""


@pytest.fixture
def learner(tiny_corpus: Corpus) -> ScratchLearner:
    """A learner that has learned a little."""
    learner = ScratchLearner(tiny_corpus)
    learner.learn(tiny_corpus.of(0, Split.TRAIN), 100)
    return learner


@pytest.fixture
def make_real_curriculum(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> Callable[..., Curriculum]:
    """Makes short curricula on the small corpus with a scratch learner."""

    def make(reward: Any, goal: str | None = None) -> Curriculum:
        ids = indexed_passages(tiny_corpus)
        retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
        config = CurriculumConfig(600, 150, neighbourhood=2, nucleus_size=2, probe_topics=4, goal=goal)
        return Curriculum(tiny_corpus, ScratchLearner(tiny_corpus), retriever, fake_embeddings, reward, config)

    return make


class TestGradients:
    """`Differentiable`, of learners with a transformer inside."""

    def test_the_gradient_is_that_of_the_mean_loss_per_token(
        self, learner: ScratchLearner, tiny_corpus: Corpus
    ) -> None:
        """A small step along it changes the loss by as much as it says."""
        passages = tiny_corpus.select(np.arange(3))
        assert isinstance(learner, Differentiable)
        gradient = learner.loss_gradient(passages).astype(np.float64)
        counts, step = learner.count_tokens(passages), 1e-2 / np.linalg.norm(gradient)
        losses = []
        for sign in (-1, 1):
            moved = learner.weights.detach() + sign * step * learner.weights.new_tensor(gradient)
            with learner.holding(moved):
                losses.append(np.average(learner.losses(passages).astype(np.float64), weights=counts))
        assert (losses[1] - losses[0]) / (2 * step) == pytest.approx(gradient @ gradient, rel=0.02)

    def test_taking_it_changes_nothing(self, learner: ScratchLearner, tiny_corpus: Corpus) -> None:
        """Losses, weights and the course of learning are bit for bit what they are without."""
        passages, snapshot = tiny_corpus.of(0, Split.TRAIN), learner.snapshot()
        plain = learner.learn(passages, 100), learner.trained_weights()
        learner.restore(snapshot)
        learner.loss_gradient(passages)
        assert plain[0] == learner.learn(passages, 100)
        assert np.array_equal(plain[1], learner.trained_weights())


def test_measures_disturb_nothing(make_real_curriculum: Callable[..., Curriculum]) -> None:
    """The same topics have the same losses with and without them."""
    reward = sum((as_reward(name) for name in MEASURED), as_reward("self-prediction-gain"))
    plain, measured = (make_real_curriculum(reward=r) for r in ("self-prediction-gain", reward))
    for one, other in zip(plain.run(make_agent("bfs")), measured.run(make_agent("bfs")), strict=True):
        assert (one.topic, one.probes["self"], one.train_loss) == (other.topic, other.probes["self"], other.train_loss)
        assert not one.measures and other.probe_tokens > one.probe_tokens
        assert {"trained_before", "reference", "gradient_squared", "alignment", "flops"} <= set(other.measures)


def test_first_order_agreement(make_real_curriculum: Callable[..., Curriculum]) -> None:
    """Lessons lower the loss of what they train on, and gradients are neither nothing nor aligned beyond 1."""
    reward = sum((as_reward(name) for name in MEASURED), as_reward("self-prediction-gain"))
    steps = list(make_real_curriculum(reward=reward).run(make_agent("bfs")))
    for step in steps[1:]:
        assert step.measures["trained_after"] < step.measures["trained_before"]
        assert step.measures["gradient_squared"] > 0
        assert -1 <= step.measures["alignment"] <= 1
    assert steps[1].reward_components["prediction-gain"] > 0


@pytest.mark.parametrize("name", ["gradient-prediction-gain", "l2-complexity-gain", "gradient-alignment", "flop-cost"])
def test_what_a_learner_cannot_give_is_refused(name: str) -> None:
    """The message names reward and learner."""
    with pytest.raises(SettingError, match=rf"{name}.*NoGradients cannot give"):
        check_needs(as_reward(name), NoGradients(), None)  # type: ignore[arg-type]


def test_a_goal_is_asked_for() -> None:
    """By rewards that measure it, and not by functions, which take what there is."""
    for reward in (TargetPredictionGain(), TargetPredictionGain() + MeanPredictionGain()):
        with pytest.raises(SettingError, match="goal"):
            check_needs(reward, NoGradients(), None)  # type: ignore[arg-type]
    check_needs(as_reward(lambda expansion: 1.0), NoGradients(), None)  # type: ignore[arg-type]


def test_an_unknown_need_is_named() -> None:
    """With the nearest there is."""

    class Odd(MeanPredictionGain):
        needs = frozenset({"gradients"})

    with pytest.raises(UnknownNameError, match="did you mean 'gradient'"):
        check_needs(Odd(), NoGradients(), None)  # type: ignore[arg-type]


def test_replayed_expansions_have_the_same_rewards(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    """Rewards that remember are brought to where they were when a run is resumed."""
    reward = as_reward("absolute-learning-progress") + as_reward("forgetting-penalty") + as_reward("frontier-surprise")
    curriculum = make_tiny_curriculum(reward=reward)
    steps = list(curriculum.run(make_agent("bfs")))
    again = make_tiny_curriculum(reward=reward)
    again.resume(steps[:-1], make_agent("bfs"))
    assert again.reward is not None
    assert again.reward.evaluate(steps[-1])[0] == steps[-1].reward


class TestWorkedExamples:
    """Rewards that remember, by hand."""

    def test_frontier_surprise(self) -> None:
        """Losses 3 and 5 of two learned neighbours predict 4; a loss of 4.5 surprises by a half."""
        graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 1, 3], [2, 2, 0])
        reward = FrontierSurprise()
        reward.bind(RewardContext(graph, np.eye(4, dtype=np.float32)))
        reward.begin(_step(0, (0, 1), {"self": Measurement((0, 1), (6.0, 6.0), (3.0, 5.0))}))
        assert reward(_step(1, (2,), {"self": Measurement((2,), (4.5,), (2.0,))})) == pytest.approx(0.5)
        # d is linked with a alone, whose loss was 3.
        assert reward(_step(2, (3,), {"self": Measurement((3,), (2.0,), (1.0,))})) == pytest.approx(-1.0)

    def test_forgetting_penalty(self) -> None:
        """Topic 0 was best at 3 and is at 3.25 now; topic 2 is not learned and does not count."""
        reward = ForgettingPenalty(weight=2.0)
        reward.begin(_step(0, (0,), {"mean": Measurement((0, 2), (4.0, 4.0), (3.0, 4.0))}))
        assert reward(_step(1, (1,), {"mean": Measurement((0, 2), (3.0, 4.0), (3.25, 5.0))})) == pytest.approx(-0.5)


def _step(index: int, topics: tuple[int, ...], probes: dict[str, Measurement]) -> Expansion:
    return Expansion(index, topics[0], "?", topics, topics, 10, 10 * (index + 1), 100, 3.0, probes)


class Guarded(Sequence[str]):
    """Texts of which those of the exam cannot be read."""

    def __init__(self, corpus: Corpus) -> None:
        self.texts, self.splits = corpus.texts, corpus.splits

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, at: Any) -> Any:
        assert self.splits[at] != Split.EXAM, "an exam text was read"
        return self.texts[at]


def _guard(learner: ScratchLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a learner refuse exam passages."""
    for name in ("learn", "losses", "loss_gradient", "count_tokens"):
        method = getattr(learner, name)

        def refuse(passages: Passages, *rest: Any, method: Any = method) -> Any:
            assert not (passages.corpus.splits[passages.ids] == Split.EXAM).any(), "an exam passage was used"
            return method(passages, *rest)

        monkeypatch.setattr(learner, name, refuse)


@pytest.fixture
def everything() -> Iterator[Reward]:
    """The sum of all registered rewards, but for the one that only a simulated learner can earn."""
    yield sum((rewards.make(name) for name in rewards if name != "facts-gain"), as_reward(lambda expansion: 0.0))


def test_nothing_of_the_exam_is_read_in_a_run(
    make_real_curriculum: Callable[..., Curriculum], everything: Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every reward at once, runs go to their ends though the exam cannot be read."""
    for agent in ("bfs", "oracle"):
        curriculum = make_real_curriculum(reward=everything, goal="Mathematics")
        monkeypatch.setattr(curriculum.corpus, "texts", Guarded(curriculum.corpus))
        _guard(curriculum.learner, monkeypatch)  # type: ignore[arg-type]
        steps = list(curriculum.run(make_agent(agent)))
        assert len(steps) > 2 and all(
            set(rewards) - {"facts-gain"} <= set(step.reward_components) for step in steps[1:]
        )
        monkeypatch.undo()


def test_vector_environments_say_what_they_do_not_measure(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    """And where it is measured."""
    from kgrl.learners.simulated.learner import SimulatedLearner

    curriculum = make_tiny_curriculum(reward="self-prediction-gain")
    curriculum.state.learner = SimulatedLearner.__new__(SimulatedLearner)
    curriculum.reward = as_reward("prediction-gain")
    with pytest.raises(SettingError, match="trained, which vector environments do not measure"):
        CurriculumVectorEnv(curriculum)


def test_a_lesson_is_measured_on_what_its_tokens_reach(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    """Passages beyond the allowance are not part of it; the first always is."""
    curriculum = make_tiny_curriculum(reward="prediction-gain")
    curriculum.state.config = replace(curriculum.config, expansion_tokens=20)
    (step,) = curriculum.start()
    assert len(step.passages) >= 1 and step.measures["trained_after"] < step.measures["trained_before"]


class Reads(Reward):
    """Needs what it is told to, and pays nothing."""

    name = "reads"

    def __init__(self, *needs: str) -> None:
        self.needs = frozenset(needs)

    def score(self, expansion: Expansion) -> float:
        return 0.0


def test_the_reference_is_a_learner_taught_text_of_all_topics(make_real_curriculum: Callable[..., Curriculum]) -> None:
    """As many tokens as the budget, in an order drawn by the seed; the nucleus's record has what it cost."""
    curriculum = make_real_curriculum(Reads("self", "reference"))
    corpus, budget = curriculum.corpus, curriculum.config.budget_tokens
    assert curriculum.start()[0].probe_tokens > budget
    step = curriculum.expand(int(curriculum.view.candidates[0]))
    other, train = ScratchLearner(corpus), np.flatnonzero(corpus.splits == Split.TRAIN)
    assert other.learn(corpus.select(np.random.default_rng(0).permutation(train)), budget).tokens == budget
    probes = corpus.select(corpus.first_ids(Split.PROBE)[list(step.probes["self"].topics)])
    assert step.measures["reference"] == pytest.approx(other.losses(probes).mean(), rel=1e-5)


def test_a_learner_that_was_measured_has_learned_the_same(make_real_curriculum: Callable[..., Curriculum]) -> None:
    """Its weights are the same bit for bit."""
    plain, measured = (make_real_curriculum(Reads(*n)) for n in ((), ("trained", "reference", "gradient", "alignment")))
    for curriculum in (plain, measured):
        list(curriculum.run(make_agent("bfs")))
    assert np.array_equal(plain.learner.trained_weights(), measured.learner.trained_weights())  # type: ignore[attr-defined]


def test_only_what_is_needed_is_measured(make_real_curriculum: Callable[..., Curriculum]) -> None:
    step = list(make_real_curriculum(Reads("trained")).run(make_agent("bfs")))[1]
    assert set(step.measures) == {"trained_before", "trained_after"}


@pytest.mark.parametrize("attempts", [False, True])
def test_a_resumed_run_is_the_whole_one_to_the_token(
    attempts: bool, make_real_curriculum: Callable[..., Curriculum], tmp_path: Path
) -> None:
    """The reference's tokens are in the record of the nucleus, however often it has to be trained again."""

    def run_in(name: str) -> Run:
        curriculum = make_real_curriculum(as_reward("reducible-loss") + as_reward("absolute-learning-progress"))
        agent = make_agent("oracle" if attempts else "bfs")
        return Run(tmp_path / name, curriculum, agent, Exam(curriculum.corpus, size=4), {})

    def stop(expansion: Expansion, loss: float | None) -> None:
        if expansion.index == 1:
            raise KeyboardInterrupt

    whole = run_in("whole").carry_out()
    with pytest.raises(KeyboardInterrupt):
        run_in("halves").carry_out(stop)
    resumed = run_in("halves").carry_out()
    assert len(whole.expansions) > 3
    assert [e.reward for e in resumed.expansions] == [e.reward for e in whole.expansions]
    assert resumed.expansions == whole.expansions


def test_starting_over_repeats_the_records(make_real_curriculum: Callable[..., Curriculum]) -> None:
    curriculum = make_real_curriculum("reducible-loss")
    assert list(curriculum.run(make_agent("bfs"))) == list(curriculum.run(make_agent("bfs")))


@pytest.mark.parametrize(
    "reward",
    [
        MeanPredictionGain() + 2 * TargetPredictionGain(),
        MeanPredictionGain() + SelfPredictionGain() + TargetPredictionGain(),  # all probes, as a function's are
        TargetPredictionGain() * MeanPredictionGain() - as_reward(lambda expansion: 0.0),
    ],
)
def test_the_part_that_needs_a_goal_is_named(reward: Reward) -> None:
    with pytest.raises(SettingError, match=r"the reward 'target-prediction-gain' .*set goal=CATEGORY"):
        check_needs(reward, NoGradients(), None)  # type: ignore[arg-type]


def test_the_part_that_needs_gradients_is_named() -> None:
    with pytest.raises(SettingError, match="the reward 'reads' needs gradient"):
        check_needs(MeanPredictionGain() + 0.5 * Reads("gradient"), NoGradients(), None)  # type: ignore[arg-type]


def test_functions_have_what_there_is_and_are_held_to_what_they_declare(
    make_tiny_curriculum: Callable[..., Curriculum],
) -> None:
    def gain(expansion: Expansion) -> float:
        return expansion.probes["mean"].gain

    for reward in (gain, as_reward(gain) + MeanPredictionGain()):
        step = list(make_tiny_curriculum(reward).run(make_agent("bfs")))[1]
        assert set(step.probes) == {"mean", "self"}
    assert set(make_tiny_curriculum(gain, goal="Craft").start()[0].probes) == {"mean", "self", "target"}
    gain.needs = {"target", "mean", "self"}  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match="the reward 'gain' measures a goal"):
        make_tiny_curriculum(gain)
