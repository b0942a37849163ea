"""Curricula that follow an order fixed beforehand, or the categories: what the older literature calls a curriculum."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents
from kgrl.agents.baselines.frontier import SampledAgent
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["DepthFirst", "EasyToHard", "HardToEasy", "LeastLoss", "Paced", "Stratified"]

Pacing = Literal["linear", "logarithmic"]
_LEAST_OPEN = 0.1
"""Pacing begins with so large a share of the topics, as nothing could be chosen among none."""


@agents.register("dfs")
class DepthFirst(BaseAgent):
    """The frontier topic discovered last; of those discovered together, the one with the highest number."""

    def choose(self, view: View) -> int:
        """Return the candidate that was discovered last."""
        return int(view.candidates[-1])


@agents.register("least-loss")
class LeastLoss(SampledAgent):
    """The candidate on which the learner's probe loss is smallest now; see `GreedyLoss`, its opposite.

    Args:
        sample: Most candidates measured at a step, drawn uniformly.
    """

    def __init__(self, sample: int = 16) -> None:
        super().__init__(sample)

    def judge(self, view: View, topics: IntArray) -> NDArray[np.floating]:
        """Return the probe losses in nats per token, negated."""
        return -view.measure(topics)


@agents.register("stratified")
class Stratified(BaseAgent):
    """Equal tokens for every category: a candidate of the category that has had fewest, drawn uniformly.

    An expansion's tokens are booked in equal parts on the topics that it learned. Where several categories have had as
    few, one of them is drawn.
    """

    def reset(self, view: View) -> None:
        """Book the nucleus, a share each; its tokens are `view.tokens`."""
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
    """Opens topics in the order of the untrained learner's loss, at a pace, and draws uniformly from what is open.

    Topics are sorted by l_v(theta_0). At the share t of the token budget spent, the first share g(t) of them is open:
    `linear` g(t) = g_0 + (1 - g_0) t, `logarithmic` g(t) = g_0 + (1 - g_0) log(1 + (e - 1) t), after Wu, Dyer and
    Neyshabur 2021 ("When do curricula work?"). Where the frontier holds nothing that is open, the candidate next in the
    order is taken.

    l_v(theta_0) is measured on a sample, and booked as probing. Topics outside the sample are placed by the loss of the
    measured topic whose embedding is closest.

    Args:
        pacing: How fast topics are opened.
        sample: Topics measured.

    Raises:
        ValueError: If `sample` is below 1 or the pacing is not known.
    """

    sign: float
    """1 for the lowest loss first, -1 for the highest."""

    def __init__(self, pacing: Pacing = "linear", sample: int = 256) -> None:
        if sample < 1 or pacing not in ("linear", "logarithmic"):
            raise ValueError(f"sample must be at least 1 and pacing linear or logarithmic, not {sample} and {pacing!r}")
        self.pacing, self.sample = pacing, sample

    def reset(self, view: View) -> None:
        """Measure, and order all topics."""
        eligible = np.flatnonzero(view.trainable)
        # Drawn apart from the curriculum's generator, so that a resumed run has the same order without drawing again.
        rng = np.random.default_rng(len(eligible))
        measured = np.sort(rng.permutation(eligible)[: self.sample]).astype(np.int32)
        losses = view.measure_initial(measured)
        known = np.isfinite(losses)
        # Without a probe passage anywhere all are alike, and the order is the topics'.
        self._place = np.arange(len(view.graph)) / len(view.graph)
        if known.any():
            nearest = np.argmax(view.embeddings @ view.embeddings[measured[known]].T, axis=1)
            order = np.argsort(self.sign * losses[known][nearest], kind="stable")
            self._place[order] = np.arange(len(order)) / len(order)

    def open_share(self, spent: float) -> float:
        """Return g(t), the share of topics that is open.

        Args:
            spent: Share t of the token budget that is spent.

        Example:
            >>> EasyToHard().open_share(0.0), EasyToHard("logarithmic").open_share(1.0)
            (0.1, 1.0)
        """
        grown = spent if self.pacing == "linear" else math.log1p((math.e - 1) * spent)
        return min(1.0, _LEAST_OPEN + (1 - _LEAST_OPEN) * grown)

    def choose(self, view: View) -> int:
        """Return a candidate that is open, drawn uniformly, or the one that opens next."""
        candidates = view.candidates
        places = self._place[candidates]
        is_open = places < self.open_share(view.tokens / view.budget)
        if is_open.any():
            return int(view.rng.choice(candidates[is_open]))
        return int(candidates[np.argmin(places)])


@agents.register("easy-to-hard")
class EasyToHard(Paced):
    """Topics that the learner finds easy first (Bengio et al. 2009); see `Paced`."""

    sign = 1.0


@agents.register("hard-to-easy")
class HardToEasy(Paced):
    """Topics that the learner finds hard first; see `Paced`."""

    sign = -1.0
