"""Schedules of the learning rate, over the tokens trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from kgrl.errors import SettingError, UnknownNameError

__all__ = ["RateSchedule", "ScheduleName"]

ScheduleName = Literal["constant", "wsd", "cosine"]
"""Schedules by name; `"wsd"` is warm-up, stable, decay."""

_DECAY = 0.2
"""The share of all tokens over which `"wsd"` decays: more gains nothing (Hägele et al. 2024)."""


@dataclass(frozen=True)
class RateSchedule:
    """The learning rate as a share of its highest value, by the tokens trained on.

    With `"constant"` it never changes, so that it does not depend on the budget. With `"wsd"` it is constant, and falls
    linearly over the last fifth (Hu et al. 2024, "MiniCPM"; Hägele et al. 2024, arXiv 2405.18392). With `"cosine"` it
    falls from the first token on, as (1 + cos(pi t)) / 2 with t the share of the tokens (Loshchilov and Hutter 2017,
    equation 5). Both end at zero, which is better than to end at a tenth (Bergsma et al. 2025, arXiv 2502.15938); from
    there on nothing is learned. A warm-up is the learner's own, and by updates, since it is for the optimizer's
    averages to fill.

    Args:
        name: `"constant"`, `"wsd"` or `"cosine"`.
        tokens: Tokens that are trained on in total; a constant schedule does not need them.

    Raises:
        UnknownNameError: If there is no such schedule.
        SettingError: If a schedule that decays is not told the tokens, or they are less than 1.

    Example:
        >>> [round(RateSchedule("wsd", tokens=1000).share(at), 2) for at in (0, 800, 900, 1000)]
        [1.0, 1.0, 0.5, 0.0]
        >>> [round(RateSchedule("cosine", tokens=1000).share(at), 2) for at in (0, 500, 1000)]
        [1.0, 0.5, 0.0]
    """

    name: ScheduleName = "constant"
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(ScheduleName):
            raise UnknownNameError("schedule", self.name, get_args(ScheduleName))
        if self.tokens is None and self.name != "constant":
            raise SettingError(
                f"the schedule {self.name!r} decays to the end of training, so it has to know where that is: "
                "give the learner schedule_tokens, the tokens of its whole budget"
            )
        if self.tokens is not None and self.tokens < 1:
            raise SettingError(f"schedule_tokens must be at least 1, not {self.tokens}")

    def share(self, trained: float) -> float:
        """Return the share of the highest rate, from 0 to 1, after so many tokens trained on."""
        if self.name == "constant" or self.tokens is None:
            return 1.0
        done = min(1.0, trained / self.tokens)
        return min(1.0, (1 - done) / _DECAY) if self.name == "wsd" else (1 + math.cos(math.pi * done)) / 2
