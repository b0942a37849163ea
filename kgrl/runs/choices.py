"""An agent's preferences at each choice, as a run records them in `choices.jsonl`.

Agents that state preferences are asked right before they choose. Asking draws nothing from the curriculum's generator,
so a run is the same with and without the record.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.view import Agent, Finite, PassageAgent, Preferring, View, preferred
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.system.json_lines import read_records
from kgrl.system.schemas import Index, decode_json

__all__ = ["Choice", "Noting", "noting"]

_MOST = 64
"""Most candidates of a record."""
_DIGITS = 6
"""Decimals to which chances are rounded."""


@dataclass(frozen=True)
class Choice:
    """One choice of an agent.

    Args:
        index: Number of the expansion that it led to.
        topic: The topic picked; the topic of the first passage if passages were picked.
        topics: The preferred candidates, the best first, at most 64.
        chances: The agent's probability for each of them; those of all candidates sum to 1.

    Example:
        >>> Choice.of(1, 7, np.array([3, 7]), np.array([0.25, 0.75])).to_json()
        '{"index": 1, "topic": 7, "topics": [7, 3], "chances": [0.75, 0.25]}'
    """

    index: Index
    topic: Index
    topics: tuple[Index, ...]
    chances: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.topics) != len(self.chances):
            raise ValueError(f"{len(self.topics)} topics and {len(self.chances)} chances")

    @classmethod
    def of(cls, index: int, topic: int, topics: IntArray, chances: NDArray[np.float64]) -> Choice:
        """Make the record of a choice; of equal candidates those discovered first are kept.

        Args:
            index: Number of the expansion.
            topic: The topic picked.
            topics: All candidates that the agent considered, shape `[candidates]`.
            chances: Its probability for each, shape `[candidates]`.
        """
        best = np.argsort(-chances, kind="stable")[:_MOST]
        return cls(index, topic, tuple(topics[best].tolist()), tuple(np.round(chances[best], _DIGITS).tolist()))

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Choice:
        """Read a record written by `to_json`.

        Raises:
            DataError: If the line is not a choice.
        """
        return decode_json(line, cls, "choices.jsonl")

    @classmethod
    def read(cls, folder: Path) -> list[Choice]:
        """Return the choices recorded in a run's folder; empty if the agent states no preferences.

        Raises:
            DataError: If a line is not a choice.
        """
        return read_records(folder / "choices.jsonl", cls)


class Noting:
    """Wrapper of an agent that records its preferences before each choice, and changes nothing else.

    Args:
        agent: The agent; it is `Preferring`.

    Attributes:
        choice: The record of the latest choice, None before the first.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.frontier_only = agent.frontier_only
        if isinstance(agent, PassageAgent):
            self.reads_passages = True
        if isinstance(agent, Finite):
            self.finished = agent.finished
        self.choice: Choice | None = None

    def __repr__(self) -> str:
        return repr(self.agent)

    def reset(self, view: View) -> None:
        """Start over; see `Agent.reset`."""
        self.choice = None
        self.agent.reset(view)

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the agent's preferences; see `Preferring.preferences`."""
        assert isinstance(self.agent, Preferring)
        return self.agent.preferences(view)

    def choose(self, view: View) -> int | IntArray:
        """Return the agent's choice, and keep its preferences as `choice`."""
        # On a copy of the generator: the agent then draws the same as without the record.
        topics, chances = preferred(self.agent, view.glance())
        picked = self.agent.choose(view)
        topic = view.passage_topics[picked[0]] if isinstance(picked, np.ndarray) else picked
        self.choice = Choice.of(view.index, int(topic), topics, chances)
        return picked

    def observe(self, expansion: Expansion) -> None:
        """Let the agent learn from an expansion; see `Agent.observe`."""
        self.agent.observe(expansion)


def noting(agent: Agent) -> Agent:
    """Return the agent wrapped in `Noting`, or as it is if it states no preferences."""
    return Noting(agent) if isinstance(agent, Preferring) else agent
