"""The agent protocol, a base class for agents, and the registry of agents by name."""

from __future__ import annotations

import logging
import math
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kgrl.curriculum.view import Agent, View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.system.display import constructor_text
from kgrl.system.files import absolute
from kgrl.system.own_code import absolute_place, own_place
from kgrl.system.registry import Registry

if TYPE_CHECKING:
    from kgrl.retrieval.encoder import Encoder

__all__ = [
    "ORDER",
    "POLICY_FILE",
    "Agent",
    "BaseAgent",
    "View",
    "absolute_agent",
    "agent_name",
    "agents",
    "check_setting",
    "check_space",
    "reads_probes",
]

POLICY_FILE = "policy.json"
"""The file that marks a folder as that of a trained agent."""

ORDER = "order:"
"""The beginning of an agent's name that names the file of an order; see `kgrl.agents.baselines.orders.GivenOrder`."""
_LONGEST_NAME = 80
"""Most characters of an order's name in a path, where a letter that is not of ASCII takes up to twelve."""

agents: Registry[Agent] = Registry("agent", group="kgrl.agents")
"""Agents by name. `agents.make` uses the constructor's own defaults, `make_agent` the tuned options."""


_log = logging.getLogger(__name__)


class BaseAgent(ABC):
    """Base class of agents that stay on the frontier and need no memory; subclasses define `choose`.

    A subclass that keeps its constructor's arguments under their names is shown as the call that makes it.

    Example:
        >>> class First(BaseAgent):
        ...     def choose(self, view: View) -> int:
        ...         return int(view.candidates[0])
        >>> isinstance(First(), Agent), First()
        (True, First())
    """

    frontier_only: bool = True

    def __repr__(self) -> str:
        return constructor_text(self)

    @property
    def reads_probes(self) -> bool:
        """True if it reads rewards or the probe losses of expansions.

        `kgrl run` measures neither for an agent that sets `reads_probes = False`, unless a reward was asked for.
        """
        return True

    def reset(self, view: View) -> None:  # noqa: B027 - most agents have nothing to remember
        """Start over on a curriculum that has just learned its nucleus."""

    @abstractmethod
    def choose(self, view: View) -> int | IntArray:
        """Return the topic to learn next; a `PassageAgent` returns ids of passages instead."""

    def observe(self, expansion: Expansion) -> None:  # noqa: B027
        """Learn from the record of the expansion that the choice led to."""


def reads_probes(agent: Agent) -> bool:
    """Return whether an agent reads rewards or the probe losses of expansions; True for agents that do not tell.

    An agent around another one (`Interleaved`) reads what that one reads.
    """
    inner = getattr(agent, "agent", None)
    return reads_probes(inner) if isinstance(inner, Agent) else bool(getattr(agent, "reads_probes", True))


def agent_name(agent: str) -> str:
    """Return the short name by which results know an agent: of a folder or a file without the way there.

    Args:
        agent: A registered name, the folder of a policy, `FILE.py:CLASS`, or `order:FILE`.

    Example:
        >>> agent_name("closure"), agent_name("policies/mine"), agent_name("my agents/near.py:Nearest")
        ('closure', 'mine', 'near.Nearest')
        >>> agent_name("order:courses/my syllabus.txt")
        'order:my_syllabus'
    """
    if agent.startswith(ORDER):
        name = re.sub(r"[^\w.-]", "_", Path(agent.removeprefix(ORDER)).stem)
        while len(quote(name)) > _LONGEST_NAME:
            name = name[:-1]
        return f"{ORDER}{name}"
    place = own_place(agent)
    return Path(agent).name if place is None else f"{place[0].stem}.{place[1]}"


def absolute_agent(agent: str) -> str:
    """Return an agent's name with the whole path of its file, so that it holds in every folder; others as they are.

    Example:
        >>> absolute_agent("closure")
        'closure'
    """
    if agent.startswith(ORDER):
        return f"{ORDER}{absolute(agent.removeprefix(ORDER))}"
    return absolute_place(agent)


def check_space(agent: Agent, encoder: Encoder) -> None:
    """Warn if an agent is a policy that was trained on vectors of another space than an encoder's.

    It would go on, since most of its inputs tell of the graph and of what is learned, but topics would look to it like
    others. An agent around another one (`Interleaved`) is as that one is.
    """
    inner = getattr(agent, "agent", None)
    if isinstance(inner, Agent):
        check_space(inner, encoder)
    elif (space := getattr(agent, "space", None)) not in (None, encoder.space):
        told = "the policy was trained on vectors of the space %r, and the encoder %r makes those of %r, in which it "
        _log.warning(f"{told}knows no topics; train one with that encoder", space, str(encoder.model), encoder.space)


def check_setting(name: str, value: float, low: float, high: float = math.inf, *, above: bool = False) -> None:
    """Refuse a setting outside of its range.

    Args:
        name: Its name, for the message.
        value: Its value, which must be finite.
        low: The lower end of the range.
        high: The upper end, included.
        above: Exclude the lower end.

    Raises:
        SettingError: If the value is outside of the range.
    """
    if not (low < value if above else low <= value) or value > high or not math.isfinite(value):
        least = f"above {low:g}" if above else f"at least {low:g}"
        most = f" and at most {high:g}" if math.isfinite(high) else ""
        raise SettingError(f"{name} must be {least}{most}, not {value}")
