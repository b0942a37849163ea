"""Gymnasium environments, their observations and their pictures."""

from kgrl.envs.curriculum_env import CurriculumEnv, make_curriculum_env
from kgrl.envs.features.curriculum_features import FeatureState, observe
from kgrl.envs.features.space import FEATURE_VERSION, FEATURES, GLOBAL_FEATURES, Slots
from kgrl.envs.rabbit_hole_env import RabbitHoleEnv, make_rabbit_hole_env
from kgrl.envs.vector.env import CurriculumVectorEnv, make_curriculum_vector_env
from kgrl.envs.vector.variety import Variety

__all__ = [
    "FEATURES",
    "FEATURE_VERSION",
    "GLOBAL_FEATURES",
    "CurriculumEnv",
    "CurriculumVectorEnv",
    "FeatureState",
    "RabbitHoleEnv",
    "Slots",
    "Variety",
    "make_curriculum_env",
    "make_curriculum_vector_env",
    "make_rabbit_hole_env",
    "observe",
]
