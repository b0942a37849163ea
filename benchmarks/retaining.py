"""Measure what is retained of a nucleus, by the share of each lesson that reviews what was read before.

    python benchmarks/retaining.py --json docs/results/retaining.json

The task is `retain`: the most central topics of an invented world are learned first, then an agent picks other topics.
`retained` is the share of the questions about the nucleus that is recalled at the end, as a part of the largest share
on the way, each as the mean of two exams in a row; `retained_10` is the same with means of ten, since the largest of
thirty shares of 45 questions is as much luck as knowledge. A review of 0 is a lesson in blocks: the picked topic, its
neighbours, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from kgrl.agents import make_agent
from kgrl.benchmark.tasks import Task, make_task
from kgrl.curriculum.loop import Curriculum
from kgrl.learners.make import make_learner
from kgrl.runs.metrics import known
from kgrl.system.files import write_json


@dataclass(frozen=True)
class Retaining:
    """Carry out curricula with different shares of review.

    Args:
        json: File for the figures.
        corpus: The invented world.
        learner: The learner, with options after its name.
        agent: The agent that picks topics after the nucleus.
        reviews: Shares of review to compare.
        budget: Tokens of a curriculum.
        seeds: Number of seeds.
        first_seed: The first of them.
        exams: How often questions are asked.
    """

    json: Path
    corpus: str = "invented:400"
    learner: str = "scratch:learning_rate=0.0015"
    agent: str = "random"
    reviews: tuple[float, ...] = (0.0, 0.25, 0.5)
    budget: int = 900_000
    seeds: int = 3
    first_seed: int = 0
    exams: int = 30


def main(command: Retaining) -> None:
    task, rows = make_task("retain", command.corpus), list[dict[str, Any]]()
    for row in follow_all(command, task):
        print(row, flush=True)
        rows.append(row)
        about = {"corpus": command.corpus, "learner": command.learner, "agent": command.agent}
        write_json(command.json, {**about, "budget": command.budget, "rows": rows})


def follow_all(command: Retaining, task: Task) -> Iterator[dict[str, Any]]:
    """Yield a row for each seed and share of review."""
    for seed in range(command.first_seed, command.first_seed + command.seeds):
        for review in command.reviews:
            yield {"seed": seed, "review": review, **follow(command, task, seed, review)}


def follow(command: Retaining, task: Task, seed: int, review: float) -> dict[str, Any]:
    """Carry out a curriculum, and return what was retained."""
    learner = make_learner(command.learner, task.corpus, seed=seed, budget_tokens=command.budget)
    config = replace(task.config, seed=seed, budget_tokens=command.budget, review=review)
    curriculum, recall = Curriculum.make(task.corpus, learner, None, config), task.make_recall()
    assert recall is not None
    groups = {question.group for question in recall.questions}
    curves = {group: [(0, 0.0)] for group in groups}
    steps, due = [], 0.0
    for step in curriculum.run(make_agent(command.agent)):
        steps.append(step)
        if step.tokens_total >= due:
            due = step.tokens_total + command.budget / command.exams
            for group, accuracy in recall.measure(learner).groups.items():
                curves[group].append((step.tokens_total, accuracy.share))
    asked = {group: sum(question.group == group for question in recall.questions) for group in groups}
    found = {group: known(curves[group], command.budget, asked[group]) for group in sorted(groups)}
    return {
        "tokens": steps[-1].tokens_total,
        "solid": len(curriculum.state.frontier.solid),
        "read": int(np.count_nonzero(curriculum.state.knowledge.exposures)),
        "retained": found["nucleus"].retained,
        "retained_10": retained(curves["nucleus"][1:], 10),
        **{f"recall_{group}": told.recall for group, told in found.items()},
        "curves": curves,
    }


def retained(curve: Sequence[tuple[int, float]], exams: int) -> float:
    """Return the last mean share of so many exams in a row as a part of the largest."""
    means = np.convolve([share for _, share in curve], np.full(exams, 1 / exams), "valid")
    return float(means[-1] / means.max())


if __name__ == "__main__":
    main(tyro.cli(Retaining))
