"""Mastery: the criterion by which a topic is solid."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kgrl.errors import SettingError

__all__ = ["Mastery"]

_KEPT = 0.5
"""Share of the level below which a solid topic counts as forgotten: less than 1, so that noise does not undo it."""
_LEVELS = {"gap": 0.5}
"""The measures of knowledge and their usual levels, in nats per token."""


@dataclass(frozen=True)
class Mastery:
    """The criterion by which a topic is solid.

    Args:
        measure: `"read"`: a topic is solid once it was read; or `"gap"`: once its gap is large enough
            (`kgrl.curriculum.knowledge.Knowledge`).
        level: The least gap, in nats per token. A topic whose gap falls below half of it is not solid any more.

    Example:
        >>> Mastery.of("gap"), Mastery.of("gap:1.5").level
        (Mastery(measure='gap', level=0.5), 1.5)
    """

    measure: str
    level: float

    @classmethod
    def of(cls, text: str) -> Mastery:
        """Read a criterion from its text form: a measure, and a level after a colon.

        Raises:
            SettingError: If the measure is not known, or the level is not a number above 0.
        """
        measure, _, level = text.partition(":")
        if text == "read":
            return cls("read", 0.0)
        if measure not in _LEVELS:
            raise SettingError(
                f"mastery must be read or gap, or gap:LEVEL with a level in nats per token, not {text!r}"
            )
        try:
            number = float(level) if level else _LEVELS[measure]
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise SettingError(f"the level of mastery {text!r} must be a number above 0, in nats per token")
        return cls(measure, number)

    @property
    def by_reading(self) -> bool:
        """True if a topic is solid once it was read."""
        return self.measure == "read"

    def is_met(self, gap: float, solid: bool) -> bool:
        """Return whether a topic is solid now.

        Args:
            gap: Its gap, NaN if it was not estimated.
            solid: Whether it was solid before.
        """
        return gap >= (_KEPT * self.level if solid else self.level)
