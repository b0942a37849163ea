"""The measurements of an expansion that rewards read: probes and measures of the lesson."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from kgrl.expansion import Expansion, Measurement
from kgrl.rewards.base import RewardError

__all__ = ["measure_of", "probe_of"]

T = TypeVar("T")


def probe_of(expansion: Expansion, probe: str, reward: str) -> Measurement:
    """Return a probe of an expansion, for the reward of this name.

    Raises:
        RewardError: If it was not measured; the message lists the probes that were.
    """
    return _of(expansion.probes, probe, f"reward {reward!r} reads the probe {probe!r}", expansion)


def measure_of(expansion: Expansion, measure: str, reward: str) -> float:
    """Return a measure of an expansion, for the reward of this name.

    Raises:
        RewardError: If it was not taken; the message lists the measures that were.
    """
    return _of(expansion.measures, measure, f"reward {reward!r} reads the measure {measure!r}", expansion)


def _of(taken: Mapping[str, T], name: str, reads: str, expansion: Expansion) -> T:
    if name not in taken:
        measured = ", ".join(sorted(taken)) or "nothing"
        raise RewardError(f"{reads}, but expansion {expansion.index} measured {measured}")
    return taken[name]
