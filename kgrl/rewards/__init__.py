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
from kgrl.rewards.costs import TimeCost, TokenCost
from kgrl.rewards.gains import MeanPredictionGain, SelfPredictionGain, TargetPredictionGain

__all__ = [
    "FunctionReward",
    "MeanPredictionGain",
    "Product",
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
