"""Composed rewards: worked values, what is logged, what is passed on, and agreement of one and many."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards import (
    Clip,
    MeanPredictionGain,
    Percentile,
    PerToken,
    PotentialDifference,
    Reward,
    RewardContext,
    RewardError,
    Schedule,
    SelfPredictionGain,
    TokenCost,
    ZScore,
    as_reward,
)
from kgrl.testing import RewardContract
from kgrl.testing.samples import sample_context, sample_expansions

STEPS = sample_expansions()


class Listed(Reward):
    """Says what it is told to, in order; notes what it is told of curricula."""

    name = "listed"

    def __init__(self, values: list[float], name: str = "listed") -> None:
        self.values, self.name, self.told, self.at = values, name, list[str](), 0

    def bind(self, context: RewardContext) -> None:
        self.told.append("bind")

    def begin(self, nucleus: Expansion) -> None:
        self.told.append("begin")
        self.at = 0

    def reset(self) -> None:
        self.told.append("reset")
        self.at = 0

    def score(self, expansion: Expansion) -> float:
        self.at += 1
        return self.values[self.at - 1]


def course(reward: Reward, count: int) -> list[float]:
    """The rewards of the first expansions of a curriculum."""
    reward.begin(STEPS[0])
    return [reward(replace(STEPS[1], index=index + 1)) for index in range(count)]


def test_clip_cuts_off_at_both_ends() -> None:
    assert course(Clip(Listed([-3.0, 0.5, 7.0]), -1, 2), 3) == [-1.0, 0.5, 2.0]
    with pytest.raises(SettingError, match="not from 2 to 1"):
        Clip(TokenCost(), 2, 1)


def test_per_token_divides_by_the_tokens() -> None:
    step = replace(STEPS[1], tokens=40)
    assert PerToken(Listed([10.0]))(step) == 0.25


def test_percentile_is_where_the_value_lies_between_those_of_all_so_far() -> None:
    # Of 0, 10: the 20th and 80th percentiles are 2 and 8. Of 0, 10, 5: 2 and 8 again, and 5 is in the middle.
    assert course(Percentile(Listed([0.0, 10.0, 5.0])), 3) == pytest.approx([0.0, 1.0, 0.0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_percentile_agrees_with_the_formula_of_graves(values: list[float]) -> None:
    got = course(Percentile(Listed(values)), len(values))
    for count, (value, found) in enumerate(zip(values, got, strict=True), start=1):
        low, high = np.percentile(values[:count], [20, 80])
        assert -1 <= found <= 1
        if high - low > 1e-6:
            assert found == pytest.approx(np.clip(2 * (value - low) / (high - low) - 1, -1, 1), abs=1e-6)


@given(st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=40))
def test_z_score_agrees_with_mean_and_deviation(values: list[float]) -> None:
    got = course(ZScore(Listed(values)), len(values))
    for count, (value, found) in enumerate(zip(values, got, strict=True), start=1):
        seen = np.array(values[:count])
        expected = (value - seen.mean()) / seen.std() if len(set(seen.tolist())) > 1 else 0.0
        assert found == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0, 1))
def test_discounted_potential_differences_add_up_to_the_last_potential(values: list[float], gamma: float) -> None:
    differences = course(PotentialDifference(Listed(values), gamma), len(values))
    total = sum(gamma**step * difference for step, difference in enumerate(differences))
    assert total == pytest.approx(gamma ** len(values) * values[-1], abs=1e-6), "phi of the nucleus is 0"


def test_a_schedule_goes_in_a_straight_line_over_the_budget() -> None:
    reward = Schedule(Listed([2.0] * 4), 1.0, 0.0)
    at = [replace(STEPS[1], tokens_total=tokens, budget=100) for tokens in (0, 25, 100, 120)]
    assert [reward(step) for step in at] == pytest.approx([2.0, 1.5, 0.0, 0.0])


@pytest.mark.parametrize(
    "compose",
    [
        lambda part: Clip(part, -1, 1),
        PerToken,
        Percentile,
        ZScore,
        lambda part: Schedule(part, 1, 0),
        PotentialDifference,
        lambda part: 0.5 * part - TokenCost(),
        lambda part: TokenCost() * part,
    ],
)
def test_what_a_composition_is_told_its_parts_are_told(compose: Callable[[Reward], Reward]) -> None:
    part = Listed([1.0])
    part.needs = frozenset({"self", "graph"})
    reward = compose(part)
    reward.bind(sample_context())
    reward.begin(STEPS[0])
    reward.reset()
    assert part.told == ["bind", "begin", "reset"]
    assert reward.needs == {"self", "graph"}


def test_a_part_that_occurs_twice_is_asked_once() -> None:
    part = Listed([3.0, 5.0])
    reward = part + 2 * Clip(part, 0, 4)
    assert course(reward, 2) == [9.0, 13.0]
    copied = copy.deepcopy(reward)
    assert course(copied, 2) == [9.0, 13.0], "and so in a copy"


def test_parts_of_the_same_name_are_numbered() -> None:
    value, parts = (Listed([1.0]) + Listed([2.0]) + Listed([3.0])).evaluate(STEPS[1])
    assert value == 6.0
    assert parts == {"listed": 1.0, "listed-2": 2.0, "listed-3": 3.0}


def test_a_wrapper_is_logged_beside_what_it_wraps() -> None:
    value, parts = (0.5 * Clip(Listed([7.0]), -1, 1)).evaluate(STEPS[1])
    assert (value, parts) == (0.5, {"listed": 7.0, "clip(listed, -1, 1)": 1.0})


def test_functions_and_names_are_added_like_rewards() -> None:
    def half(expansion: Expansion) -> float:
        return 0.5

    assert (Listed([1.0]) + half - as_reward("token-cost"))(replace(STEPS[1], tokens=1)) == 0.5
    with pytest.raises(SettingError, match="not 3"):
        Listed([1.0]) + 3  # type: ignore[operator]


def test_what_only_the_composition_makes_infinite_is_refused() -> None:
    with pytest.raises(RewardError, match=r"reward 'listed\*listed' returned inf at expansion 1 \(Number\)"):
        (Listed([1e200]) * Listed([1e200]))(STEPS[1])


def test_a_negative_or_unit_weight_is_written_as_people_do() -> None:
    reward = -MeanPredictionGain() + 0.1 * SelfPredictionGain() - 1e-4 * (TokenCost() * TokenCost())
    assert reward.name == "-mean-prediction-gain + 0.1*self-prediction-gain - 0.0001*token-cost*token-cost"


@pytest.mark.parametrize("reward", [ZScore(MeanPredictionGain()), Schedule(MeanPredictionGain(), 1, 0)])
def test_what_needs_more_than_arrays_is_had_one_by_one(reward: Reward) -> None:
    many = ExpansionBatch(np.array([50]), np.array([[0]]), {"mean": np.array([0.1])}, STEPS.__getitem__)
    assert (2 * MeanPredictionGain() + TokenCost()).scores(many) == pytest.approx([50.2])
    assert (reward + TokenCost()).scores(many) is None


MADE: list[Callable[[], Reward]] = [
    lambda: 0.7 * MeanPredictionGain() + 0.3 * SelfPredictionGain() - 1e-4 * TokenCost(),
    lambda: Clip(MeanPredictionGain(), -0.01, 0.01) * TokenCost(),
    lambda: PerToken(MeanPredictionGain() - SelfPredictionGain()),
    lambda: Percentile(MeanPredictionGain()) + ZScore(TokenCost()),
    lambda: PotentialDifference(MeanPredictionGain(), 0.9) + Schedule(SelfPredictionGain(), 1, 0.5),
    lambda: PerToken(Percentile(MeanPredictionGain())),
]


@pytest.mark.parametrize("make", MADE)
class TestContract(RewardContract):
    """Every composition is a reward."""

    @pytest.fixture
    def reward(self, make: Callable[[], Reward]) -> Reward:
        return make()


@pytest.mark.parametrize("make", MADE)
def test_the_name_is_the_expression_that_makes_it(make: Callable[[], Reward]) -> None:
    reward, read = make(), as_reward(make().name)
    assert read.name == reward.name
    for step in STEPS[1:]:
        assert math.isclose(read(step), reward(step), rel_tol=1e-12, abs_tol=1e-15)
