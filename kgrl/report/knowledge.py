"""Knowledge of a run, for its report: numbers of topics over tokens, and what happened to each topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.standing import Standing, StandingChange, StandingPoint
from kgrl.expansion import Expansion
from kgrl.system.display import count_text

__all__ = ["RunKnowledge"]


@dataclass(frozen=True)
class RunKnowledge:
    """Topics that a run read and knew, where they have to be known to be solid.

    Args:
        points: Numbers of topics that are read, solid and faded, after each expansion.
        first_read: The topics that each expansion read for the first time.
        histories: What happened to each topic that was read, as text.
        solid: The topics that are solid at the end.
        faded: The topics that were solid and are not at the end.
    """

    points: Sequence[StandingPoint]
    first_read: Sequence[Sequence[int]]
    histories: Mapping[int, str]
    solid: frozenset[int]
    faded: frozenset[int]

    @classmethod
    def of(cls, curriculum: Curriculum, expansions: Sequence[Expansion]) -> RunKnowledge | None:
        """Replay the records of a run; None if what was read counts as known.

        Args:
            curriculum: The curriculum that was run.
            expansions: Its records, the nucleus first.
        """
        mastery, corpus = curriculum.state.mastery, curriculum.corpus
        if mastery.by_reading:
            return None
        nucleus, available = curriculum.nucleus.tolist(), curriculum.state.trainable
        standing = Standing(corpus.graph, corpus.topics, mastery, nucleus, available)
        changes, points = list[StandingChange](), list[StandingPoint]()
        for expansion in expansions:
            changes.append(standing.replay(expansion))
            points.append(standing.point(expansion.tokens_total))
        times = {topic: int(standing.knowledge.exposures[topic]) for change in changes for topic in change.read}
        told = {
            t: f"{', '.join(events)}, read {count_text(times[t], 'time')}" for t, events in _events(changes).items()
        }
        solid = frozenset(standing.frontier.solid.tolist())
        faded = frozenset(np.flatnonzero(standing.was_solid).tolist()) - solid
        return cls(points, [change.first for change in changes], told, solid, faded)


def _events(changes: Sequence[StandingChange]) -> dict[int, list[str]]:
    """The changes of each topic that was read, as text."""
    events: dict[int, list[str]] = {}
    for step, change in enumerate(changes):
        for topics, what in (
            (change.first, "read first at"),
            (change.solid, "solid since"),
            (change.faded, "faded at"),
        ):
            for topic in topics:
                events.setdefault(topic, []).append(f"{what} step {step}")
    return events
