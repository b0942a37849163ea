"""Baselines that pick passages instead of a topic: shuffled text, filtered text, and interleaved topics.

An ordinary expansion reads a topic and its neighbourhood, so one lesson is about one thing and the next about another.
Learners of all kinds keep more of what they practise in mixed order than in blocks (Kornell and Bjork 2008, "Learning
concepts and categories", on people; McCloskey and Cohen 1989, "Catastrophic interference", on networks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents, check_setting
from kgrl.curriculum.view import Agent, View, preferred
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.relations import coherence
from kgrl.graph.topic_graph import IntArray

__all__ = ["CoherentPassages", "GoalPassages", "Interleaved", "UniformPassages", "least_read_first"]


@agents.register("iid")
class UniformPassages(BaseAgent):
    """Uniform over passages, without replacement: an expansion reads passages drawn from all that were not read.

    Where passages may be read more than once, all are read once before any is read again: shuffled passes. The agent
    reads neither graph nor topics, and nothing is researched for it. Where a topic counts as learned once one of its
    passages was read, a few expansions spread over most of a small graph.
    """

    frontier_only = False
    reads_probes = False
    reads_passages = True

    def choose(self, view: View) -> IntArray:
        """Return all passages that may be read, those read least first, otherwise in an order drawn uniformly."""
        return least_read_first(view, view.rng.permutation(view.readable()))


@agents.register("goal-iid")
class GoalPassages(UniformPassages):
    """Uniform over the passages of the goal's topics, and over the others once these are read up.

    Where passages may be read any number of times, the goal's are read again and again, and no others. Without a goal
    it is `iid`.
    """

    def choose(self, view: View) -> IntArray:
        """Return all passages that may be read, the goal's first, each part as `iid` orders it."""
        order = super().choose(view)
        if view.goal is None:
            return order
        first = np.isin(view.passage_topics[order], view.goal)
        return np.concatenate([order[first], order[~first]])


@agents.register("coherent")
class CoherentPassages(UniformPassages):
    """Uniform over passages, those of coherent topics first: a filter that does not depend on the learner.

    A topic is coherent if its text resembles the text of topics linked with it more than that of topics at large; see
    `kgrl.graph.relations.coherence`, which the reward `incoherence-penalty` reads, too. Noise and boilerplate are not
    coherent. The goal plays no part.

    Args:
        least: Coherence from which on a topic counts as coherent, a difference of cosines from -1 to 1.

    Raises:
        SettingError: If it is out of range.
    """

    def __init__(self, least: float = 0.1) -> None:
        check_setting("least", least, -1, 1)
        self.least = least

    def reset(self, view: View) -> None:
        """Determine the coherent topics."""
        self._coherent = coherence(view.graph, view.embeddings) >= self.least

    def choose(self, view: View) -> IntArray:
        """Return all passages that may be read, those of coherent topics first, each part as `iid` orders it."""
        order = super().choose(view)
        first = self._coherent[view.passage_topics[order]]
        return np.concatenate([order[first], order[~first]])


def least_read_first(view: View, passages: IntArray) -> IntArray:
    """Return passages ordered by how often they were read; those read equally often stay in their order."""
    return passages[np.argsort(view.readings[passages], kind="stable")]


class Interleaved(BaseAgent):
    """Passages of several topics in turn, each topic drawn by another agent's preferences.

    Candidates are drawn one after the other without replacement, with probabilities in proportion to p^(1/temperature),
    where p are the other agent's. The first `topics` of them take turns: all their first passages are read, then all
    second ones, until they have none left; then the next ones follow. Nothing is retrieved. Once the frontier has no
    unread passages, the remaining ones follow in random order.

    Args:
        agent: The other agent; see `kgrl.curriculum.view.preferred`.
        temperature: 1 keeps the agent's probabilities; larger values are closer to uniform.
        topics: Number of topics that take turns.

    Raises:
        SettingError: If the temperature is not above 0 or the number of topics below 1.

    Example:
        >>> from kgrl.agents import make_agent
        >>> Interleaved(make_agent("random"))
        Interleaved(agent=RandomFrontier(), temperature=1.0, topics=8)
    """

    frontier_only = False
    reads_passages = True

    def __init__(self, agent: Agent, temperature: float = 1.0, topics: int = 8) -> None:
        if temperature <= 0 or topics < 1:
            raise SettingError(f"temperature must be above 0 and topics at least 1, not {temperature} and {topics}")
        self.agent, self.temperature, self.topics = agent, temperature, topics

    def reset(self, view: View) -> None:
        """Start the other agent over."""
        self.agent.reset(view)

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates and the probability of each to be drawn first, both of shape `[candidates]`."""
        candidates, chances = preferred(self.agent, view)
        flattened = chances ** (1 / self.temperature)
        return candidates, flattened / flattened.sum()

    def choose(self, view: View) -> IntArray:
        """Return the passages in the order to read; the expansion reads as far as its tokens go."""
        unread = least_read_first(view, view.readable())
        place = np.full(len(view.graph), len(view.graph))  # of each topic among those drawn; past the end if not drawn
        drawn = self._drawn(view)
        place[drawn] = np.arange(len(drawn))
        at = place[view.passage_topics[unread]]
        ours = at < len(drawn)
        others: IntArray = view.rng.permutation(unread[~ours])
        return np.concatenate([unread[ours][self._in_turn(at[ours])], others])

    def observe(self, expansion: Expansion) -> None:
        """Let the other agent learn from the expansion."""
        self.agent.observe(expansion)

    def _drawn(self, view: View) -> IntArray:
        """The candidates in the order drawn."""
        candidates, chances = self.preferences(view)
        # Sorting by log-probability plus Gumbel noise draws without replacement (the Gumbel-top-k trick).
        with np.errstate(divide="ignore"):  # log 0: candidates of chance 0 come last
            keys = np.log(chances) + view.rng.gumbel(size=len(chances))
        return candidates[np.argsort(-keys, kind="stable")]

    def _in_turn(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The order of passages, given their topics' places: by group of topics, then by round, then by place."""
        # The round of a passage is its number among the unread ones of its topic.
        order = np.argsort(places, kind="stable")
        _, first, counts = np.unique(places[order], return_index=True, return_counts=True)
        rounds = np.empty(len(places), dtype=np.int64)
        rounds[order] = np.arange(len(places)) - np.repeat(first, counts)
        return np.lexsort((places, rounds, places // self.topics))
