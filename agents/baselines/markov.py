"""The reader without a goal: clicks on as readers of Wikispeedia clicked from the topic learned last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents
from kgrl.builtin import click_counts
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["MarkovReader"]

_BACK_OFF = 10.0
"""Clicks that the in-degrees count as, as for the next-click predictor of the same name."""


@agents.register("markov")
class MarkovReader(BaseAgent):
    """A first-order Markov model of readers with back-off to in-degree, over the candidates.

    The chance of a candidate is in proportion to n(page, v) + 10 in(v) / sum of in over the candidates, where n are the
    clicks of Wikispeedia's readers on the link from the topic picked last, matched by title, and in is the number of
    links to v. Where readers' clicks are not known it is drawn by in-degree.
    """

    def reset(self, view: View) -> None:
        """Begin on the nucleus's first topic."""
        self._page = int(view.nucleus[0])
        self._clicks = click_counts(view.graph)
        self._in_degree = np.bincount(view.graph.indices, minlength=len(view.graph)).astype(np.float64)

    def observe(self, expansion: Expansion) -> None:
        """Go to the topic that was picked."""
        self._page = expansion.topic

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the candidates and the chance of each."""
        candidates = view.candidates
        at = view.graph.positions(np.full(len(candidates), self._page), candidates)
        clicks = np.where(at >= 0, self._clicks.links[at], 0.0)
        prior = self._in_degree[candidates] + 1.0  # so that nothing is impossible
        chances = clicks + _BACK_OFF * prior / prior.sum()
        return candidates, chances / chances.sum()

    def choose(self, view: View) -> int:
        """Return a candidate drawn by its chance."""
        candidates, chances = self.preferences(view)
        return int(view.rng.choice(candidates, p=chances))
