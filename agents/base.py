"""How agents are named and made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from kgrl.errors import KgrlError
from kgrl.expansion import Expansion
from kgrl.registry import Registry
from kgrl.view import Agent, View

__all__ = ["POLICY_FILE", "BaseAgent", "agents", "make_agent"]

POLICY_FILE = "policy.json"
"""The file by which a folder with a trained agent is known."""

agents: Registry[Agent] = Registry("agent", group="kgrl.agents")


class BaseAgent(ABC):
    """An agent that stays on the frontier and has nothing to remember; subclasses define `choose`.

    Example:
        >>> class First(BaseAgent):
        ...     def choose(self, view: View) -> int:
        ...         return int(view.candidates[0])
        >>> isinstance(First(), Agent)
        True
    """

    frontier_only: bool = True

    def reset(self, view: View) -> None:  # noqa: B027 - most agents have nothing to remember
        """Start over on a curriculum that has just learned its nucleus."""

    @abstractmethod
    def choose(self, view: View) -> int:
        """Return the topic to learn next."""

    def observe(self, expansion: Expansion) -> None:  # noqa: B027
        """Take note of what the choice led to."""


def make_agent(agent: str | Path | Agent) -> Agent:
    """Turn what a user passes as an agent into one. Agents draw from the curriculum's generator and need no seed.

    Args:
        agent: A registered name, the folder of a trained agent, or an agent.

    Raises:
        UnknownNameError: If it is neither a registered name nor such a folder.
        KgrlError: If the folder's policy cannot be read by this version, or the agent has to be trained first.

    Example:
        >>> type(make_agent("closure")).__name__
        'Closure'
    """
    if not isinstance(agent, str | Path):
        return agent
    if str(agent) not in agents and (Path(agent) / POLICY_FILE).is_file():
        # torch takes seconds to import, and only trained agents need it.
        from kgrl.agents.ppo import PPOAgent

        return PPOAgent.load(Path(agent))
    if agent == "ppo":
        raise KgrlError("the agent 'ppo' is trained first: kgrl train --agent ppo --out FOLDER; then --agent FOLDER")
    return agents.make(str(agent))
