"""Questions about the facts of corpora: those that a corpus folder brings as `questions.jsonl`, and others.

Each line of `questions.jsonl` is one question:

    {"topic": "Logic", "statement": "Logic was founded by Aristotle.", "answer": "Aristotle",
     "wrong": ["Euclid", "Ptolemy"], "group": "people"}

- `topic`: the title of a topic.
- `statement`: a true statement, which contains the answer. The last place in it where the answer is a word or several
  is the gap; the wrong names are put there.
- `answer`: the name that makes it true.
- `wrong`: names that make it false: one at least, none given twice, none equal to the answer.
- `group`: the group in which answers are counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import regex
from msgspec import Meta, Struct

from kgrl.corpus import Cloze, Corpus
from kgrl.data.invented.corpus import is_invented, world_of
from kgrl.data.invented.questions import fact_questions
from kgrl.data.reading import Problems, json_lines
from kgrl.errors import SettingError
from kgrl.probes.questions import Question, own_questions
from kgrl.system.words import canonical

__all__ = [
    "QUESTIONS",
    "QuestionLine",
    "check_questions",
    "question_lines",
    "questions_about",
    "read_questions",
    "told_in_training",
]

QUESTIONS = "questions.jsonl"
"""The file of a corpus folder's questions."""
_LETTER = r"[\w--\p{WB=Other}]"
"""A letter of a script that writes spaces between words; a name must not begin or end between two of them."""


class QuestionLine(Struct, forbid_unknown_fields=True):
    """A line of `questions.jsonl`: one question.

    Args:
        topic: The title of the topic that it is about.
        statement: A true statement that contains the answer.
        answer: The name that makes it true.
        wrong: Names that make it false.
        group: Group in which answers are counted.
    """

    topic: Annotated[str, Meta(description="The title of the topic that it is about")]
    statement: Annotated[str, Meta(description="A true statement that contains the answer as words of its own")]
    answer: Annotated[str, Meta(description="The name that makes it true")]
    wrong: Annotated[list[str], Meta(description="Names that make it false: one at least, unlike the answer")]
    group: Annotated[str, Meta(description="Group in which answers are counted")]


def read_questions(folder: Path, number: Mapping[str, int], problems: Problems) -> list[Cloze]:
    """Read a corpus folder's questions; none if it has no `questions.jsonl`.

    Args:
        folder: The folder.
        number: The number of each topic by the canonical form of its title.
        problems: Gets the questions that cannot be asked.
    """
    path = folder / QUESTIONS
    questions: list[Cloze] = []
    for line, record in json_lines(path, QuestionLine, problems) if path.exists() else ():
        gap = _gap(record.statement, record.answer)
        if fault := next(_faults(record, number), None):
            problems.report(path, line, *fault)
        elif gap is None:
            reason = f"statement: the answer {record.answer!r} is not in it as words of its own"
            problems.report(path, line, "statement without its answer", reason)
        else:
            before, after = record.statement[: gap[0]], record.statement[gap[1] :]
            topic = number[canonical(record.topic)]
            questions.append(Cloze(topic, before, record.answer, after, tuple(record.wrong), record.group))
    return questions


def question_lines(corpus: Corpus) -> Iterator[str]:
    """Yield a corpus's questions as lines that `read_questions` reads."""
    for question in corpus.questions:
        told = {"topic": corpus.graph.titles[question.topic], "statement": question.statement}
        names = {"answer": question.answer, "wrong": question.wrong, "group": question.group}
        yield json.dumps({**told, **names}, ensure_ascii=False)


def questions_about(corpus: Corpus, size: int) -> list[Question]:
    """Return questions about the facts of a corpus: its own, or those of its invented world.

    Args:
        corpus: The corpus.
        size: Most questions.

    Raises:
        SettingError: If it has none.

    Example:
        >>> from kgrl.data import load_corpus
        >>> len(questions_about(load_corpus("invented:400"), 10))
        10
    """
    check_questions(corpus)
    return own_questions(corpus, size) if corpus.questions else fact_questions(world_of(corpus.name), size)


def check_questions(corpus: Corpus) -> None:
    """Refuse a corpus that has no questions about facts.

    Raises:
        SettingError: If it brings none and is not an invented world.
    """
    if not corpus.questions and not is_invented(corpus.name):
        ways = f"a corpus folder brings its own as {QUESTIONS}, and invented worlds such as invented:400 have some"
        raise SettingError(f"{corpus.name!r} has no questions about facts; {ways}")


def told_in_training(corpus: Corpus) -> dict[str, int]:
    """Return the number of a corpus's own questions whose statement a train passage tells word for word, by group.

    Groups without such a question are left out.
    """
    told = zip(corpus.questions, corpus.told.tolist(), strict=True)
    return dict(sorted(Counter(question.group for question, is_told in told if is_told).items()))


def _faults(record: QuestionLine, number: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the kind of each fault of a question, and what is wrong."""
    plain = {"topic": record.topic, "statement": record.statement, "answer": record.answer, "group": record.group}
    names = [canonical(name) for name in record.wrong]
    for field in [field for field, text in plain.items() if not canonical(text)]:
        yield "malformed line", f"{field}: expected text, and it is blank"
    if not all(names):
        yield "malformed line", "wrong: expected names, and one is blank"
    if canonical(record.topic) not in number:
        yield "question about an unknown topic", f"{record.topic!r} is not a topic"
    if not names:
        yield "question with one answer", "wrong: there is none, and a question needs two answers to choose from"
    for name, written in zip(names, record.wrong, strict=True):
        if name == canonical(record.answer):
            yield "question with one answer", f"wrong: {written!r} is the answer"
        if names.count(name) > 1:
            yield "malformed line", f"wrong: {written!r} is given twice"


def _gap(statement: str, answer: str) -> tuple[int, int] | None:
    """Return start and end of the last place where a statement has the answer as words of its own; None without any."""
    name = regex.escape(answer)
    bounded = f"(?<!{_LETTER}(?={_LETTER})){name}(?!(?<={_LETTER}){_LETTER})"
    found = list(regex.finditer(bounded, statement, flags=regex.V1, overlapped=True)) if answer else []
    return found[-1].span() if found else None
