"""Agents: what picks the next topic.

`PPOAgent` and `train_ppo` are imported when they are first used: they need torch, which takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

import kgrl.agents.alp_gmm
import kgrl.agents.bandit_progress
import kgrl.agents.bandits
import kgrl.agents.baselines
import kgrl.agents.interleaved
import kgrl.agents.markov
import kgrl.agents.oracle
import kgrl.agents.orders
import kgrl.agents.passages
import kgrl.agents.skill_it  # noqa: F401 - registers agents, as those above do
from kgrl.agents.base import BaseAgent, agents, make_agent
from kgrl.view import Agent

if TYPE_CHECKING:
    from kgrl.agents.ppo import PPOAgent
    from kgrl.agents.training import train_ppo

__all__ = ["BaseAgent", "PPOAgent", "agents", "make_agent", "train_ppo"]


@agents.register("curiosity")
def _curiosity() -> Agent:
    """The policy that ships with kgrl, pretrained on what readers of Wikispeedia clicked."""
    from kgrl.agents.ppo import PPOAgent
    from kgrl.builtin import FOLDER

    return PPOAgent.load(FOLDER)


@agents.register("human")
def _human() -> Agent:
    """The same policy, drawn from in place of taking its most probable topic: as a reader of Wikispeedia clicks on."""
    agent = _curiosity()
    agent.sample = True  # type: ignore[attr-defined]
    return agent


@agents.register("ppo")
def _ppo() -> Agent:
    """A policy trained in simulations towards goals and without one, on graphs that the benchmark does not use."""
    from kgrl.agents.ppo import PPOAgent
    from kgrl.builtin import FOLDER

    return PPOAgent.load(FOLDER / "ppo")


def __getattr__(name: str) -> Any:
    if name == "PPOAgent":
        from kgrl.agents.ppo import PPOAgent

        return PPOAgent
    if name == "train_ppo":
        from kgrl.agents.training import train_ppo

        return train_ppo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
