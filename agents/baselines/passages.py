"""The curriculum without a frontier: the order in which a data mixture is read, all of it or what passes a filter."""

from __future__ import annotations

import numpy as np

from kgrl.agents.bandits.arms import check_setting
from kgrl.agents.base import agents
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.relations import coherence
from kgrl.graph.topic_graph import IntArray

__all__ = ["CoherentPassages", "UniformPassages"]


@agents.register("iid")
class UniformPassages:
    """Uniform over passages, without replacement: an expansion reads passages drawn from all that are unread.

    It knows neither graph nor topics, and nothing is researched for it. A topic counts as learned once a passage of it
    was read, so that a few expansions spread over most of a small graph.
    """

    frontier_only = False
    reads_passages = True

    def reset(self, view: View) -> None:
        """Nothing is remembered: what is unread is the curriculum's to know."""

    def choose(self, view: View) -> IntArray:
        """Return all unread passages in an order drawn uniformly; the expansion reads as far as its tokens go."""
        return view.rng.permutation(view.unread())

    def observe(self, expansion: Expansion) -> None:
        """Nothing is learned from what a draw led to."""


@agents.register("coherent")
class CoherentPassages(UniformPassages):
    """Uniform over the passages of coherent topics first: what a filter is worth that looks at no learner.

    A topic is coherent where its text is more like that of the topics linked with it than like that of topics at large;
    see `kgrl.graph.relations.coherence`, which the reward `incoherence-penalty` reads as well. Noise and boilerplate
    are not. The goal is not looked at.

    Args:
        least: Coherence from which a topic counts as coherent, a difference of cosines; at most 1.

    Raises:
        SettingError: If it is out of its range.
    """

    def __init__(self, least: float = 0.1) -> None:
        check_setting("least", least, -1, 1)
        self.least = least

    def reset(self, view: View) -> None:
        """Look up which topics are coherent."""
        self._coherent = coherence(view.graph, view.embeddings) >= self.least

    def choose(self, view: View) -> IntArray:
        """Return all unread passages, those of coherent topics first, both parts in an order drawn uniformly."""
        order = super().choose(view)
        first = self._coherent[view.passage_topics[order]]
        return np.concatenate([order[first], order[~first]])
