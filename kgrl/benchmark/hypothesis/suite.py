"""The suite: takes all measurements on some corpora with some learners, and computes the figures of those taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from kgrl.benchmark.hypothesis.findings import Finding, with_holm
from kgrl.benchmark.hypothesis.measuring import MeasurementFolder, PreparedCorpus, Row
from kgrl.benchmark.hypothesis.order import AGENTS, compare_orders, order_findings
from kgrl.benchmark.hypothesis.plan import Plan, Planner, balance
from kgrl.benchmark.hypothesis.recall import follow, recall_findings
from kgrl.benchmark.hypothesis.transfer import (
    LESSON_TOKENS,
    STATES,
    by_distance,
    chosen,
    draw_distances,
    measure_topics,
    pair_differences,
    prepare,
    transfer_findings,
)
from kgrl.benchmark.tasks import make_float32_learner
from kgrl.errors import UnknownNameError
from kgrl.learners.make import learners
from kgrl.retrieval.encoder import DEFAULT_ENCODER, Encoder
from kgrl.system.options import split_options

__all__ = ["QUESTIONS", "Suite"]

QUESTIONS = ("transfer", "order", "recall")

Advance = Callable[[int, str], None]


@dataclass(frozen=True)
class Suite:
    """A run of the suite: the questions, the corpora and learners they are asked of, and the folder of the answers.

    Args:
        corpora: Corpora by name.
        learners: Learners by name.
        questions: Some of `QUESTIONS`.
        topics: Number of topics that are learned on forks, for `transfer`.
        seeds: Number of seeds, for `order` and `recall`.
        folder: Folder of the measurements.
        encoder: The sentence encoder by name.

    Raises:
        UnknownNameError: If a question or a learner is not known.
    """

    corpora: tuple[str, ...]
    learners: tuple[str, ...]
    questions: tuple[str, ...]
    topics: int
    seeds: int
    folder: Path
    encoder: str = DEFAULT_ENCODER

    def __post_init__(self) -> None:
        for question in self.questions:
            if question not in QUESTIONS:
                raise UnknownNameError("question", question, QUESTIONS)
        for name in self.learners:
            learners[split_options(name)[0]]  # raises for an unknown name

    @cached_property
    def store(self) -> MeasurementFolder:
        """The measurements."""
        return MeasurementFolder(self.folder)

    @cached_property
    def _loaded(self) -> dict[str, _Loaded]:
        return {}

    def _at(self, corpus: str) -> _Loaded:
        """Return a corpus with its plans, made when it is first needed: embedding a large one takes long.

        Raises:
            DataError: If the folder is of another version of kgrl, or of another corpus of that name.
        """
        if corpus not in self._loaded:
            encoder = Encoder(self.encoder)
            place = PreparedCorpus.load(corpus, encoder)
            self.store.check(corpus, place.corpus.fingerprint, encoder.fingerprint)
            self._loaded[corpus] = _Loaded(place, self.topics)
        return self._loaded[corpus]

    @property
    def size(self) -> int:
        """The number of measurements, taken or not."""
        each = {"transfer": len(STATES) * self.topics, "order": len(AGENTS) * self.seeds, "recall": self.seeds}
        return len(self.corpora) * len(self.learners) * sum(each[question] for question in self.questions)

    def run(self, advance: Advance) -> None:
        """Take the measurements that the folder does not hold.

        Args:
            advance: Called with the number of measurements so far and the name of the last one.
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
            # Bringing the learner to its state takes longer than many measurements, so only where one is missing.
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
        """Return the findings on the measurements so far, tables by distance and the balance of the matching.

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
            draw_distances(self.folder / "hypothesis.png", {name: t["by_distance"] for name, t in tables.items()})
        return {
            "suite": "hypothesis",
            "lesson_tokens": LESSON_TOKENS,
            # Corrected all together: every finding of the report is one more chance to exclude 0.
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
    """A corpus and the plans on it."""

    def __init__(self, place: PreparedCorpus, topics: int) -> None:
        self.place, self._topics = place, topics
        self.planner = Planner(place.corpus, place.embeddings)

    @cached_property
    def plans(self) -> list[Plan]:
        """The plans around the topics that are learned."""
        return chosen(self.planner, self._topics)


def _table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures beside the findings: drops by distance, and the effect as a share of the own drop."""
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
    """Return the subfolder of measurements; names of corpora may be paths or have colons, hence the quoting."""
    return "/".join(quote(part, safe="") for part in (question, corpus, learner, *more))
