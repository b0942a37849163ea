"""Contract tests: inherit one for each learner, agent, reward, retriever or trace source you write.

The classes hold plain test methods for pytest, and pytest does not collect them here, only where they are inherited.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum
from kgrl.errors import KgrlError
from kgrl.expansion import Expansion, Expansions
from kgrl.learners.base import Differentiable, Learner
from kgrl.retrieval import Retriever
from kgrl.rewards import Reward, RewardContext, RewardFunction
from kgrl.rewards.base import KNOWLEDGE, MEASURES, PROBES
from kgrl.samples import sample_context, sample_curriculum, sample_expansions
from kgrl.trace_source import TraceSource
from kgrl.view import Agent, PassageAgent

__all__ = [
    "AgentContract",
    "DifferentiableContract",
    "LearnerContract",
    "RetrieverContract",
    "RewardContract",
    "TraceSourceContract",
]


class AgentContract:
    """What every agent keeps. A subclass defines the fixture `agent`, and `curriculum` where the sample will not do.

    Example:
        >>> import pytest
        >>> class TestMine(AgentContract):
        ...     @pytest.fixture
        ...     def agent(self) -> Agent: ...
    """

    @pytest.fixture
    def curriculum(self) -> Curriculum:
        """What the agent chooses in."""
        return sample_curriculum()

    def test_it_has_the_attributes_of_an_agent(self, agent: Agent) -> None:
        """It satisfies the protocol, and says whether it stays on the frontier."""
        assert isinstance(agent, Agent)
        assert isinstance(agent.frontier_only, bool)

    def test_every_choice_can_be_learned(self, agent: Agent, curriculum: Curriculum) -> None:
        """It chooses a candidate if it stays on the frontier, else an unlearned topic with text, or unread passages."""
        curriculum.start()
        agent.reset(curriculum.view)
        while not curriculum.out_of_budget and not curriculum.exhausted:
            choice = agent.choose(curriculum.view)
            if isinstance(agent, PassageAgent):
                assert np.isin(choice, curriculum.view.unread()).all()
            else:
                assert isinstance(choice, int)
                assert curriculum.trainable[choice] and not curriculum.frontier.is_learned[choice]
                assert choice in curriculum.frontier or not agent.frontier_only
            agent.observe(curriculum.expand(choice))

    def test_choosing_changes_nothing(self, agent: Agent, curriculum: Curriculum) -> None:
        """Learned set, frontier and tokens are after a choice what they were before."""
        curriculum.start()
        agent.reset(curriculum.view)
        learned, frontier, tokens = curriculum.frontier.learned, curriculum.frontier.topics, curriculum.tokens
        agent.choose(curriculum.view)
        assert np.array_equal(learned, curriculum.frontier.learned)
        assert np.array_equal(frontier, curriculum.frontier.topics)
        assert tokens == curriculum.tokens

    def test_the_same_seed_gives_the_same_curriculum(self, agent: Agent, curriculum: Curriculum) -> None:
        """A reset forgets the run before: a second run picks the same topics in the same order."""
        first = [step.topic for step in curriculum.run(agent)]
        assert first == [step.topic for step in curriculum.run(agent)]
        assert len(first) > 1


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


class RewardContract:
    """What every reward keeps. A subclass defines the fixture `reward`, and others where the samples will not do.

    Example:
        >>> import pytest
        >>> class TestMine(RewardContract):
        ...     @pytest.fixture
        ...     def reward(self) -> Reward: ...
    """

    @pytest.fixture
    def context(self) -> RewardContext:
        """What the reward is bound to."""
        return sample_context()

    @pytest.fixture
    def nucleus(self) -> Expansion:
        """The expansion that a curriculum begins with."""
        return sample_expansions()[0]

    @pytest.fixture
    def expansions(self) -> list[Expansion]:
        """Expansions of one curriculum in order, everything measured; the nucleus is not among them."""
        return sample_expansions()[1:]

    @pytest.fixture
    def bound(self, reward: Reward, context: RewardContext) -> Reward:
        """The reward when a curriculum has taken it."""
        reward.bind(context)
        return reward

    def test_it_has_the_methods_of_a_reward(self, reward: Reward) -> None:
        """It satisfies the protocol, and needs what curricula can give."""
        assert isinstance(reward, RewardFunction)
        assert reward.needs <= PROBES | MEASURES | KNOWLEDGE

    def test_it_returns_finite_numbers(self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]) -> None:
        """One float for each expansion."""
        values = _course(bound, nucleus, expansions)
        assert all(isinstance(value, float) for value in values)
        assert np.isfinite(values).all()

    def test_a_new_curriculum_forgets_the_one_before(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """Begun again, the same expansions have the same rewards."""
        assert _course(bound, nucleus, expansions) == _course(bound, nucleus, expansions)

    def test_a_reset_forgets(self, bound: Reward, expansions: list[Expansion]) -> None:
        """After a reset the same expansions have the same rewards."""
        bound.reset()
        first = [bound(expansion) for expansion in expansions]
        bound.reset()
        assert first == [bound(expansion) for expansion in expansions]

    def test_parts_have_names_and_the_value_agrees(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """`evaluate` returns what calling returns, and every part is a finite number."""
        called = _course(bound, nucleus, expansions)
        bound.begin(nucleus)
        evaluated = [bound.evaluate(expansion) for expansion in expansions]
        assert called == [value for value, _ in evaluated]
        assert all(parts and np.isfinite(list(parts.values())).all() for _, parts in evaluated)

    def test_a_copy_goes_its_own_way(self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]) -> None:
        """A copy made on the way goes on as the original would, and leaves it as it was."""
        whole = _course(bound, nucleus, expansions)
        bound.begin(nucleus)
        values = []
        for expansion in expansions:
            tried = copy.deepcopy(bound)(expansion)
            values.append(bound(expansion))
            assert tried == values[-1]
        assert values == whole

    def test_many_at_once_are_worth_what_each_is_worth(
        self, bound: Reward, nucleus: Expansion, expansions: list[Expansion]
    ) -> None:
        """Where `scores` gives rewards of many curricula at once, they are those of one after the other."""
        tokens = np.array([expansion.tokens for expansion in expansions])
        probes = set.intersection(*(set(expansion.probes) for expansion in expansions))
        gains = {probe: np.array([expansion.probes[probe].gain for expansion in expansions]) for probe in probes}
        most = max(len(expansion.neighbourhood) for expansion in expansions)
        topics = np.array([[*e.neighbourhood, *[-1] * (most - len(e.neighbourhood))] for e in expansions])
        scores = bound.scores(Expansions(tokens, topics, gains, expansions.__getitem__))
        if scores is not None:
            np.testing.assert_allclose(scores, _course(bound, nucleus, expansions), rtol=1e-9)


def _course(reward: Reward, nucleus: Expansion, expansions: list[Expansion]) -> list[float]:
    """The rewards of one curriculum from its beginning."""
    reward.begin(nucleus)
    return [reward(expansion) for expansion in expansions]


class RetrieverContract:
    """What every retriever keeps. A subclass defines `retriever`, and `queries`: unit vectors, `[queries, dimensions]`.

    Example:
        >>> import pytest
        >>> class TestMine(RetrieverContract):
        ...     @pytest.fixture
        ...     def retriever(self) -> Retriever: ...
        ...     @pytest.fixture
        ...     def queries(self) -> np.ndarray: ...
    """

    def test_it_returns_ids_and_scores_best_first(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Shapes and types are as the protocol says; scores descend; no passage is found twice for a query."""
        assert isinstance(retriever, Retriever)
        ids, scores = retriever.search(queries, 5)
        assert ids.shape == scores.shape == (len(queries), 5)
        assert ids.dtype == np.int32 and scores.dtype == np.float32
        found = ids >= 0
        assert all(len(set(row[hit].tolist())) == hit.sum() for row, hit in zip(ids, found, strict=True))
        assert all((np.diff(row[hit]) <= 1e-6).all() for row, hit in zip(scores, found, strict=True))

    def test_fewer_are_the_first_of_more(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Asking for more passages does not change which are best."""
        assert np.array_equal(retriever.search(queries, 6)[0][:, :3], retriever.search(queries, 3)[0])

    def test_what_is_missing_has_no_id(self, retriever: Retriever, queries: np.ndarray) -> None:
        """Asking for more than there are fills the rest with -1."""
        ids, _ = retriever.search(queries, 100_000)
        assert (ids[:, -1] == -1).all()


class TraceSourceContract:
    """What every source of traces keeps. A subclass defines the fixture `source`, of some traces, not too many.

    Example:
        >>> import pytest
        >>> class TestMine(TraceSourceContract):
        ...     @pytest.fixture
        ...     def source(self) -> TraceSource: ...
    """

    def test_it_has_the_attributes_of_a_source(self, source: TraceSource) -> None:
        """It satisfies the protocol."""
        assert isinstance(source, TraceSource)

    def test_iterating_again_gives_the_same_traces(self, source: TraceSource) -> None:
        """Nothing is used up, no draw depends on what was drawn before, and the tally starts over."""
        first = list(source)
        counted = str(source.tally)
        assert first and first == list(source)
        assert counted == str(source.tally)

    def test_every_trace_is_a_walk_on_the_graph(self, source: TraceSource) -> None:
        """Clicks are links, back clicks have a page to go back to, and the source is named."""
        for trace in source:
            trace.check(source.graph)
            assert trace.source
