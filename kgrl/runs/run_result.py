"""What came of a run: its records and its curve, and the figures that a report starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kgrl.expansion import Expansion
from kgrl.runs.metrics import aulc

__all__ = ["RunResult"]


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Args:
        expansions: The records, the nucleus first.
        curve: (tokens, exam loss in nats per token), from before any training to the end.
        seconds: Wall-clock of the whole run, exam included, all sittings of a resumed run together.
        exam_seconds: The part of it spent on the exam.
        budget: The token budget.
        recalled: What was recalled, by the name of the questions: tokens and `Recalled.figures` at each exam.
        recall_seconds: The part of `seconds` spent on those questions.
    """

    expansions: tuple[Expansion, ...]
    curve: tuple[tuple[int, float], ...]
    seconds: float
    exam_seconds: float
    budget: int
    recalled: Mapping[str, tuple[tuple[int, Mapping[str, Any]], ...]] = field(default_factory=dict)
    recall_seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures a report starts with, ready for JSON."""
        steps = self.expansions
        phases = {phase: sum(e.seconds.get(phase, 0.0) for e in steps) for phase in ("research", "learn", "probe")}
        recall = {"recall": self.recall_seconds} if self.recalled else {}
        return {
            "exam_loss_before": self.curve[0][1],
            "exam_loss_after": self.curve[-1][1],
            "aulc": aulc(self.curve, self.budget),
            "tokens": steps[-1].tokens_total,
            "probe_tokens": sum(e.probe_tokens for e in steps),
            "expansions": len(steps),
            "topics": sum(len(e.neighbourhood) for e in steps),
            "seconds": self.seconds,
            "seconds_by_phase": {**phases, "exam": self.exam_seconds, **recall},
            "curve": [list(point) for point in self.curve],
            **{name: _before_and_after(points) for name, points in self.recalled.items()},
        }


def _before_and_after(points: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """What was recalled before any training and at the end, with (tokens, share) in between."""
    curve = [[tokens, figures["share"]] for tokens, figures in points]
    return {"before": dict(points[0][1]), "after": dict(points[-1][1]), "curve": curve}
