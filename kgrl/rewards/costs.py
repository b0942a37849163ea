"""What an expansion cost; subtract these from a gain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.expansion import Expansion, Expansions
from kgrl.rewards.base import Reward, rewards

__all__ = ["TimeCost", "TokenCost"]


@rewards.register("token-cost")
class TokenCost(Reward):
    """Tokens trained on in the expansion. Unit: tokens. Range: positive.

    Example:
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2)
        >>> TokenCost()(step)
        50.0
    """

    name = "token-cost"

    def score(self, expansion: Expansion) -> float:
        """Return the tokens trained on."""
        return float(expansion.tokens)

    def scores(self, expansions: Expansions) -> NDArray[np.float64]:
        """Return the same for many curricula."""
        return expansions.tokens.astype(np.float64)


@rewards.register("time-cost")
class TimeCost(Reward):
    """Wall-clock of the expansion, probing and retrieval included. Unit: seconds. Range: positive."""

    name = "time-cost"

    def score(self, expansion: Expansion) -> float:
        """Return the seconds of all phases together."""
        return float(sum(expansion.seconds.values()))
