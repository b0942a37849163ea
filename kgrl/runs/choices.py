"""What an agent thought of the candidates at each choice, as a run records it in `choices.jsonl`.

Agents that say what they prefer are asked right before they choose. That draws nothing from the curriculum's generator,
so that a run is the same whether or not anybody asks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.view import Agent, PassageAgent, Preferring, View, preferred
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["Choice", "Noting", "noting", "whole_lines"]

_MOST = 64
_DIGITS = 6


@dataclass(frozen=True)
class Choice:
    """One choice of an agent.

    Args:
        index: Number of the expansion that it led to.
        topic: The topic picked; that of the first passage where passages are.
        topics: The candidates that were preferred, best first, at most 64.
        chances: The agent's preference for each of them, out of 1 for all candidates.

    Example:
        >>> Choice.of(1, 7, np.array([3, 7]), np.array([0.25, 0.75])).to_json()
        '{"index": 1, "topic": 7, "topics": [7, 3], "chances": [0.75, 0.25]}'
    """

    index: int
    topic: int
    topics: tuple[int, ...]
    chances: tuple[float, ...]

    @classmethod
    def of(cls, index: int, topic: int, topics: IntArray, chances: NDArray[np.float64]) -> Choice:
        """Make the record of a choice; of equal candidates those discovered first are kept.

        Args:
            index: Number of the expansion.
            topic: The topic picked.
            topics: All candidates that the agent looked at, shape `[candidates]`.
            chances: Its preference for each.
        """
        best = np.argsort(-chances, kind="stable")[:_MOST]
        return cls(index, topic, tuple(topics[best].tolist()), tuple(np.round(chances[best], _DIGITS).tolist()))

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Choice:
        """Read a record written by `to_json`."""
        fields = json.loads(line)
        return cls(fields["index"], fields["topic"], tuple(fields["topics"]), tuple(fields["chances"]))

    @classmethod
    def read(cls, folder: Path) -> list[Choice]:
        """Return the choices of a run; none where none were recorded."""
        return [cls.from_json(line) for line in whole_lines(folder / "choices.jsonl")]


class Noting:
    """An agent that notes what it prefers before it chooses, and is otherwise the same.

    Args:
        agent: The agent; it says what it prefers.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.frontier_only = agent.frontier_only
        if isinstance(agent, PassageAgent):
            self.reads_passages = True
        self.choice: Choice | None = None

    def reset(self, view: View) -> None:
        """Start over; see `Agent.reset`."""
        self.choice = None
        self.agent.reset(view)

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return what the agent prefers; see `Preferring.preferences`."""
        assert isinstance(self.agent, Preferring)
        return self.agent.preferences(view)

    def choose(self, view: View) -> int | IntArray:
        """Return what the agent chooses, and keep what it prefers as `choice`."""
        topics, chances = preferred(self.agent, view.glance())  # the same that it looks at when it chooses
        picked = self.agent.choose(view)
        topic = view.passage_topics[picked[0]] if isinstance(picked, np.ndarray) else picked
        self.choice = Choice.of(view.index, int(topic), topics, chances)
        return picked

    def observe(self, expansion: Expansion) -> None:
        """Take note of what the choice led to; see `Agent.observe`."""
        self.agent.observe(expansion)


def noting(agent: Agent) -> Agent:
    """Return the agent so that its preferences are noted; as it is where it has none."""
    return Noting(agent) if isinstance(agent, Preferring) else agent


def whole_lines(path: Path) -> list[str]:
    """Return the whole lines of a file; a last line that was cut off in writing is left out.

    A file that is missing has none.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return text[: text.rfind("\n") + 1].split("\n")[:-1]
