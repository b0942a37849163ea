"""Interleaving: an expansion about several topics of an agent's choice, in place of one topic and what is like it.

An ordinary expansion reads a topic and its neighbourhood, so that a lesson is about one thing and the next about
another. Learners of all kinds keep more of what they practise in a mixed order than in blocks (Kornell and Bjork 2008,
"Learning concepts and categories", of people; McCloskey and Cohen 1989, "Catastrophic interference", of networks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.curriculum.view import Agent, View, preferred
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["Interleaved"]


class Interleaved:
    """Reads passages of several topics in turn, each topic drawn as another agent would.

    Candidates are drawn one after the other without replacement, with probabilities p^(1/temperature), p being those of
    that agent. Of the first few, all first passages are read, then all second ones, until they are read up; then the
    next few follow. Nothing is retrieved. Where the frontier is read up, other unread passages follow in random order.

    Args:
        agent: Says which candidates it is likely to choose; see `kgrl.curriculum.view.preferred`.
        temperature: 1 draws as the agent does, more is closer to uniform.
        topics: Topics that take turns.

    Raises:
        SettingError: If the temperature or the number of topics is too small.

    Example:
        >>> from kgrl.agents import make_agent
        >>> Interleaved(make_agent("random")).topics
        8
    """

    frontier_only = False
    reads_passages = True

    def __init__(self, agent: Agent, temperature: float = 1.0, topics: int = 8) -> None:
        if temperature <= 0 or topics < 1:
            raise SettingError(f"temperature must be above 0 and topics at least 1, not {temperature} and {topics}")
        self.agent, self.temperature, self.topics = agent, temperature, topics

    def reset(self, view: View) -> None:
        """Start over on a curriculum."""
        self.agent.reset(view)

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return candidates and the probability that each is drawn first."""
        candidates, chances = preferred(self.agent, view)
        flattened = chances ** (1 / self.temperature)
        return candidates, flattened / flattened.sum()

    def choose(self, view: View) -> IntArray:
        """Return the unread passages in the order to read; the expansion reads as far as its tokens go."""
        unread = view.unread()
        place = np.full(len(view.graph), len(view.graph))
        drawn = self._drawn(view)
        place[drawn] = np.arange(len(drawn))
        at = place[view.passage_topics[unread]]
        ours = at < len(drawn)
        others: IntArray = view.rng.permutation(unread[~ours])
        return np.concatenate([unread[ours][self._in_turn(at[ours])], others])

    def observe(self, expansion: Expansion) -> None:
        """Let the other agent take note of what the choice led to."""
        self.agent.observe(expansion)

    def _drawn(self, view: View) -> IntArray:
        """The candidates in the order drawn: sorted by log-probability with Gumbel noise, which is the same."""
        candidates, chances = self.preferences(view)
        with np.errstate(divide="ignore"):  # what is never chosen comes last
            keys = np.log(chances) + view.rng.gumbel(size=len(chances))
        return candidates[np.argsort(-keys, kind="stable")]

    def _in_turn(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The order of passages, given their topics' places: by group of topics, then by round, then by place."""
        order = np.argsort(places, kind="stable")
        _, first, counts = np.unique(places[order], return_index=True, return_counts=True)
        rounds = np.empty(len(places), dtype=np.int64)
        rounds[order] = np.arange(len(places)) - np.repeat(first, counts)
        return np.lexsort((places, rounds, places // self.topics))
