"""Rewards: worked values, composition, and refusal of what is not a number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from kgrl.errors import UnknownNameError
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.rewards import (
    FlopCost,
    GradientAlignment,
    GradientComplexityGain,
    GradientPredictionGain,
    L2ComplexityGain,
    MeanPredictionGain,
    PredictionGain,
    ReducibleLoss,
    Reward,
    RewardContext,
    RewardError,
    SelfPredictionGain,
    TargetPredictionGain,
    TimeCost,
    TokenCost,
    as_reward,
    rewards,
)
from kgrl.testing import RewardContract

STEP = Expansion(
    index=3,
    topic=7,
    title="Logic",
    neighbourhood=(7, 8),
    passages=(70, 80),
    tokens=50,
    tokens_total=150,
    budget=1_000,
    train_loss=3.2,
    probes={
        "mean": Measurement((1, 2), (4.0, 3.0), (3.9, 3.0)),
        "target": Measurement((1,), (4.0,), (3.5,)),
        "self": Measurement((7, 8), (5.0, 4.0), (4.0, 4.5)),
    },
    seconds={"learn": 2.0, "probe": 0.5},
    measures={
        "trained_before": 4.0,
        "trained_after": 3.0,
        "reference": 2.5,
        "gradient_squared": 0.25,
        "gradient_weights": -0.5,
        "alignment": 0.125,
        "weights_squared_before": 10.0,
        "weights_squared_after": 12.0,
        "flops": 6e9,
    },
)
GRAPH = TopicGraph.from_links([f"t{i}" for i in range(12)], range(11), range(1, 12), ["a", "b"] * 6)
CONTEXT = RewardContext(GRAPH, np.eye(12, dtype=np.float32), np.array([1], dtype=np.int32))


@pytest.mark.parametrize(
    ("reward", "value"),
    [
        (MeanPredictionGain(), 0.05),
        (TargetPredictionGain(), 0.5),
        (SelfPredictionGain(), 0.25),
        (TokenCost(), 50.0),
        (TimeCost(), 2.5),
        (FlopCost(), 6e9),
        (PredictionGain(), 1.0),
        (GradientPredictionGain(), 0.25),
        (GradientComplexityGain(), 0.5),
        (L2ComplexityGain(), 2.0),
        (GradientAlignment(), 0.125),
        (ReducibleLoss(), 2.0),
        (MeanPredictionGain() - 0.01 * TokenCost(), -0.45),
        (2 * (SelfPredictionGain() + TargetPredictionGain()), 1.5),
        (SelfPredictionGain() * TokenCost(), 12.5),
        (-TimeCost(), -2.5),
    ],
)
def test_worked_values(reward: object, value: float) -> None:
    assert reward(STEP) == pytest.approx(value)  # type: ignore[operator]


def test_components_are_logged_by_name_before_weighting() -> None:
    value, parts = (0.5 * MeanPredictionGain() - 1e-3 * TokenCost()).evaluate(STEP)
    assert value == pytest.approx(0.025 - 0.05)
    assert parts == pytest.approx({"mean-prediction-gain": 0.05, "token-cost": 50.0})


def test_a_composition_needs_what_its_parts_need() -> None:
    assert (SelfPredictionGain() + 2 * MeanPredictionGain() * TokenCost()).needs == {"self", "mean"}


def test_a_function_is_a_reward() -> None:
    def shorter_is_better(expansion: Expansion) -> float:
        return -float(expansion.tokens)

    reward = as_reward(shorter_is_better)
    assert reward.evaluate(STEP) == (-50.0, {"shorter_is_better": -50.0})


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "much"])
def test_what_is_not_a_finite_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(RewardError, match=r"reward 'odd' returned .* at expansion 3"):
        as_reward(_named("odd", value))(STEP)


def _named(name: str, value: object) -> object:
    def function(expansion: Expansion) -> object:
        return value

    function.__name__ = name
    return function


def test_a_probe_that_was_not_measured_is_named() -> None:
    unmeasured = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
    with pytest.raises(RewardError, match="reads the probe 'mean', but expansion 1 measured nothing"):
        MeanPredictionGain()(unmeasured)


def test_every_registered_name_makes_a_reward_of_that_name() -> None:
    for name in rewards:
        assert rewards.make(name).name == name
    with pytest.raises(UnknownNameError, match="did you mean 'mean-prediction-gain'"):
        as_reward("mean-prediction-gian")


@pytest.mark.parametrize("name", list(rewards))
class TestContract(RewardContract):
    """Every registered reward keeps the contract."""

    @pytest.fixture
    def reward(self, name: str) -> Reward:
        reward = rewards.make(name)
        reward.bind(CONTEXT)
        return reward

    @pytest.fixture
    def expansions(self) -> list[Expansion]:
        pairs = enumerate([(7, 8), (6,), (9, 10)])
        return [replace(STEP, index=i, tokens=50 + i, topic=new[0], neighbourhood=new) for i, new in pairs]


class TestContractOfASum(RewardContract):
    """So does a composition."""

    @pytest.fixture
    def reward(self) -> Reward:
        return 0.5 * MeanPredictionGain() - 1e-3 * TokenCost() * TimeCost()

    @pytest.fixture
    def expansions(self) -> list[Expansion]:
        return [STEP]
