"""The outcome of a run: its records, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kgrl.expansion import ExpansionList
from kgrl.probes.questions import Question
from kgrl.runs.metrics import Known, aulc, known
from kgrl.system.display import count_text

__all__ = ["RunResult"]


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run.

    Args:
        expansions: The records, the nucleus first.
        curve: Pairs of tokens and exam loss in nats per token, from before any training to the end.
        seconds: Wall-clock of the whole run, exams included, all sessions of a resumed run together.
        exam_seconds: The part of `seconds` spent on exams.
        budget: The token budget.
        recalled: Answers to questions, by the name of the questions: tokens and `Recalled.figures` at each exam.
        questions: The questions, by their name.
        recall_seconds: The part of `seconds` spent on questions.
        standing: The numbers of topics that are `read`, `solid` and `faded` at the end.
    """

    expansions: ExpansionList
    curve: tuple[tuple[int, float], ...]
    seconds: float
    exam_seconds: float
    budget: int
    recalled: Mapping[str, tuple[tuple[int, Mapping[str, Any]], ...]] = field(default_factory=dict)
    questions: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    recall_seconds: float = 0.0
    standing: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        steps = f"{count_text(len(self.expansions), 'expansion')}, {sum(e.tokens for e in self.expansions):,} tokens"
        loss = f"exam loss {self.curve[0][1]:.4g} to {self.curve[-1][1]:.4g}" if self.curve else "no exam"
        return f"RunResult({steps}, {loss}, {self.seconds:.1f} s)"

    def known(self, name: str) -> dict[str, Known]:
        """Return the figures of merit of the answers to the questions of a name, by group.

        Args:
            name: The name of the questions, a key of `recalled`.
        """
        points = self.recalled[name]
        return {
            group: known(
                [(tokens, figures["groups"][group]["share"]) for tokens, figures in points], self.budget, part["asked"]
            )
            for group, part in points[-1][1]["groups"].items()
        }

    def summary(self) -> dict[str, Any]:
        """Return the final figures, ready for JSON: losses before and after, area, tokens, counts, seconds."""
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
            "topics": len({topic for e in steps for topic in e.neighbourhood}),
            **self.standing,
            "seconds": self.seconds,
            "seconds_by_phase": {**phases, "exam": self.exam_seconds, **recall},
            "curve": [list(point) for point in self.curve],
            **{
                name: {
                    "before": dict(points[0][1]),
                    "after": dict(points[-1][1]),
                    "curve": [[tokens, figures["share"]] for tokens, figures in points],
                    "known": {group: asdict(found) for group, found in self.known(name).items()},
                }
                for name, points in self.recalled.items()
            },
        }
