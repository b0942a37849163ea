"""Baselines that follow the categories, or an order of topics fixed in advance, as in classic curriculum learning."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from kgrl.agents.base import BaseAgent, agents
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["EasyToHard", "HardToEasy", "Paced", "Stratified"]

Pacing = Literal["linear", "logarithmic"]
_LEAST_OPEN = 0.1
"""g_0, the share of the topics that is open at the start; with 0 there would be nothing to choose from."""


@agents.register("stratified")
class Stratified(BaseAgent):
    """Equal tokens for every category: a candidate of the category with fewest tokens so far, drawn uniformly.

    An expansion's tokens are booked in equal parts on the topics that it learned. If several categories have the fewest
    tokens, one of them is drawn.
    """

    reads_probes = False

    def reset(self, view: View) -> None:
        """Book the nucleus, whose tokens are `view.tokens`."""
        self._categories = np.unique(view.graph.categories, return_inverse=True)[1]
        self._tokens = np.zeros(self._categories.max() + 1)
        self._book(view.nucleus, view.tokens)

    def observe(self, expansion: Expansion) -> None:
        """Book an expansion."""
        self._book(np.array(expansion.neighbourhood), expansion.tokens)

    def _book(self, topics: IntArray, tokens: int) -> None:
        np.add.at(self._tokens, self._categories[topics], tokens / max(1, len(topics)))

    def choose(self, view: View) -> int:
        """Return a candidate of the category with fewest tokens among those on the frontier."""
        candidates = view.candidates
        present = np.unique(self._categories[candidates])
        least = present[self._tokens[present] == self._tokens[present].min()]
        return int(view.rng.choice(candidates[self._categories[candidates] == view.rng.choice(least)]))


class Paced(BaseAgent):
    """Base class of agents that open topics one by one in a fixed order and draw uniformly from the open ones.

    Topics are sorted by l_v(theta_0), the untrained learner's probe loss. Once a share t of the token budget is spent,
    the first share g(t) of the topics is open: `linear` g(t) = g_0 + (1 - g_0) t, `logarithmic`
    g(t) = g_0 + (1 - g_0) log(1 + (e - 1) t), with g_0 = 0.1, after Wu, Dyer and Neyshabur 2021 ("When do curricula
    work?"). If no candidate is open, the one that opens next is picked.

    l_v(theta_0) is measured for a sample of the topics and booked as probing. Every other topic takes the loss of the
    measured topic with the closest embedding.

    Args:
        pacing: The function g: `"linear"` or `"logarithmic"`.
        sample: Number of topics measured.

    Raises:
        ValueError: If `sample` is below 1 or the pacing is not known.
    """

    reads_probes = False

    sign: float
    """1 for the lowest loss first, -1 for the highest."""

    def __init__(self, pacing: Pacing = "linear", sample: int = 256) -> None:
        if sample < 1 or pacing not in ("linear", "logarithmic"):
            raise ValueError(f"sample must be at least 1 and pacing linear or logarithmic, not {sample} and {pacing!r}")
        self.pacing, self.sample = pacing, sample

    def reset(self, view: View) -> None:
        """Measure a sample, and order all topics."""
        eligible = np.flatnonzero(view.trainable)
        # Drawn apart from the curriculum's generator, so that a resumed run has the same order without drawing again.
        rng = np.random.default_rng(len(eligible))
        measured = np.sort(rng.permutation(eligible)[: self.sample]).astype(np.int32)
        losses = view.measure_initial(measured)
        known = np.isfinite(losses)
        # Places from 0 to 1. Without any probe passage the order is that of the topics' numbers.
        self._place = np.arange(len(view.graph)) / len(view.graph)
        if known.any():
            nearest = np.argmax(view.embeddings @ view.embeddings[measured[known]].T, axis=1)  # [topics]
            order = np.argsort(self.sign * losses[known][nearest], kind="stable")
            self._place[order] = np.arange(len(order)) / len(order)

    def open_share(self, spent: float) -> float:
        """Return g(t), the share of topics that are open.

        Args:
            spent: Share t of the token budget that is spent.

        Example:
            >>> EasyToHard().open_share(0.0), EasyToHard("logarithmic").open_share(1.0)
            (0.1, 1.0)
        """
        grown = spent if self.pacing == "linear" else math.log1p((math.e - 1) * spent)
        return min(1.0, _LEAST_OPEN + (1 - _LEAST_OPEN) * grown)

    def choose(self, view: View) -> int:
        """Return an open candidate, drawn uniformly, or the one that opens next."""
        candidates = view.candidates
        places = self._place[candidates]
        is_open = places < self.open_share(view.tokens / view.budget)
        if is_open.any():
            return int(view.rng.choice(candidates[is_open]))
        return int(candidates[np.argmin(places)])


@agents.register("easy-to-hard")
class EasyToHard(Paced):
    """Topics of low initial loss first, as in curriculum learning (Bengio et al. 2009); see `Paced`."""

    sign = 1.0


@agents.register("hard-to-easy")
class HardToEasy(Paced):
    """Topics of high initial loss first; see `Paced`."""

    sign = -1.0
