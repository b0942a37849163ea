"""What an agent may look at, and the agent protocol.

A view is read-only. It holds the learned set, the frontier, the loss profile and the topic embeddings; nothing of exam.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.state import LossProfile
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["Agent", "PassageAgent", "Preferring", "Reminded", "View", "preferred"]


def _no_learner(topics: IntArray) -> NDArray[np.float32]:
    return np.full(len(topics), np.nan, dtype=np.float32)


def _no_lesson(taught: IntArray, measured: IntArray) -> NDArray[np.float32]:
    return _no_learner(measured)


def _no_passages() -> IntArray:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class View:
    """The state of a curriculum, as agents see it.

    Args:
        graph: The topic graph.
        frontier: The learned topics and the frontier; agents read it and never call `learn`.
        nucleus: The topics the curriculum started from.
        goal: The goal's topics, or None where all topics count.
        profile: Per-topic probe losses, as far as measured.
        embeddings: Unit topic embeddings from train passages, float32, shape `[topics, dimensions]`; zero rows for
            topics without text.
        trainable: Whether each topic can be picked, shape `[topics]`: it has train passages, and probe passages too
            where the reward reads those of picked topics. Where a curriculum has stages, those of the stage alone, as
            long as one of them is on the frontier.
        tokens: Tokens trained on so far.
        budget: The token budget.
        index: Number of the coming expansion.
        rng: The random generator agents draw from.
        measure: Measures the mean probe loss of topics with the learner as it is, in nats per token; its cost is
            booked on the coming expansion. NaN for topics without probe passages.
        try_topics: Says by how many nats per token the mean probe loss of the goal's topics, or of all without a goal,
            would fall if each of some candidates were expanded now, shape `[candidates]`. The learner is forked for
            each, taught as an expansion would teach it, measured on a fixed sample of probe passages and put back.
            All tokens of that, trained on or measured, are booked on the coming expansion as tokens of probing; they
            are not taken from the token budget. NaN in a view made by hand, which has no learner.
        measure_initial: Measures like `measure`, with the learner as it was before any training; the profile does not
            take note of it. NaN in a view made by hand.
        teach_initial: Says what the probe losses of some topics (second argument) would be if the learner as it was
            before any training learned some others (first argument) as one expansion, shape `[topics measured]`. Booked
            like a try. NaN in a view made by hand.
        unread: Returns the ids of the passages that can be trained on and have not been, ascending: train passages of
            topics that are `trainable`. None in a view made by hand. Its cost grows with the corpus.
        passage_topics: The topic of each passage, shape `[passages]`; empty in a view made by hand.
    """

    graph: TopicGraph
    frontier: Frontier
    nucleus: IntArray
    goal: IntArray | None
    profile: LossProfile
    embeddings: NDArray[np.float32]
    trainable: NDArray[np.bool_]
    tokens: int
    budget: int
    index: int
    rng: np.random.Generator
    measure: Callable[[IntArray], NDArray[np.float32]]
    try_topics: Callable[[IntArray], NDArray[np.float32]] = _no_learner
    measure_initial: Callable[[IntArray], NDArray[np.float32]] = _no_learner
    teach_initial: Callable[[IntArray, IntArray], NDArray[np.float32]] = _no_lesson
    unread: Callable[[], IntArray] = _no_passages
    passage_topics: IntArray = field(default_factory=_no_passages)

    @property
    def candidates(self) -> IntArray:
        """The frontier topics that have text to learn, in order of discovery."""
        topics = self.frontier.topics
        return topics[self.trainable[topics]]

    def glance(self) -> View:
        """Return the view with a copy of the generator: a curriculum is the same whether or not anybody looks."""
        return replace(self, rng=copy.deepcopy(self.rng))


@runtime_checkable
class Agent(Protocol):
    """Picks the next topic, or passages where it is a `PassageAgent`.

    Implementers inherit `kgrl.testing.AgentContract` in their tests.

    Attributes:
        frontier_only: Whether every choice is on the frontier. Agents that leave it (`random-global`) are curricula to
            compare with, not environment policies.
    """

    frontier_only: bool

    def reset(self, view: View) -> None:
        """Start over on a curriculum that has just learned its nucleus."""
        ...

    def choose(self, view: View) -> int | IntArray:
        """Return the topic to learn next; `view.candidates` is not empty unless the agent leaves the frontier."""
        ...

    def observe(self, expansion: Expansion) -> None:
        """Take note of what the choice led to."""
        ...


@runtime_checkable
class PassageAgent(Agent, Protocol):
    """Picks passages in place of a topic.

    `choose` returns ids of unread passages in the order to read, of which the expansion reads as many as it has tokens
    for. The curriculum ends when every passage is read.

    Attributes:
        reads_passages: True; by this attribute such agents are known.
    """

    reads_passages: bool


@runtime_checkable
class Reminded(Protocol):
    """An agent that has to know from what it chose, to learn from what came of it (importance weights)."""

    def remind(self, view: View) -> None:
        """Take note of the view of a recorded choice; comes in place of `choose` where a curriculum is resumed."""
        ...


@runtime_checkable
class Preferring(Protocol):
    """An agent that says what it is likely to choose."""

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return candidates and the probability of each, float64, both of shape `[candidates]`."""
        ...


def preferred(agent: Agent, view: View) -> tuple[IntArray, NDArray[np.float64]]:
    """Return candidates and how likely an agent is to choose each: all alike where it does not say.

    An agent is not asked where there are none.

    Args:
        agent: The agent.
        view: What it looks at; a glance, unless what it draws is for a choice.
    """
    candidates = view.candidates
    if len(candidates) and isinstance(agent, Preferring):
        return agent.preferences(view)
    return candidates, np.full(len(candidates), 1.0 / max(1, len(candidates)))
