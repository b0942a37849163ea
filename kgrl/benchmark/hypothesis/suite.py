"""The suite: all measurements on some corpora with some learners, and the figures of what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from kgrl.benchmark.hypothesis.effects import by_distance, pair_differences, transfer_findings
from kgrl.benchmark.hypothesis.findings import Finding, with_holm
from kgrl.benchmark.hypothesis.order import AGENTS, compare_orders, order_findings
from kgrl.benchmark.hypothesis.places import PreparedCorpus
from kgrl.benchmark.hypothesis.plan import Plan, Planner, balance
from kgrl.benchmark.hypothesis.recall import follow, recall_findings
from kgrl.benchmark.hypothesis.store import MeasurementFolder, Row
from kgrl.benchmark.hypothesis.transfer import LESSON_TOKENS, STATES, chosen, measure_topics, prepare
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.errors import UnknownNameError
from kgrl.learners.make import learners

__all__ = ["QUESTIONS", "Suite"]

QUESTIONS = ("transfer", "order", "recall")

Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class Suite:
    """What is asked, of whom, and where the answers are kept.

    Args:
        corpora: Corpora by name.
        learners: Learners by name.
        questions: Some of `QUESTIONS`.
        topics: Topics that are learned on forks, for `transfer`.
        seeds: Seeds, for `order` and `recall`.
        folder: Keeps what was measured.

    Raises:
        UnknownNameError: If there is no such question or learner.
    """

    corpora: tuple[str, ...]
    learners: tuple[str, ...]
    questions: tuple[str, ...]
    topics: int
    seeds: int
    folder: Path

    def __post_init__(self) -> None:
        for question in self.questions:
            if question not in QUESTIONS:
                raise UnknownNameError("question", question, QUESTIONS)
        for name in self.learners:
            learners[name]

    @cached_property
    def store(self) -> MeasurementFolder:
        """What is measured."""
        return MeasurementFolder(self.folder)

    @cached_property
    def _loaded(self) -> dict[str, _Loaded]:
        return {}

    def _at(self, corpus: str) -> _Loaded:
        """A corpus and what is made of it, from the first time it is needed: embedding a large one takes long.

        Raises:
            DataError: If the folder is of another version of kgrl, or of another corpus of that name.
        """
        if corpus not in self._loaded:
            place = PreparedCorpus.load(corpus)
            self.store.check(corpus, place.corpus.fingerprint)
            self._loaded[corpus] = _Loaded(place, self.topics)
        return self._loaded[corpus]

    @property
    def size(self) -> int:
        """How many measurements there are to take."""
        each = {"transfer": len(STATES) * self.topics, "order": len(AGENTS) * self.seeds, "recall": self.seeds}
        return len(self.corpora) * len(self.learners) * sum(each[question] for question in self.questions)

    def run(self, advance: Advance) -> None:
        """Take the measurements that are not there.

        Args:
            advance: Is told how many are there, and what was measured last.
        """
        asked = {"transfer": self._transfer, "order": self._order, "recall": self._recall}
        done = 0
        for question in self.questions:
            for corpus in self.corpora:
                for learner in self.learners:
                    for _ in asked[question](corpus, learner):
                        done += 1
                        advance(done, f"{question} {corpus} {learner}")

    def _transfer(self, corpus: str, name: str) -> Iterator[Row]:
        at = self._at(corpus)
        planned = [plan for plan in at.plans if plan.measured]
        for state in STATES:
            under = _under("transfer", corpus, name, state)
            learner = make_float32_learner(name, at.place.corpus, seed=0)
            if any(not (self.folder / under / f"{plan.topic}.json").exists() for plan in planned):
                prepare(learner, name, state, at.planner)
            yield from measure_topics(at.place.corpus, learner, planned, self.store, under)

    def _order(self, corpus: str, name: str) -> Iterator[Row]:
        place = self._at(corpus).place
        for seed in range(self.seeds):
            for agent in AGENTS:
                key = f"{_under('order', corpus, name)}/{agent}-{seed}"
                yield self.store.once(key, partial(compare_orders, place, name, agent, seed))

    def _recall(self, corpus: str, name: str) -> Iterator[Row]:
        place = self._at(corpus).place
        for seed in range(self.seeds):
            key = f"{_under('recall', corpus, name)}/{seed}"
            yield self.store.once(key, partial(follow, place, name, seed))

    def figures(self) -> dict[str, Any]:
        """Return the findings on what is measured so far, tables by distance and the balance of the matching.

        A picture of the effect by distance, `hypothesis.png`, is drawn beside the measurements.
        """
        found, tables = [], {}
        for corpus in self.corpora:
            for name in self.learners:
                for state in STATES:
                    rows = self.store.rows(_under("transfer", corpus, name, state))
                    if len(rows) > 1:
                        found += transfer_findings(rows, corpus, f"{name}, {state}")
                        tables[f"{corpus}, {name}, {state}"] = _table(rows)
                found += order_findings(self.store.rows(_under("order", corpus, name)), corpus, name)
                found += self._recalled(corpus, name)
        if tables:
            from kgrl.benchmark.hypothesis.picture import draw_distances

            draw_distances(self.folder / "hypothesis.png", {name: t["by_distance"] for name, t in tables.items()})
        return {
            "suite": "hypothesis",
            "lesson_tokens": LESSON_TOKENS,
            "findings": [finding.figures() for finding in with_holm(found)] if found else [],
            "transfer": tables,
            "matching": {
                name: balance(self._at(name).plans) for name in dict.fromkeys(t.split(",")[0] for t in tables)
            },
        }

    def _recalled(self, corpus: str, name: str) -> list[Finding]:
        rows = self.store.rows(_under("recall", corpus, name))
        return recall_findings(rows, self._at(corpus).planner, corpus, name) if rows else []


class _Loaded:
    """A corpus, and what is planned on it."""

    def __init__(self, place: PreparedCorpus, topics: int) -> None:
        self.place, self._topics = place, topics
        self.planner = Planner(place.corpus, place.embeddings)

    @cached_property
    def plans(self) -> list[Plan]:
        return chosen(self.planner, self._topics)


def _table(rows: Sequence[Row]) -> dict[str, Any]:
    """What findings leave out: drops by distance, and the effect as a share of the learned topic's own drop."""
    own = float(np.mean([row["own"]["before"] - row["own"]["after"] for row in rows]))
    gaps = pair_differences(rows)
    return {
        "topics": len(rows),
        "loss_before": float(np.mean([m["before"] for row in rows for m in row["measured"]])),
        "own_drop": own,
        "share_of_own_drop": float(gaps.mean()) / own if own else None,
        "by_distance": by_distance(rows),
    }


def _under(question: str, corpus: str, learner: str, *more: str) -> str:
    """Where measurements are in the folder; corpora may be paths or have colons."""
    from urllib.parse import quote

    return "/".join(quote(part, safe="") for part in (question, corpus, learner, *more))
