"""Gymnasium environments, their observations and their pictures."""

from kgrl.envs.curriculum_env import CurriculumEnv, make_curriculum_env
from kgrl.envs.features import FEATURE_VERSION, FEATURES, GLOBAL_FEATURES, FeatureState, Slots, observe

__all__ = [
    "FEATURES",
    "FEATURE_VERSION",
    "GLOBAL_FEATURES",
    "CurriculumEnv",
    "FeatureState",
    "Slots",
    "make_curriculum_env",
    "observe",
]
