"""What an expansion cost; subtract these from a gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion, ExpansionBatch
from kgrl.rewards.base import Reward, measure_of
from kgrl.rewards.registry import rewards

__all__ = ["FlopCost", "TimeCost", "TokenCost"]


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
        """Return the same for many curricula."""
        return expansions.tokens.astype(np.float64)


@rewards.register("time-cost")
class TimeCost(Reward):
    """Wall-clock of the expansion, probing and retrieval included.

    No two runs take the same time, so that agents which learn from this reward do not repeat exactly.
    Unit: seconds. Range: positive. Source: the record of the expansion. Needs: nothing.
    """

    name = "time-cost"

    def score(self, expansion: Expansion) -> float:
        """Return the seconds of all phases together."""
        return float(sum(expansion.seconds.values()))


@rewards.register("flop-cost")
class FlopCost(Reward):
    """Floating-point operations of the lesson, 6 for each token and parameter.

    It counts all parameters, so that it is high by up to a half where a frozen base model needs no gradients of its
    weights. Unit: operations. Range: positive. Source: Kaplan et al. 2020. Needs: `"flops"`.
    """

    name = "flop-cost"
    needs = frozenset({"flops"})

    def score(self, expansion: Expansion) -> float:
        """Return the operations."""
        return measure_of(expansion, "flops", self.name)
