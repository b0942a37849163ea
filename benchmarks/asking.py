"""Measure how much of a question's statements is read to answer it, and how long that takes, as it was and as it is.

    OMP_NUM_THREADS=1 python benchmarks/asking.py --json docs/results/asking.json

`before` reads what the 16 statements share once, and the rest of each (`DecoderLearner.compare`); `now` reads no more
than the answers take (`DecoderLearner.first_likeliest`). Both answer the same questions by the same weights, in turn in
one run. Learners read their corpus in shuffled passes; at some moments they are asked for facts, and in the invented
world for the links of its probe passages, too, which criteria of mastery ask for. Of each moment and kind of question:

    known            share of questions answered rightly
    readings         tokens read over those of the true statements, before and now
    seconds          processor seconds, the least of the repetitions, before and now
    differ           questions that the two ways answer differently

Tokens are counted where the model reads them. It takes about five minutes of one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from kgrl.benchmark.tasks import make_task
from kgrl.corpus import Corpus, Split
from kgrl.data import load_corpus
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.make import make_learner
from kgrl.probes.link_test import LinkTest
from kgrl.probes.questions import Question
from kgrl.probes.recall import Recall
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json

Figures = dict[str, Any]
LESSON = 4_000
"""Tokens of a lesson."""


@dataclass(frozen=True)
class Setting:
    """A learner that is asked.

    Args:
        corpus: The corpus.
        learner: The learner, with options after its name.
        moments: Tokens read by the moments of asking.
        questions: Number of facts; half as many topics' links are asked for.
    """

    corpus: str
    learner: str
    moments: tuple[int, ...]
    questions: int


SETTINGS = (
    Setting("invented:400", "scratch:learning_rate=0.0015", (0, 300_000, 950_000), 250),
    Setting("fictional", "lora", (0, 4_000, 12_000), 30),
)


@dataclass(frozen=True)
class Asking:
    """Ask learners in both ways.

    Args:
        json: File for the figures; those of other corpora in it are kept.
        corpora: Corpora of `SETTINGS`.
        repeat: Number of times that each way is timed.
    """

    json: Path
    corpora: tuple[str, ...] = tuple(setting.corpus for setting in SETTINGS)
    repeat: int = 3


def main(command: Asking) -> None:
    rows = list[Figures]()
    for setting in SETTINGS:
        for row in follow(setting, command.repeat) if setting.corpus in command.corpora else ():
            print(row, flush=True)
            rows.append(row)
            write_json(command.json, {"rows": [*kept(command.json, command.corpora), *rows]})
    show(rows)


def kept(path: Path, corpora: Sequence[str]) -> list[Figures]:
    """Return the rows of a file that are of other corpora."""
    held = read_json(path, dict[str, list[Figures]])["rows"] if path.is_file() else []
    return [row for row in held if row["corpus"] not in corpora]


def follow(setting: Setting, repeat: int) -> Iterator[Figures]:
    """Teach a learner, and yield the figures of each moment and kind of question."""
    corpus = load_corpus(setting.corpus)
    learner = make_learner(setting.learner, corpus, seed=0)
    assert isinstance(learner, DecoderLearner)
    asked = dict(kinds(setting.corpus, corpus, learner, setting.questions))
    told = {"corpus": setting.corpus, "learner": setting.learner, "format": str(learner._decoder.head.dtype)[6:]}
    for tokens in moments(learner, setting.moments):
        for kind, questions in asked.items():
            yield {**told, "tokens": tokens, "kind": kind, **ask(learner, corpus, questions, repeat)}


def kinds(name: str, corpus: Corpus, learner: DecoderLearner, size: int) -> Iterator[tuple[str, Sequence[Question]]]:
    """Yield the kinds of questions on a corpus."""
    yield "facts", make_task("recall", name).draw_questions(size)
    if not corpus.questions:
        test, held = LinkTest(corpus), list[Question]()

        def keep(recall: Recall, learner: DecoderLearner) -> tuple[Any, int]:
            held.extend(recall.questions)
            return np.zeros(len(recall.questions), dtype=bool), 0

        rng, read = np.random.default_rng(0), np.arange(len(corpus.graph), dtype=np.int32)
        with patch.object(Recall, "answers_once", keep):
            test.ask(learner, np.sort(rng.permutation(read)[: size // 2]), read, rng)
        yield "links", held


def moments(learner: DecoderLearner, wanted: Sequence[int]) -> Iterator[int]:
    """Teach shuffled passes, and yield the number of tokens at each moment."""
    train, rng = np.flatnonzero(learner.corpus.splits == Split.TRAIN), np.random.default_rng(0)
    order, read = np.empty(0, dtype=np.int64), 0
    for moment in wanted:
        while read < moment:
            if not len(order):
                order = rng.permutation(train)
            own = learner.corpus.select(order[:200])
            learned = learner.learn(own, min(LESSON, moment - read + 1))
            read, order = read + learned.tokens, order[learned.passages :]
        yield read


def ask(learner: DecoderLearner, corpus: Corpus, questions: Sequence[Question], repeat: int) -> Figures:
    """Ask in both ways and return their figures."""
    questions = sorted(questions, key=lambda question: question.topic)
    texts = [text for question in questions for text in (question.true, *question.wrong)]
    sizes = [1 + len(question.wrong) for question in questions]
    groups = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    topics = np.repeat([question.topic for question in questions], sizes)
    side = Corpus("asked", corpus.graph, texts, topics, np.full(len(texts), Split.EXAM))
    reader, statements = learner.reading(side, once=True), side.select(np.arange(len(side)))
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    true = int(reader.count_tokens(side.select(first)).sum())

    def before() -> list[bool]:
        losses = np.split(reader.compare(statements, groups), first[1:])
        return [bool((own[0] < own[1:]).all()) for own in losses]

    def now() -> list[bool]:
        answers, tokens = reader.first_likeliest(statements, groups)
        assert tokens == counted[-1]
        return [bool(right) for right in answers]

    found, counted, seconds = [], list[int](), list[list[float]]()
    for way in (before, now):
        with counting(reader, counted):
            found.append(way())
    for _ in range(repeat):
        seconds.append([timed(before), timed(lambda: reader.first_likeliest(statements, groups))])
    least = np.min(seconds, axis=0)
    return {
        "questions": len(questions),
        "known": float(np.mean(found[0])),
        "readings": [tokens / true for tokens in counted],
        "seconds": [float(value) for value in least],
        "differ": int(np.sum(np.array(found[0]) != np.array(found[1]))),
    }


def counting(reader: DecoderLearner, counted: list[int]) -> Any:
    """Patch a reader so that the tokens that its model reads are added up in a new entry of a list."""
    counted.append(0)
    states = reader._decoder.states

    def count(block: Any) -> Any:
        counted[-1] += len(block)
        return states(block)

    return patch.object(reader._decoder, "states", count)


def timed(work: Callable[[], Any]) -> float:
    """Return the processor seconds that something takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def show(rows: Sequence[Figures]) -> None:
    """Print the table."""
    table = Table(
        "learner", "tokens read", "questions", "known", "readings before", "now", "seconds before", "now", "differ"
    )
    for row in rows:
        readings = [f"{value:.2f}" for value in row["readings"]]
        seconds = [f"{value:.2f}" for value in row["seconds"]]
        cells = [row["learner"], f"{row['tokens']:,}", f"{row['questions']} {row['kind']}", f"{row['known']:.0%}"]
        table.add_row(*cells, *readings, *seconds, str(row["differ"]))
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Asking))
