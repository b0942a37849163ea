"""Rewards: worked values, composition, and refusal of what is not a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.envs import CurriculumVectorEnv
from kgrl.errors import UnknownNameError
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import (
    Clip,
    FlopCost,
    GradientAlignment,
    GradientComplexityGain,
    GradientPredictionGain,
    KnowledgeGain,
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
        "read": Measurement((7, 8), (5.0, 4.0), (4.0, 4.5)),
        "unread": Measurement((1, 2), (5.0, 4.0), (5.25, 4.25)),
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
        "facts_before": 0.1,
        "facts_after": 0.2,
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
        (KnowledgeGain(), 20 * 0.75),  # 4.75 - 4.0 after, nothing before; topic 8 is known less after the lesson
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


def _failing(value: object) -> Callable[[Expansion], object]:
    """A function that returns the value, or raises it."""

    def odd(expansion: Expansion) -> object:
        if isinstance(value, Exception):
            raise value
        return value

    return odd


WRONG = [
    (math.nan, r"reward 'odd' returned nan at expansion \d \(\w+\), not a finite number"),
    (math.inf, r"reward 'odd' returned inf at expansion \d"),
    (10**400, r"reward 'odd' returned 10+\.* at expansion \d"),
    (None, r"reward 'odd' returned None at expansion \d"),
    ("much", r"reward 'odd' returned 'much' at expansion \d"),
    (np.zeros(2), r"reward 'odd' returned array\(\[0., 0.\]\) at expansion \d"),
    (KeyError("mean"), r"reward 'odd' raised KeyError\('mean'\) at expansion \d \(\w+\)"),
]
IDS = ["nan", "infinite", "huge", "nothing", "text", "array", "raises"]


@pytest.mark.parametrize(("value", "message"), WRONG, ids=IDS)
def test_what_is_not_a_finite_number_is_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(RewardError, match=message) as caught:
        (TokenCost() + 0.5 * Clip(as_reward(_failing(value)), -1, 1))(STEP)
    assert caught.value.__cause__ is (value if isinstance(value, Exception) else None)


@pytest.mark.parametrize(("value", "message"), WRONG, ids=IDS)
def test_it_stops_a_curriculum(value: object, message: str, make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    with pytest.raises(RewardError, match=message):
        list(make_tiny_curriculum(_failing(value)).run(make_agent("bfs")))


@pytest.mark.parametrize(("value", "message"), WRONG, ids=IDS)
def test_it_stops_a_vector_environment(
    value: object, message: str, tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]
) -> None:
    ids = indexed_passages(tiny_corpus)
    retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
    named = tiny_corpus.name, tiny_corpus.fingerprint, "none", 1.3
    curves, levels = CurveParameters(0.8, 1500.0, 1.0, 0.6, 300.0, 0.7, 0.5, 0.2, 1e-4, 0.02), (ByTopic(4, 0, {}),) * 2
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    calibration = Calibration(*named, *levels, curves, (curves,), *made_up)
    learner = SimulatedLearner(tiny_corpus, 0, calibration, embeddings=fake_embeddings)
    config = CurriculumConfig(budget_tokens=3_000, expansion_tokens=200, neighbourhood=3, nucleus_size=2)
    curriculum = Curriculum(tiny_corpus, learner, retriever, fake_embeddings, _failing(value), config)
    env = CurriculumVectorEnv(curriculum, 2, slots=8)
    env.reset(seed=0)
    with pytest.raises(RewardError, match=message):
        env.step(np.zeros(2, dtype=np.int64))


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
