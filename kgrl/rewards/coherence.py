"""Coherence: whether what a topic's text says fits what it is linked with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.graph.relations import coherence
from kgrl.rewards.base import Reward, RewardContext, RewardError
from kgrl.rewards.registry import rewards

__all__ = ["IncoherencePenalty"]


@rewards.register("incoherence-penalty")
class IncoherencePenalty(Reward):
    """Incoherence penalty: -max(0, least - c(v)), the mean over the topics added; c(v) is their `coherence`.

    Topics whose text is like that of what links to them cost nothing; text that was put there by mistake, by machine or
    by malice costs up to `least` and a little more. Measured before anything is learned, it does not depend on the
    learner. It is blind to nonsense that is linked with its own kind.
    Unit: cosine. Range: about -1 to 0. Source: this project, after the null model of Newman 2006.
    Needs: the graph, embeddings.

    Args:
        least: The coherence from which on nothing is lost.

    Raises:
        SettingError: If `least` is not between 0 and 1.
    """

    name = "incoherence-penalty"
    needs = frozenset({"graph", "embeddings"})
    _costs: NDArray[np.float64] | None = None

    def __init__(self, least: float = 0.1) -> None:
        if not 0 < least <= 1:
            raise SettingError(f"incoherence-penalty: least is a difference of cosines in (0, 1], not {least}")
        self.least = least

    def bind(self, context: RewardContext) -> None:
        """Look up the coherence of all topics."""
        self._costs = np.maximum(0.0, self.least - coherence(context.graph, context.embeddings))

    def score(self, expansion: Expansion) -> float:
        """Return the mean over the expansion's topics."""
        return -float(self._bound()[list(expansion.neighbourhood)].mean())

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64]:
        """Return the same for many curricula."""
        there = expansions.topics >= 0
        total: NDArray[np.float64] = np.where(there, self._bound()[expansions.topics], 0.0).sum(axis=1)
        mean: NDArray[np.float64] = -total / there.sum(axis=1)
        return mean

    def _bound(self) -> NDArray[np.float64]:
        if self._costs is None:
            raise RewardError(f"reward {self.name!r} reads embeddings and graph: call bind(context) first")
        return self._costs
