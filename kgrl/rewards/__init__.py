"""Reward functions, which score an expansion.

Any function of an `Expansion` is a reward. `as_reward` reads one from text such as
`mean-prediction-gain + 0.5*incoherence-penalty`, and `register_reward` gives a name to your own. `list(rewards)` names
all that are registered. To write a reward with memory, inherit `Reward`.
"""

from kgrl.rewards.base import (
    Composed,
    FunctionReward,
    Product,
    Reward,
    RewardContext,
    RewardError,
    RewardFunction,
    WeightedSum,
)
from kgrl.rewards.combinators import Clip, Percentile, PerToken, PotentialDifference, Schedule, ZScore
from kgrl.rewards.compression import CompressionProgress
from kgrl.rewards.costs import FlopCost, IncoherencePenalty, TimeCost, TokenCost
from kgrl.rewards.expression import ExpressionError, as_reward
from kgrl.rewards.gains import (
    GradientAlignment,
    GradientComplexityGain,
    GradientPredictionGain,
    L2ComplexityGain,
    MeanPredictionGain,
    PredictionGain,
    SelfPredictionGain,
    TargetPredictionGain,
)
from kgrl.rewards.known import FactsGain, KnowledgeGain, Retention
from kgrl.rewards.learned_set import Coverage, FacilityLocation
from kgrl.rewards.novelty import CountNovelty, Novelty, RandomNetworkDistillation
from kgrl.rewards.progress import AbsoluteLearningProgress, ForgettingPenalty, FrontierSurprise, ReducibleLoss
from kgrl.rewards.registry import register_reward, rewards
from kgrl.rewards.topology import ConformationalFreedom, CycleRank, InformationGap

__all__ = [
    "AbsoluteLearningProgress",
    "Clip",
    "Composed",
    "CompressionProgress",
    "ConformationalFreedom",
    "CountNovelty",
    "Coverage",
    "CycleRank",
    "ExpressionError",
    "FacilityLocation",
    "FactsGain",
    "FlopCost",
    "ForgettingPenalty",
    "FrontierSurprise",
    "FunctionReward",
    "GradientAlignment",
    "GradientComplexityGain",
    "GradientPredictionGain",
    "IncoherencePenalty",
    "InformationGap",
    "KnowledgeGain",
    "L2ComplexityGain",
    "MeanPredictionGain",
    "Novelty",
    "PerToken",
    "Percentile",
    "PotentialDifference",
    "PredictionGain",
    "Product",
    "RandomNetworkDistillation",
    "ReducibleLoss",
    "Retention",
    "Reward",
    "RewardContext",
    "RewardError",
    "RewardFunction",
    "Schedule",
    "SelfPredictionGain",
    "TargetPredictionGain",
    "TimeCost",
    "TokenCost",
    "WeightedSum",
    "ZScore",
    "as_reward",
    "register_reward",
    "rewards",
]
