"""Choices of agents whose results come late, as they do in trainers that fetch ahead."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from kgrl.agents.bandits.arms import ArmBandit, Floats
from kgrl.agents.bandits.progress import LearningProgress
from kgrl.agents.make import make_agent
from kgrl.curriculum.view import Agent, View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion

__all__ = ["LateChoice", "agent_among", "agent_text", "choose", "earned", "tell"]


class LateChoice(NamedTuple):
    """A choice whose result is not known yet.

    Args:
        topic: The topic that was picked.
        chances: The chances with which a bandit pulled its arm, `[arms]`; None for other agents.
    """

    topic: int
    chances: Floats | None = None


def choose(agent: Agent, view: View) -> LateChoice:
    """Let an agent choose, and keep what it needs to learn from the result."""
    topic = agent.choose(view)
    if not isinstance(topic, int):
        raise _chooses_passages(agent)
    return LateChoice(topic, agent.pulled if isinstance(agent, ArmBandit) else None)


def tell(agent: Agent, choice: LateChoice | None, expansion: Expansion) -> None:
    """Let an agent observe the result of a choice, whatever it has chosen since.

    Args:
        agent: The agent.
        choice: The choice; None for a result that the agent did not choose.
        expansion: The result.
    """
    if isinstance(agent, ArmBandit):
        # Importance weights divide by the chances at the time of the choice.
        agent.pulled = None if choice is None else choice.chances
    agent.observe(expansion)


def earned(agent: Agent, before: float, after: float) -> float:
    """Return an agent's reward for a loss that was expected to be `before` and is `after`: the drop.

    `alp` takes differences itself: its paper gives it success rates, so its reward is minus the loss. With the drop, a
    loss that falls steadily would look to it as if nothing changed.

    Example:
        >>> earned(make_agent("exp3s"), 0.75, 0.5), earned(make_agent("alp"), 0.75, 0.5)
        (0.25, -0.5)
    """
    return -after if isinstance(agent, LearningProgress) else before - after


def agent_among(agent: str | Agent, names: Collection[str], why: str) -> Agent:
    """Return an agent made of a name, if it is one of some; an agent of the user's own is returned as it is.

    Args:
        agent: The name of an agent, or an agent that picks topics.
        names: The agents that do what they say here.
        why: The reason why others do not.

    Raises:
        UnknownNameError: If there is no agent of this name.
        SettingError: If the agent is not one of those, or chooses passages.
    """
    if isinstance(agent, str) and agent not in names:
        make_agent(agent)  # names what is not known
        raise SettingError(f"the agent {agent!r} cannot choose here: {why}. Those that can: {', '.join(sorted(names))}")
    # The tuned options of alp are for the gains of lessons, and here its reward is another; see `earned`.
    made = LearningProgress() if agent == "alp" else make_agent(agent)
    if getattr(made, "reads_passages", False):
        raise _chooses_passages(made)
    return made


def _chooses_passages(agent: Agent) -> SettingError:
    return SettingError(f"{type(agent).__name__} chooses passages, and here an agent has to choose topics")


def agent_text(agent: Agent) -> str:
    """Return an agent's text in saved states: its `repr`, or the name of its class where that is an address.

    Example:
        >>> agent_text(make_agent("random"))
        'RandomFrontier()'
    """
    return type(agent).__name__ if type(agent).__repr__ is object.__repr__ else repr(agent)
