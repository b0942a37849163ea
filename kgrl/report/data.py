"""What a report is about: the record of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgrl.curriculum.loop import Curriculum
from kgrl.expansion import Expansion
from kgrl.runs.run import RunResult

__all__ = ["RunData"]


@dataclass(frozen=True)
class RunData:
    """One run, as a report shows it.

    Args:
        agent: The agent's name.
        curve: The learning curve: (tokens, exam loss in nats per token), from before any training.
        expansions: The records, the nucleus first.
        nucleus: The topics the curriculum started from.
        goal: The goal's topics, or None where all topics count.
        summary: What `RunResult.summary()` returns; read are `exam_loss_before`, `exam_loss_after`, `aulc` and
            `seconds_by_phase`.
    """

    agent: str
    curve: Sequence[tuple[int, float]]
    expansions: Sequence[Expansion]
    nucleus: Iterable[int]
    goal: Iterable[int] | None
    summary: Mapping[str, Any]

    @classmethod
    def of(cls, agent: str, result: RunResult, curriculum: Curriculum) -> RunData:
        """Return the data of a run that was carried out.

        Args:
            agent: The agent's name.
            result: What came of it.
            curriculum: What was run.
        """
        goal = None if curriculum.goal is None else tuple(curriculum.goal.tolist())
        nucleus = tuple(curriculum.nucleus.tolist())
        return cls(agent, result.curve, result.expansions, nucleus, goal, result.summary())

    @property
    def probe_share(self) -> float:
        """Share of the loop's seconds (research, learn, probe) that went into probing."""
        phases = self.summary["seconds_by_phase"]
        total = sum(phases[phase] for phase in ("research", "learn", "probe"))
        return float(phases["probe"] / total) if total else 0.0
