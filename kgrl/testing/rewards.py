"""The contract of rewards."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import KNOWLEDGE, MEASURES, PROBES, Reward, RewardContext, RewardFunction
from kgrl.testing.samples import sample_context, sample_expansions

__all__ = ["RewardContract"]


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
        scores = bound.scores(ExpansionBatch(tokens, topics, gains, expansions.__getitem__))
        if scores is not None:
            np.testing.assert_allclose(scores, _course(bound, nucleus, expansions), rtol=1e-9)


def _course(reward: Reward, nucleus: Expansion, expansions: list[Expansion]) -> list[float]:
    """The rewards of one curriculum from its beginning."""
    reward.begin(nucleus)
    return [reward(expansion) for expansion in expansions]
