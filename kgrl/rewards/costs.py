"""Costs and penalties of an expansion: tokens, time, operations, and text that does not fit its links.

Costs are positive; subtract them from a gain. Penalties are negative; add them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import SettingError
from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.graph.relations import coherence
from kgrl.rewards.base import Reward, RewardContext, RewardError
from kgrl.rewards.measured import measure_of
from kgrl.rewards.registry import rewards

__all__ = ["FlopCost", "IncoherencePenalty", "TimeCost", "TokenCost"]


@rewards.register("token-cost")
class TokenCost(Reward):
    """Tokens trained on in the expansion.

    Unit: tokens. Range: positive. Source: the record of the expansion. Needs: nothing.

    Example:
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
        >>> TokenCost()(step)
        50.0
    """

    name = "token-cost"

    def score(self, expansion: Expansion) -> float:
        """Return the tokens trained on."""
        return float(expansion.tokens)

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64]:
        """Return the tokens of many curricula, `[n]`."""
        return expansions.tokens.astype(np.float64)


@rewards.register("time-cost")
class TimeCost(Reward):
    """Wall-clock of the expansion, probing and retrieval included.

    No two runs take the same time, so agents that learn from this reward do not repeat exactly.
    Unit: seconds. Range: positive. Source: the record of the expansion. Needs: nothing.

    Example:
        >>> times = {"research": 0.25, "learn": 2.0}
        >>> TimeCost()(Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, seconds=times))
        2.25
    """

    name = "time-cost"

    def score(self, expansion: Expansion) -> float:
        """Return the seconds of all phases together."""
        return float(sum(expansion.seconds.values()))


@rewards.register("flop-cost")
class FlopCost(Reward):
    """Floating-point operations of the lesson, 6 for each token and parameter.

    All parameters are counted. Where a frozen base model needs no gradients of its weights, the figure is too high by
    up to a half. Unit: operations. Range: positive. Source: Kaplan et al. 2020. Needs: `"flops"`.
    """

    name = "flop-cost"
    needs = frozenset({"flops"})

    def score(self, expansion: Expansion) -> float:
        """Return the operations."""
        return measure_of(expansion, "flops", self.name)


@rewards.register("incoherence-penalty")
class IncoherencePenalty(Reward):
    """Incoherence penalty: -max(0, least - c(v)), the mean over the topics added; c(v) is their `coherence`.

    Topics whose text resembles the text of the topics linked with them cost nothing. Text that was put there by
    mistake, by a machine or on purpose costs up to `least` and a little more. The penalty depends on graph and
    embeddings alone, not on the learner. It does not detect nonsense that is linked with nonsense of its own kind.
    Unit: cosine. Range: about -1 to 0. Source: this project, after the null model of Newman 2006.
    Needs: the graph, embeddings.

    Args:
        least: The coherence from which on nothing is lost.

    Raises:
        SettingError: If `least` is not between 0 and 1.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["Cat", "Dog", "Sum", "Product"], [0, 2], [1, 3])
        >>> embeddings = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32)  # Product has the text of Cat
        >>> penalty = IncoherencePenalty(least=0.2)
        >>> penalty
        incoherence-penalty(least=0.2)
        >>> penalty.bind(RewardContext(graph, embeddings))
        >>> round(penalty(Expansion(1, 3, "Product", (3,), (70,), 50, 50, 100, 3.2)), 6)  # c = 0 - 3/4
        -0.95
    """

    name = "incoherence-penalty"
    needs = frozenset({"graph", "embeddings"})
    _costs: NDArray[np.float64] | None = None

    def __init__(self, least: float = 0.1) -> None:
        if not 0 < least <= 1:
            raise SettingError(f"incoherence-penalty: least is a difference of cosines in (0, 1], not {least}")
        self.least = least

    def bind(self, context: RewardContext) -> None:
        """Compute the penalty of every topic."""
        self._costs = np.maximum(0.0, self.least - coherence(context.graph, context.embeddings))

    def score(self, expansion: Expansion) -> float:
        """Return the mean penalty of the expansion's topics."""
        return -float(self._bound()[list(expansion.neighbourhood)].mean())

    def scores(self, expansions: ExpansionBatch) -> NDArray[np.float64]:
        """Return the mean penalties of many curricula, `[n]`."""
        present = expansions.topics >= 0  # [n, most topics]; rows are padded with -1
        total: NDArray[np.float64] = np.where(present, self._bound()[expansions.topics], 0.0).sum(axis=1)
        mean: NDArray[np.float64] = -total / present.sum(axis=1)
        return mean

    def _bound(self) -> NDArray[np.float64]:
        if self._costs is None:
            raise RewardError(f"reward {self.name!r} reads embeddings and graph: call bind(context) first")
        return self._costs
