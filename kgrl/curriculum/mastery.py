"""Mastery: the criterion by which a topic is solid."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kgrl.errors import SettingError

__all__ = ["Mastery"]

_KEPT = 0.5
"""Share of the level below which a solid topic counts as forgotten: less than 1, so that noise does not undo it."""
_LEVELS = {"gap": 0.5, "recall": 0.5}
"""The measures of knowledge and their usual levels: nats per token, and a share."""


@dataclass(frozen=True)
class Mastery:
    """The criterion by which a topic is solid.

    Args:
        measure: `"read"`: a topic is solid once it was read; `"gap"`: once its gap is large enough, or `"recall"`: once
            the share of its links that are known is (`kgrl.curriculum.knowledge.Knowledge` has both).
        level: The least gap, in nats per token, or the least share. A topic that falls below half of it is not solid
            any more.

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
                f"mastery must be read, gap or recall, or one of these with a level: gap:LEVEL in nats per token, "
                f"recall:LEVEL as a share of links; not {text!r}"
            )
        try:
            number = float(level) if level else _LEVELS[measure]
        except ValueError:
            number = 0.0
        if measure == "recall" and not 0 < number <= 1:
            raise SettingError(f"the level of mastery {text!r} must be a share of links, above 0 and at most 1")
        if not 0 < number < math.inf:
            raise SettingError(f"the level of mastery {text!r} must be a number above 0, in nats per token")
        return cls(measure, number)

    @property
    def by_reading(self) -> bool:
        """True if a topic is solid once it was read."""
        return self.measure == "read"

    def is_met(self, known: float, solid: bool) -> bool:
        """Return whether a topic is solid now.

        Args:
            known: How well it is known by the measure, NaN if that was not estimated.
            solid: Whether it was solid before.
        """
        return known >= (_KEPT * self.level if solid else self.level)
