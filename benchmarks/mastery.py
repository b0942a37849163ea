"""Measure how well two estimates of knowledge agree, and which of them predicts the facts that an exam asks for.

    python benchmarks/mastery.py --json docs/results/mastery.json

A learner reads an invented world as an agent has it. Ten times all topics are measured in both ways: by `gap`, the loss
of unread topics' probe passages less the topic's own, and by `recall`, the share of the links in its probe passage that
are known. Then one-hop facts of all topics are asked for, as exams do. `agreement` is Spearman's correlation of both
over topics; `auc_gap` and `auc_recall` are the chances that of two facts, one known and one not, the known one's topic
has the larger estimate (ties count half).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.benchmark.tasks import Task, make_task
from kgrl.corpus import Split
from kgrl.curriculum.loop import Curriculum
from kgrl.data.invented.corpus import world_of
from kgrl.data.invented.questions import fact_questions
from kgrl.learners.make import make_learner
from kgrl.probes.link_test import LinkTest
from kgrl.probes.recall import Recall
from kgrl.system.files import write_json

_MOMENTS = 10


@dataclass(frozen=True)
class Mastery:
    """Carry out curricula and compare the two estimates along them.

    Args:
        json: File for the figures.
        corpus: The invented world; not the one that results are reported for.
        learner: The learner, with options after its name.
        agents: Agents, one curriculum each.
        budget: Tokens of a curriculum.
        facts: Facts to ask for, at most.
        seed: Seed.
    """

    json: Path
    corpus: str = "invented:400:1"
    learner: str = "scratch:learning_rate=0.0015"
    agents: tuple[str, ...] = ("iid", "nucleated")
    budget: int = 900_000
    facts: int = 1_000
    seed: int = 0


def main(command: Mastery) -> None:
    task, rows = make_task("recall", command.corpus), list[dict[str, Any]]()
    for agent in command.agents:
        for row in follow(command, task, agent):
            print(row, flush=True)
            rows.append(row)
            write_json(command.json, {"corpus": command.corpus, "learner": command.learner, "rows": rows})


def follow(command: Mastery, task: Task, agent: str) -> Any:
    """Carry out a curriculum, and yield a row of figures at each moment."""
    learner = make_learner(command.learner, task.corpus, seed=command.seed)
    config = replace(task.config, seed=command.seed, budget_tokens=command.budget)
    curriculum = Curriculum.make(task.corpus, learner, None, config)
    questions = [q for q in fact_questions(world_of(task.corpus.name), 2 * command.facts) if q.group == "1"]
    facts, test, due = Recall(task.corpus, questions), LinkTest(task.corpus), command.budget / _MOMENTS
    for step in curriculum.run(make_agent(agent)):
        if step.tokens_total >= due:
            due += command.budget / _MOMENTS
            yield {"agent": agent, "tokens": step.tokens_total, **compare(curriculum, facts, test)}


def compare(curriculum: Curriculum, facts: Recall, test: LinkTest) -> dict[str, float | None]:
    """Measure all topics that were read in both ways, and ask for their facts."""
    corpus, learner = curriculum.corpus, curriculum.learner
    read = np.flatnonzero(curriculum.state.knowledge.exposures > 0)
    losses = np.full(len(corpus.graph), np.nan)
    losses[read] = learner.losses(corpus.select(corpus.first_ids(Split.PROBE)[read]))
    shares = np.full(len(corpus.graph), np.nan)
    shares[read], _ = test.ask(learner, read, read, np.random.default_rng(0))
    right = facts.answers(learner)
    topics = np.array([question.topic for question in facts.questions])
    asked = np.isin(topics, read) & np.isfinite(shares[topics])
    both = read[np.isfinite(shares[read])]
    return {
        "read": len(read),
        "facts": float(right[asked].mean()),
        "recall": float(np.nanmean(shares)),
        "agreement": correlation(-losses[both], shares[both]),
        "auc_gap": chance(-losses[topics[asked]], right[asked]),
        "auc_recall": chance(shares[topics[asked]], right[asked]),
    }


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Return Spearman's correlation; None where one of both is the same everywhere."""
    ranks = [_ranks(values) for values in (one, other)]
    return None if min(float(r.std()) for r in ranks) == 0 else float(np.corrcoef(*ranks)[0, 1])


def chance(estimates: NDArray[np.float64], known: NDArray[np.bool_]) -> float | None:
    """Return the chance that a known fact has a larger estimate than one that is not; None where all are the same."""
    if known.all() or not known.any():
        return None
    ranks, n = _ranks(estimates), int(known.sum())
    return float((ranks[known].sum() - n * (n - 1) / 2) / (n * (len(known) - n)))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value from 0, the mean one for equal values."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[places]


if __name__ == "__main__":
    main(tyro.cli(Mastery))
