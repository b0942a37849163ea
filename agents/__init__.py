"""Agents: what picks the next topic.

`PPOAgent` and `train_ppo` are imported when they are first used: they need torch, which takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

import kgrl.agents.bandits.alp_gmm
import kgrl.agents.bandits.progress
import kgrl.agents.bandits.published
import kgrl.agents.bandits.skill_it
import kgrl.agents.baselines.frontier
import kgrl.agents.baselines.interleaved
import kgrl.agents.baselines.markov
import kgrl.agents.baselines.oracle
import kgrl.agents.baselines.orders
import kgrl.agents.baselines.passages
from kgrl.agents.base import BaseAgent, agents, make_agent
from kgrl.curriculum.view import Agent

if TYPE_CHECKING:
    from kgrl.agents.policy.agent import PPOAgent
    from kgrl.agents.training.ppo import train_ppo

__all__ = ["BaseAgent", "PPOAgent", "agents", "make_agent", "train_ppo"]


@agents.register("curiosity")
def _curiosity() -> Agent:
    """The policy that ships with kgrl, pretrained on what readers of Wikispeedia clicked."""
    from kgrl.agents.policy.agent import PPOAgent
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
    from kgrl.agents.policy.agent import PPOAgent
    from kgrl.builtin import FOLDER

    return PPOAgent.load(FOLDER / "ppo")


def __getattr__(name: str) -> Any:
    if name == "PPOAgent":
        from kgrl.agents.policy.agent import PPOAgent

        return PPOAgent
    if name == "train_ppo":
        from kgrl.agents.training.ppo import train_ppo

        return train_ppo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
