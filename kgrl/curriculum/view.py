"""The view that agents have of a curriculum, and the protocols of agents.

A view is read-only. It holds the solid topics, the frontier, the loss profile and the topic embeddings, and nothing of
the exam.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.knowledge import Knowledge
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.state import LossProfile
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.display import count_text

__all__ = ["Agent", "Finite", "PassageAgent", "Preferring", "Reminded", "View", "preferred"]

_MOST_LOOKED_AT, _SAMPLED = 32_768, 2_048
"""Largest frontier that is looked at as a whole, and how many topics of a larger one are."""


def _no_learner(*topics: IntArray) -> NDArray[np.float32]:
    """Return NaN for each topic of the last argument: a view made by hand has no learner to measure."""
    return np.full(len(topics[-1]), np.nan, dtype=np.float32)


def _no_passages() -> IntArray:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class View:
    """The state of a curriculum as agents see it.

    A view made by hand has no learner and no passages: its measurements are NaN and `readable` is empty by default.

    Args:
        graph: The topic graph.
        frontier: The solid topics and the frontier; agents read it and never change it.
        nucleus: The topics the curriculum started from.
        goal: The goal's topics, or None if all topics count.
        profile: Per-topic probe losses, as far as measured.
        embeddings: Unit topic embeddings from train passages, float32, shape `[topics, dimensions]`; zero rows for
            topics without text.
        trainable: Whether each topic can be picked, bool `[topics]`: it has train passages, and probe passages if the
            reward reads those of picked topics. In a curriculum with stages only topics of the present stage can be
            picked, as long as one of them is on the frontier.
        tokens: Tokens trained on so far.
        budget: The token budget.
        index: Number of the coming expansion.
        rng: The random generator that agents draw from.
        measure: Measures the probe losses of topics with the present learner, in nats per token, float32 `[topics]`,
            NaN for topics without probe passages. The cost is booked on the coming expansion.
        try_topics: Returns the drop of the mean probe loss of the goal's topics, or of all without a goal, that
            expanding into each of some candidates would bring, in nats per token, float32 `[candidates]`. For each
            candidate the learner is forked, taught as by an expansion, measured on a fixed sample of probe passages and
            put back. All tokens trained on or measured are booked on the coming expansion as tokens of probing; they
            are not taken from the token budget.
        measure_initial: Measures like `measure`, with the learner before any training; the profile does not record
            these losses.
        teach_initial: Returns the probe losses of some topics (second argument) after the untrained learner has learned
            others (first argument) as one expansion, float32 `[topics measured]`. Booked like `try_topics`.
        readable: Returns the ids of train passages that may be read, ascending: those of `trainable` topics, without
            those that were read as often as they may be. Its cost grows with the corpus.
        readings: How often each passage was read, int32 `[passages]`.
        knowledge: What was read of each topic, and how well it is known.
        mastery: The criterion by which a topic is solid.
        was_solid: True for topics that are solid or were, bool `[topics]`; empty in a view made by hand.
        passage_topics: The topic of each passage, int32 `[passages]`.
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
    teach_initial: Callable[[IntArray, IntArray], NDArray[np.float32]] = _no_learner
    readable: Callable[[], IntArray] = _no_passages
    readings: IntArray = field(default_factory=_no_passages)
    knowledge: Knowledge = field(default_factory=lambda: Knowledge(0))
    mastery: Mastery = Mastery("read", 0.0)  # noqa: RUF009 - it is frozen
    was_solid: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    passage_topics: IntArray = field(default_factory=_no_passages)

    def __repr__(self) -> str:
        solid = f"{count_text(len(self.frontier.solid), 'topic')} solid, {len(self.frontier):,} on the frontier"
        return f"View(before expansion {self.index}, {solid}, {self.tokens:,} of {self.budget:,} tokens)"

    @property
    def candidates(self) -> IntArray:
        """The frontier topics that can be picked, in order of discovery, int32.

        Of a frontier of more than 32,768 topics a sample of 2,048, so that a step's cost does not grow with the graph:
        topics at equal distances in order of discovery (`Frontier.sample`), from a start that follows from the state of
        the generator and the number of the expansion. Nothing is drawn from the generator, and another look at the same
        view shows the same sample.
        """
        if self.sampled:
            return self.frontier.sample(_SAMPLED, np.random.default_rng([self._seed, self.index]), self.trainable)
        topics = self.frontier.topics
        return topics[self.trainable[topics]]

    @property
    def sampled(self) -> bool:
        """True if `candidates` are a sample of the frontier."""
        return len(self.frontier) > _MOST_LOOKED_AT

    @cached_property
    def _seed(self) -> int:
        # From a digest of the generator's state, so that nothing is drawn.
        return int.from_bytes(blake2b(str(self.rng.bit_generator.state).encode(), digest_size=8).digest(), "little")

    def glance(self) -> View:
        """Return the view with a copy of the generator, whose draws do not change the curriculum."""
        return replace(self, rng=copy.deepcopy(self.rng))


@runtime_checkable
class Agent(Protocol):
    """Picks the next topic, or passages if it is a `PassageAgent`.

    Implementers inherit `kgrl.testing.AgentContract` in their tests.

    Attributes:
        frontier_only: True if every choice is on the frontier. Agents that leave it (`random-global`) serve as
            curricula to compare with, not as policies of environments.
    """

    frontier_only: bool

    def reset(self, view: View) -> None:
        """Start over on a curriculum that has just learned its nucleus."""
        ...

    def choose(self, view: View) -> int | IntArray:
        """Return the topic to learn next; `view.candidates` is not empty unless the agent leaves the frontier."""
        ...

    def observe(self, expansion: Expansion) -> None:
        """Learn from the record of the expansion that the choice led to."""
        ...


@runtime_checkable
class PassageAgent(Agent, Protocol):
    """Picks passages instead of a topic.

    `choose` returns ids of passages in the order to read. The expansion reads as many as it has tokens for. The
    curriculum ends when every passage is read.

    Attributes:
        reads_passages: True; this attribute marks such agents.
    """

    reads_passages: bool


@runtime_checkable
class Reminded(Protocol):
    """An agent that needs the view of its choice to learn from the result, for example for importance weights."""

    def remind(self, view: View) -> None:
        """Record the view of a recorded choice; called instead of `choose` when a curriculum is resumed."""
        ...


@runtime_checkable
class Finite(Protocol):
    """An agent that may have picked all that it ever would, while there is more to pick."""

    def finished(self, view: View) -> bool:
        """Return whether it has nothing left to pick; the curriculum then ends."""
        ...


@runtime_checkable
class Preferring(Protocol):
    """An agent that states the probabilities of its choices."""

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return candidates and the probability of each, float64, both of shape `[candidates]`."""
        ...


def preferred(agent: Agent, view: View) -> tuple[IntArray, NDArray[np.float64]]:
    """Return candidates and an agent's probability of choosing each; equal ones if it states none.

    Without candidates the agent is not asked.

    Args:
        agent: The agent.
        view: The view to ask about; a glance, unless the draws are for a choice.

    Returns:
        Candidates, int32, and probabilities, float64, both of shape `[candidates]`.
    """
    candidates = view.candidates
    if len(candidates) and isinstance(agent, Preferring):
        return agent.preferences(view)
    return candidates, np.full(len(candidates), 1.0 / max(1, len(candidates)))
