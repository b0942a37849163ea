"""Agents: what picks the next topic.

`PPOAgent` and `train_ppo` are imported when they are first used: they need torch, which takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

import kgrl.agents.baselines  # noqa: F401 - registers the baselines
import kgrl.agents.oracle  # noqa: F401 - registers the oracle
from kgrl.agents.base import BaseAgent, agents, make_agent

if TYPE_CHECKING:
    from kgrl.agents.ppo import PPOAgent, train_ppo

__all__ = ["BaseAgent", "PPOAgent", "agents", "make_agent", "train_ppo"]


def __getattr__(name: str) -> Any:
    if name in ("PPOAgent", "train_ppo"):
        from kgrl.agents import ppo

        return getattr(ppo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
