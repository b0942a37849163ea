"""Ask the simulated learner that remembers what reading from a smaller set first can gain at most.

    python benchmarks/set_schedules.py --json docs/results/set_schedules.json

A schedule reads uniformly from a random set of `topics` until a share `until` of the budget, then from all topics
(`then`), or from a set that grows linearly from that size to all topics (`growing`). Tokens are those after which a
share `level` of the facts is known; shuffled passes are the schedule whose set is everything from the start. No text
is read, so a schedule takes seconds; what it predicts has to be tested on a real learner (`benchmarks/knowledge.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.data import load_corpus
from kgrl.learners.simulated.memory import Memory
from kgrl.learners.simulated.memory_calibration import MemoryCalibration
from kgrl.learners.simulated.relatives import Relatives
from kgrl.system.files import write_json

_PASSAGES, _TOKENS = 75, 53
"""Passages of a lesson and tokens of a passage, as in the task `recall`."""
_SIZES = (0.1, 0.2, 0.3, 0.5)
_MOMENTS = (0.1, 0.2, 0.3, 0.4, 0.6)


@dataclass(frozen=True)
class SetSchedules:
    """Simulate schedules on worlds of some sizes.

    Args:
        json: File for the figures.
        worlds: Numbers of topics.
        level: Share of facts to reach.
        tokens_a_topic: Budget, in tokens for each topic.
    """

    json: Path
    worlds: tuple[int, ...] = (400, 800)
    level: float = 0.2
    tokens_a_topic: int = 2_500


def main(command: SetSchedules) -> None:
    rows = [row for n_topics in command.worlds for row in schedules(command, n_topics)]
    write_json(command.json, {"level": command.level, "rows": rows})
    for n_topics in command.worlds:
        own = [row for row in rows if row["world"] == n_topics and row["tokens"]]
        print(n_topics, own[0]["tokens"], min(own, key=lambda row: row["tokens"]))


def schedules(command: SetSchedules, n_topics: int) -> list[dict[str, Any]]:
    """Return a row for each schedule on a world, shuffled passes first."""
    relatives = Relatives.of(load_corpus(f"invented:{n_topics}"))
    settings = [("all", 1.0, 0.0), *((kind, s, m) for kind in ("then", "growing") for s in _SIZES for m in _MOMENTS)]
    return [
        {
            "world": n_topics,
            "schedule": kind,
            "topics": round(size * n_topics),
            "until": moment,
            "tokens": tokens_needed(command, relatives, kind, size, moment),
        }
        for kind, size, moment in settings
    ]


def tokens_needed(command: SetSchedules, relatives: Relatives, kind: str, size: float, moment: float) -> int | None:
    """Return the tokens until the level is reached, None if the budget does not suffice."""
    n = len(relatives.graph)
    budget, rng = command.tokens_a_topic * n, np.random.default_rng(0)
    memory, order, tokens = Memory(MemoryCalibration.builtin().parameters, n), rng.permutation(n), 0
    while tokens < budget:
        passed = min(1.0, tokens / (moment * budget)) if moment else 1.0
        share = size + (1 - size) * (passed if kind == "growing" else float(passed >= 1.0))
        own = lesson(rng, order[: round(share * n)], n)
        memory.study(own, own @ relatives.link_matrix, own @ relatives.similarity_matrix)
        tokens += int(own.sum())
        if memory.known.mean() >= command.level:
            return tokens
    return None


def lesson(rng: np.random.Generator, pool: np.ndarray, n: int) -> np.ndarray:
    """Return the tokens about each topic of a lesson that reads evenly from a set."""
    own, (rounds, left) = np.zeros(n), divmod(_PASSAGES, len(pool))
    own[pool] = rounds * _TOKENS
    own[rng.choice(pool, left, replace=False)] += _TOKENS
    return own


if __name__ == "__main__":
    main(tyro.cli(SetSchedules))
