"""An exponential average of trained weights, to measure with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kgrl.errors import SettingError

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential average of the weights after each update; an update counts for as much as it has tokens.

    It is the temporal average of Adam, corrected for having begun at zero (Kingma and Ba 2015, section 7.2): with the
    decay rate b_i = exp(-n_i / tokens) for an update on n_i tokens, m_i = b_i m_(i-1) + (1 - b_i) w_i, divided by
    1 - b_1 ... b_i. So neither the size of blocks nor the initial weights matter, and the average begins with the
    weights after the first update.

    Args:
        weights: The weights before any update, `[trained weights]`.
        tokens: The tokens after which an update's share in the average has fallen to 1/e.

    Attributes:
        vector: The average, float32 `[trained weights]`; before any update the weights themselves.

    Raises:
        SettingError: If `tokens` is less than 1.

    Example:
        >>> average = WeightAverage(torch.zeros(1), tokens=100)
        >>> average.update(torch.tensor([1.0]), tokens=50, total=50)
        >>> average.update(torch.tensor([2.0]), tokens=50, total=100)
        >>> average.vector  # (.607 x 1 + 2) / 1.607
        tensor([1.6225])
    """

    def __init__(self, weights: Tensor, tokens: int) -> None:
        if tokens < 1:
            raise SettingError(f"average_tokens must be at least 1, not {tokens}")
        self.tokens = tokens
        self.vector = weights.detach().clone()

    @torch.no_grad()
    def update(self, weights: Tensor, tokens: int, total: int) -> None:
        """Add the weights after an update.

        Args:
            weights: The weights, `[trained weights]`.
            tokens: Tokens of the update.
            total: Tokens of all updates so far, this one included.
        """
        # The corrected average of before has the weight (1 - exp(-total / tokens)) - (1 - exp(-n / tokens)) in the new
        # one's numerator: only that one has to be kept.
        self.vector.lerp_(weights.detach(), math.expm1(-tokens / self.tokens) / math.expm1(-total / self.tokens))
