"""The agent protocol, a base class for agents, and the registry that agents enter by name."""

from __future__ import annotations

from abc import ABC, abstractmethod

from kgrl.curriculum.view import Agent, View
from kgrl.expansion import Expansion
from kgrl.system.registry import Registry

__all__ = ["POLICY_FILE", "Agent", "BaseAgent", "View", "agents"]

POLICY_FILE = "policy.json"
"""The file by which a folder with a trained agent is known."""

agents: Registry[Agent] = Registry("agent", group="kgrl.agents")
"""Agents by name. `agents.make` uses the constructor's own defaults, `make_agent` the tuned options."""


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
