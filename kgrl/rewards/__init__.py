"""Reward functions: what an expansion was worth."""

from kgrl.rewards.base import (
    FunctionReward,
    Product,
    Reward,
    RewardError,
    RewardFunction,
    WeightedSum,
    as_reward,
    rewards,
)
from kgrl.rewards.context import RewardContext
from kgrl.rewards.costs import FlopCost, TimeCost, TokenCost
from kgrl.rewards.gains import MeanPredictionGain, PredictionGain, SelfPredictionGain, TargetPredictionGain
from kgrl.rewards.gradients import (
    GradientAlignment,
    GradientComplexityGain,
    GradientPredictionGain,
    L2ComplexityGain,
)
from kgrl.rewards.progress import AbsoluteLearningProgress, ForgettingPenalty, FrontierSurprise, ReducibleLoss

__all__ = [
    "AbsoluteLearningProgress",
    "FlopCost",
    "ForgettingPenalty",
    "FrontierSurprise",
    "FunctionReward",
    "GradientAlignment",
    "GradientComplexityGain",
    "GradientPredictionGain",
    "L2ComplexityGain",
    "MeanPredictionGain",
    "PredictionGain",
    "Product",
    "ReducibleLoss",
    "Reward",
    "RewardContext",
    "RewardError",
    "RewardFunction",
    "SelfPredictionGain",
    "TargetPredictionGain",
    "TimeCost",
    "TokenCost",
    "WeightedSum",
    "as_reward",
    "rewards",
]
