"""Contracts: the tests that every learner, agent, reward, retriever and trace source must pass.

A subclass defines the fixtures that its docstring names and inherits the tests. `kgrl.testing.samples` has ready-made
corpora, curricula and expansions for them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.view import Agent, Finite, PassageAgent
from kgrl.errors import KgrlError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.learners.base import Differentiable, Learner
from kgrl.retrieval.base import Retriever
from kgrl.rewards.base import KNOWLEDGE, MEASURES, PROBES, Reward, RewardContext, RewardFunction
from kgrl.testing.samples import sample_context, sample_curriculum, sample_expansions
from kgrl.traces.source import TraceSource

__all__ = [
    "AgentContract",
    "DifferentiableContract",
    "LearnerContract",
    "RetrieverContract",
    "RewardContract",
    "TraceSourceContract",
]


class LearnerContract:
    """The contract of learners.

    A subclass defines the fixtures `corpus`, a small one, and `learner`, before any training on that corpus.

    Example:
        >>> import pytest
        >>> class TestMine(LearnerContract):
        ...     @pytest.fixture
        ...     def corpus(self) -> Corpus: ...
        ...     @pytest.fixture
        ...     def learner(self, corpus: Corpus) -> Learner: ...
    """

    def test_it_has_the_methods_of_a_learner(self, learner: Learner) -> None:
        """It satisfies the protocol `Learner`."""
        assert isinstance(learner, Learner)

    def test_losses_are_one_finite_number_for_each_passage(self, learner: Learner, corpus: Corpus) -> None:
        """Losses are positive float32 numbers, and measuring again gives the same: it changes nothing."""
        passages = corpus.of(0, Split.PROBE)
        losses = learner.losses(passages)
        assert losses.shape == (len(passages),) and losses.dtype == np.float32
        assert np.isfinite(losses).all() and (losses > 0).all()
        assert np.array_equal(losses, learner.losses(passages))

    def test_a_loss_does_not_depend_on_what_is_measured_with_it(self, learner: Learner, corpus: Corpus) -> None:
        """Passages that are measured together have the losses that they have alone."""
        passages = corpus.select(np.arange(min(12, len(corpus))))
        alone = [learner.losses(corpus.select([i]))[0] for i in passages.ids]
        # Not bit for bit: batches of other shapes add up in another order.
        np.testing.assert_allclose(learner.losses(passages), alone, rtol=1e-3)

    def test_learning_lowers_the_loss_of_what_is_learned(self, learner: Learner, corpus: Corpus) -> None:
        """Four lessons on a topic lower the mean loss of its passages."""
        passages = corpus.of(0, Split.TRAIN)
        before = learner.losses(passages).mean()
        for _ in range(4):  # one lesson with a warm-up of the learning rate may be too little
            learner.learn(passages, 10_000)
        assert learner.losses(passages).mean() < before

    def test_the_budget_is_kept_to_the_token(self, learner: Learner, corpus: Corpus) -> None:
        """A small budget is used up and cuts the last passage; a large one reads every passage once."""
        passages = corpus.select(np.arange(min(6, len(corpus))))
        counts = learner.count_tokens(passages)
        assert (counts > 0).all()
        budget = int(counts[:2].sum()) + 2  # two passages, and a beginning of the third
        learned = learner.learn(passages, budget)
        assert (learned.tokens, learned.passages) == (budget, 3)
        learned = learner.learn(passages, 10 * int(counts.sum()))
        assert (learned.tokens, learned.passages) == (int(counts.sum()), len(passages))
        assert np.isfinite(learned.loss)

    def test_the_loss_of_a_passage_at_its_reading_is_told(self, learner: Learner, corpus: Corpus) -> None:
        """It is the loss before the update; the lesson's loss is the mean over all its tokens, rehearsed ones too."""
        one = corpus.of(0, Split.TRAIN).ids[:1]
        before = learner.losses(corpus.select(one))
        np.testing.assert_allclose(learner.learn(corpus.select(one), 10_000).losses, before, rtol=1e-3)
        passages = corpus.select(np.arange(min(6, len(corpus))))
        learned = learner.learn(passages, 10_000)
        counts = learner.count_tokens(passages)
        assert len(learned.losses) == len(passages) and np.isfinite(learned.losses).all()
        if learned.tokens == counts.sum():
            np.testing.assert_allclose(np.average(learned.losses, weights=counts), learned.loss)

    def test_there_has_to_be_something_to_learn(self, learner: Learner, corpus: Corpus) -> None:
        """A lesson without passages, or with a budget below 2 tokens, is an error."""
        with pytest.raises(ValueError, match="learn"):
            learner.learn(corpus.select([]), 100)
        with pytest.raises(ValueError, match="budget"):
            learner.learn(corpus.of(0, Split.TRAIN), 1)

    def test_restoring_a_snapshot_goes_back_bit_for_bit(self, learner: Learner, corpus: Corpus) -> None:
        """Losses and later lessons are the same as after the snapshot, which can be restored more than once."""
        passages = corpus.of(0, Split.TRAIN)
        learner.learn(passages, 200)  # so that the optimizer has a state that the snapshot must hold
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
        """Losses and later lessons are the same as when it was saved; saving over an older state replaces it."""
        passages = corpus.of(0, Split.TRAIN)
        learner.save(tmp_path / "state")
        learner.learn(passages, 200)
        learner.save(tmp_path / "state")  # over the older state
        losses = learner.losses(passages)
        learned = learner.learn(passages, 200)
        learner.load(tmp_path / "state")
        assert np.array_equal(losses, learner.losses(passages))
        assert learned == learner.learn(passages, 200)

    def test_another_folder_is_refused(self, learner: Learner, tmp_path: Path) -> None:
        """Loading from a folder without a saved learner is an error that names the folder."""
        with pytest.raises(KgrlError, match=tmp_path.name):
            learner.load(tmp_path)


class _DifferentiableLearner(Learner, Differentiable, Protocol):
    """A learner with gradients."""


class DifferentiableContract:
    """The contract of learners with gradients, in addition to `LearnerContract`.

    A subclass defines the fixtures `corpus`, a small one, and `learner`, before any training on that corpus.

    Example:
        >>> import pytest
        >>> class TestMine(DifferentiableContract):
        ...     @pytest.fixture
        ...     def corpus(self) -> Corpus: ...
        ...     @pytest.fixture
        ...     def learner(self, corpus: Corpus) -> Learner: ...
    """

    def test_it_has_the_methods(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """Gradient and weights are float32 vectors of the same length."""
        assert isinstance(learner, Differentiable)
        gradient, weights = learner.loss_gradient(corpus.select([0, 1])), learner.trained_weights()
        assert gradient.shape == weights.shape == (len(weights),)
        assert gradient.dtype == weights.dtype == np.float32
        assert np.isfinite(gradient).all() and gradient.any()

    def test_every_token_weighs_the_same(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """The gradient over several passages is the mean of their gradients, weighted by their tokens."""
        passages = corpus.select([0, 1, 2, len(corpus) - 1])
        alone = np.stack([learner.loss_gradient(corpus.select([i])) for i in passages.ids])
        expected = np.average(alone, axis=0, weights=learner.count_tokens(passages))
        # Sums in another order differ in the last digits, hence the tolerance.
        np.testing.assert_allclose(learner.loss_gradient(passages), expected, rtol=1e-3, atol=1e-5)

    def test_there_has_to_be_something_to_take_it_of(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """The gradient over no passages is an error, as is a lesson without any."""
        with pytest.raises(ValueError, match="passage"):
            learner.loss_gradient(corpus.select([]))

    def test_taking_it_changes_nothing(self, learner: _DifferentiableLearner, corpus: Corpus) -> None:
        """Losses and later lessons are bit for bit the same; returned vectors are copies that later lessons keep."""
        passages, others = corpus.of(0, Split.TRAIN), corpus.of(1, Split.TRAIN)
        learner.learn(passages, 100)
        start = learner.snapshot()
        # The lesson without a gradient before it, to compare the one with a gradient with.
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


class AgentContract:
    """The contract of agents.

    A subclass defines the fixture `agent`, and `curriculum` if the agent needs another one than the sample.

    Example:
        >>> import pytest
        >>> class TestMine(AgentContract):
        ...     @pytest.fixture
        ...     def agent(self) -> Agent: ...
    """

    @pytest.fixture
    def curriculum(self) -> Curriculum:
        """The curriculum that the agent chooses in."""
        return sample_curriculum()

    def test_it_has_the_attributes_of_an_agent(self, agent: Agent) -> None:
        """It satisfies the protocol `Agent`, and tells whether it stays on the frontier."""
        assert isinstance(agent, Agent)
        assert isinstance(agent.frontier_only, bool)

    def test_every_choice_can_be_learned(self, agent: Agent, curriculum: Curriculum) -> None:
        """Every choice is a frontier topic, or, if the agent leaves the frontier, an unlearned topic with text.

        The choices of an agent that picks passages are train passages that may be read.
        """
        curriculum.start()
        agent.reset(curriculum.view)
        # By hand instead of `run`, to look at every choice before it is learned.
        while not curriculum.state.out_of_budget and not curriculum.state.exhausted:
            if isinstance(agent, Finite) and agent.finished(curriculum.view):
                break
            choice = agent.choose(curriculum.view)
            if isinstance(agent, PassageAgent):
                assert np.isin(choice, curriculum.view.readable()).all()
            else:
                assert isinstance(choice, int)
                assert curriculum.state.trainable[choice] and not curriculum.state.frontier.is_solid[choice]
                assert choice in curriculum.state.frontier or not agent.frontier_only
            agent.observe(curriculum.expand(choice))

    def test_choosing_changes_nothing(self, agent: Agent, curriculum: Curriculum) -> None:
        """Learned set, frontier and spent tokens are the same after a choice as before."""
        curriculum.start()
        agent.reset(curriculum.view)
        learned, frontier, tokens = (
            curriculum.state.frontier.solid,
            curriculum.state.frontier.topics,
            curriculum.state.tokens,
        )
        agent.choose(curriculum.view)
        assert np.array_equal(learned, curriculum.state.frontier.solid)
        assert np.array_equal(frontier, curriculum.state.frontier.topics)
        assert tokens == curriculum.state.tokens

    def test_the_same_seed_gives_the_same_curriculum(self, agent: Agent, curriculum: Curriculum) -> None:
        """A second run picks the same topics in the same order: `reset` forgets the run before."""
        first = [step.topic for step in curriculum.run(agent)]
        assert first == [step.topic for step in curriculum.run(agent)]
        assert len(first) > 1


class RewardContract:
    """The contract of rewards.

    A subclass defines the fixture `reward`, and others if the reward needs other ones than the samples.

    Example:
        >>> import pytest
        >>> class TestMine(RewardContract):
        ...     @pytest.fixture
        ...     def reward(self) -> Reward: ...
    """

    @pytest.fixture
    def context(self) -> RewardContext:
        """The context that the reward is bound to: graph, embeddings and goal."""
        return sample_context()

    @pytest.fixture
    def nucleus(self) -> Expansion:
        """The expansion that a curriculum begins with."""
        return sample_expansions()[0]

    @pytest.fixture
    def expansions(self) -> list[Expansion]:
        """The expansions of one curriculum in order, without the nucleus, with every probe and measure."""
        return sample_expansions()[1:]

    @pytest.fixture
    def bound(self, reward: Reward, context: RewardContext) -> Reward:
        """The reward after a curriculum has bound it."""
        reward.bind(context)
        return reward

    def test_it_has_the_methods_of_a_reward(self, reward: Reward) -> None:
        """It satisfies the protocol `RewardFunction`, and needs only what curricula can measure."""
        assert isinstance(reward, RewardFunction)
        assert reward.needs <= PROBES | MEASURES | KNOWLEDGE

    def test_it_returns_finite_numbers(self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]) -> None:
        """It returns one finite float for each expansion."""
        values = _returns(bound, nucleus, expansions)
        assert all(isinstance(value, float) for value in values)
        assert np.isfinite(values).all()

    def test_a_new_curriculum_forgets_the_one_before(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """After `begin` the same expansions have the same rewards again."""
        assert _returns(bound, nucleus, expansions) == _returns(bound, nucleus, expansions)

    def test_a_reset_forgets(self, bound: Reward, expansions: list[Expansion]) -> None:
        """After `reset` the same expansions have the same rewards again."""
        bound.reset()
        first = [bound(expansion) for expansion in expansions]
        bound.reset()
        assert first == [bound(expansion) for expansion in expansions]

    def test_parts_have_names_and_the_value_agrees(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """`evaluate` returns the value of a call, and named parts that are finite numbers."""
        called = _returns(bound, nucleus, expansions)
        bound.begin(nucleus)
        evaluated = [bound.evaluate(expansion) for expansion in expansions]
        assert called == [value for value, _ in evaluated]
        assert all(parts and np.isfinite(list(parts.values())).all() for _, parts in evaluated)

    def test_a_copy_goes_its_own_way(self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]) -> None:
        """A deep copy in the middle of a curriculum continues as the original would, and does not change it.

        Agents that try candidates work on such copies.
        """
        whole = _returns(bound, nucleus, expansions)
        bound.begin(nucleus)
        values = []
        for expansion in expansions:
            tried = copy.deepcopy(bound)(expansion)
            values.append(bound(expansion))
            assert tried == values[-1]
        assert values == whole

    def test_many_at_once_have_the_rewards_of_each(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """`scores`, if the reward has it, returns for many expansions at once the rewards of one after another."""
        tokens = np.array([expansion.tokens for expansion in expansions])
        probes = set.intersection(*(set(expansion.probes) for expansion in expansions))
        gains = {probe: np.array([expansion.probes[probe].gain for expansion in expansions]) for probe in probes}
        # Neighbourhoods of different sizes are padded with -1 to `[expansions, topics]`.
        most = max(len(expansion.neighbourhood) for expansion in expansions)
        topics = np.array([[*e.neighbourhood, *[-1] * (most - len(e.neighbourhood))] for e in expansions])
        scores = bound.scores(ExpansionBatch(tokens, topics, gains, expansions.__getitem__))
        if scores is not None:
            np.testing.assert_allclose(scores, _returns(bound, nucleus, expansions), rtol=1e-9)


def _returns(reward: Reward, nucleus: Expansion, expansions: list[Expansion]) -> list[float]:
    """Return the rewards of one curriculum from its beginning."""
    reward.begin(nucleus)
    return [reward(expansion) for expansion in expansions]


class RetrieverContract:
    """The contract of retrievers.

    A subclass defines the fixtures `retriever`, and `queries`: unit vectors, float32 `[queries, dimensions]`.

    Example:
        >>> import pytest
        >>> class TestMine(RetrieverContract):
        ...     @pytest.fixture
        ...     def retriever(self) -> Retriever: ...
        ...     @pytest.fixture
        ...     def queries(self) -> np.ndarray: ...
    """

    def test_it_returns_ids_and_scores_best_first(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Shapes and types are the protocol's, scores descend, and a query finds no passage twice."""
        assert isinstance(retriever, Retriever)
        ids, scores = retriever.search(queries, 5)
        assert ids.shape == scores.shape == (len(queries), 5)
        assert ids.dtype == np.int32 and scores.dtype == np.float32
        found = ids >= 0
        assert all(len(set(row[hit].tolist())) == hit.sum() for row, hit in zip(ids, found, strict=True))
        # Equal scores may differ in the last digit of a float32.
        assert all((np.diff(row[hit]) <= 1e-6).all() for row, hit in zip(scores, found, strict=True))

    def test_fewer_are_the_first_of_more(self, retriever: Retriever, queries: np.ndarray) -> None:
        """The best three passages are the first three of the best six."""
        assert np.array_equal(retriever.search(queries, 6)[0][:, :3], retriever.search(queries, 3)[0])

    def test_what_is_missing_has_no_id(self, retriever: Retriever, queries: np.ndarray) -> None:
        """A search for more passages than there are fills the remaining ids with -1."""
        ids, _ = retriever.search(queries, 100_000)
        assert (ids[:, -1] == -1).all()


class TraceSourceContract:
    """The contract of trace sources.

    A subclass defines the fixture `source`, with at least one trace, and not so many that the tests take long.

    Example:
        >>> import pytest
        >>> class TestMine(TraceSourceContract):
        ...     @pytest.fixture
        ...     def source(self) -> TraceSource: ...
    """

    def test_it_has_the_attributes_of_a_source(self, source: TraceSource) -> None:
        """It satisfies the protocol `TraceSource`."""
        assert isinstance(source, TraceSource)

    def test_iterating_again_gives_the_same_traces(self, source: TraceSource) -> None:
        """A second iteration gives the same traces, and the tally starts over."""
        first = list(source)
        counted = str(source.tally)
        assert first and first == list(source)
        assert counted == str(source.tally)

    def test_every_trace_is_a_walk_on_the_graph(self, source: TraceSource) -> None:
        """Clicks follow links, back clicks have a page to return to, and every trace names its source."""
        for trace in source:
            trace.check(source.graph)
            assert trace.source
