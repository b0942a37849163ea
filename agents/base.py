"""How agents are named and made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import yaml

from kgrl.curriculum.view import Agent, View
from kgrl.errors import DataError
from kgrl.expansion import Expansion
from kgrl.system.registry import Registry

__all__ = ["POLICY_FILE", "TUNED", "BaseAgent", "agents", "make_agent", "tuned_options"]

POLICY_FILE = "policy.json"
"""The file by which a folder with a trained agent is known."""

TUNED = Path(__file__).parent / "tuned"
"""The folder of the tuned options of agents, `NAME.yaml`; `kgrl.benchmark.tuning` has found them."""

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


def make_agent(agent: str | Path | Agent) -> Agent:
    """Turn what a user passes as an agent into one. Agents draw from the curriculum's generator and need no seed.

    Args:
        agent: A registered name, which gets its tuned options; the folder of a trained agent; or an agent.

    Raises:
        UnknownNameError: If it is neither a registered name nor such a folder.
        KgrlError: If the folder's policy cannot be read by this version.
        DataError: If the agent cannot be made with what the file of its tuned options says.

    Example:
        >>> type(make_agent("closure")).__name__
        'Closure'
    """
    if not isinstance(agent, str | Path):
        return agent
    if str(agent) not in agents and (Path(agent) / POLICY_FILE).is_file():
        # torch takes seconds to import, and only trained agents need it.
        from kgrl.agents.policy.agent import PPOAgent

        return PPOAgent.load(Path(agent))
    return _make_tuned(str(agent))


def tuned_options(agent: str) -> dict[str, Any]:
    """Return the tuned options of an agent by name, empty where it has none.

    Raises:
        DataError: If the file is not YAML with a table `options`.
    """
    path = _tuned_file(agent)
    if not path.is_file():
        return {}
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["options"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(path, None, f"is not YAML with a table 'options': {error!r}") from error
    if not isinstance(options, dict):
        raise DataError(path, None, f"options must be a table of names and values, not {options!r}")
    return options


def _tuned_file(agent: str) -> Path:
    return TUNED / f"{agent}.yaml"


def _make_tuned(name: str) -> Agent:
    make, options = agents[name], tuned_options(name)
    if not options:
        return make()
    try:
        return make(**options)
    except (TypeError, ValueError) as error:
        raise DataError(_tuned_file(name), None, f"the agent {name!r} takes no such options: {error}") from error
