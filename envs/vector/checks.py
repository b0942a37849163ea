"""Checks of what a vector environment is asked to be, before anything large is made."""

from __future__ import annotations

from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.envs.slot_env import check_view
from kgrl.errors import SettingError
from kgrl.learners.base import Learner
from kgrl.learners.make import learners
from kgrl.learners.simulated.learner import SimulatedLearner
from kgrl.rewards.base import MEASURES, Reward
from kgrl.system.display import count_text
from kgrl.system.options import split_options

__all__ = ["RENDER_MODES", "check_batched", "check_shape", "check_undirected"]

RENDER_MODES = ["ansi", "rgb_array"]
"""What a frame of a copy can be."""
_SYNC = 'pass vectorization_mode="sync" to make_vec, for single environments side by side'


def check_shape(num_envs: int, slots: int, render_mode: str | None) -> None:
    """Refuse numbers below 1 and render modes that vector environments do not have."""
    if num_envs < 1:
        raise SettingError(f"num_envs must be at least 1, not {num_envs}")
    if render_mode == "human":
        raise SettingError(
            'vector environments show no frames to people; use render_mode "ansi" or "rgb_array" and render(), or '
            'render_mode "human" with gym.make'
        )
    check_view(slots, render_mode, RENDER_MODES)


def check_batched(learner: str | Learner, reward: Reward | None, config: CurriculumConfig) -> None:
    """Refuse curricula that cannot be advanced as arrays; all that is needed is known before a corpus is loaded."""
    if isinstance(learner, str):
        learners[split_options(learner)[0]]  # raises UnknownNameError
    if learner != "simulated" and not isinstance(learner, SimulatedLearner):
        name = learner if isinstance(learner, str) else getattr(learner, "kind", type(learner).__name__)
        raise SettingError(
            f"a vector environment advances copies of a simulated learner, not of {name!r}; {_SYNC}, or "
            'learner="simulated"'
        )
    if reward is None:
        raise SettingError("a vector environment needs a curriculum with a reward")
    if reward.needs & MEASURES:
        measured = " and ".join(sorted(reward.needs & MEASURES))
        raise SettingError(
            f"the reward {reward.name!r} needs {measured}, which vector environments do not measure; {_SYNC}"
        )
    if config.light_probes:
        raise SettingError(f"vector environments draw probe samples uniformly; leave light_probes out, or {_SYNC}")
    if config.mastery != "read" or config.most_readings != 1:
        asked = f"mastery={config.mastery!r} and most_readings={config.most_readings}"
        raise SettingError(
            f"a vector environment reads text once, and what was read is solid there: it takes mastery='read' and "
            f"most_readings=1, not {asked}; {_SYNC}"
        )
    if config.review:
        raise SettingError(f"lessons of vector environments review nothing; leave review out, or {_SYNC}")
    if config.stages:
        raise SettingError(
            "vector environments have no stages; use kgrl/Forgetting-v0 with gym.make, which has those of the task, or "
            f"{_SYNC}"
        )


def check_undirected(corpus: Corpus) -> None:
    """Refuse a corpus with prerequisites, which the compiled frontier does not ask for."""
    if needed := len(corpus.graph.prerequisites()[0]):
        has = f"{corpus.name!r} has {count_text(needed, 'prerequisite')}"
        raise SettingError(f"{has}, which vector environments do not ask for; {_SYNC}")
