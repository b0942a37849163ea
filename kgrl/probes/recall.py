"""Recall: the share of multiple-choice questions that a learner answers rightly.

A learner's answer is the statement that it finds likeliest. A statement's likelihood is that of all its tokens. The
statements of a question are the same up to the name, so the text before it is read once and does not matter; the text
after it does, since the sentence has to make sense with the name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import SettingError
from kgrl.learners.base import Learner
from kgrl.learners.decoder.reader import PassageReader
from kgrl.probes.questions import Question

__all__ = ["Accuracy", "Recall", "Recalled", "check_reads_text"]

_Z = 1.959964
"""The normal distribution's 97.5th percentile."""


@dataclass(frozen=True)
class Accuracy:
    """A number of right answers.

    Args:
        right: Questions answered rightly.
        asked: Questions asked, at least 1.

    Example:
        >>> accuracy = Accuracy(right=8, asked=10)
        >>> accuracy.share, [round(end, 3) for end in accuracy.interval]
        (0.8, [0.49, 0.943])
    """

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Share of the questions that were answered rightly."""
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% score interval of the share (Wilson 1927)."""
        n, p = self.asked, self.share
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    def figures(self) -> dict[str, Any]:
        """Return share, interval and number of questions, ready for JSON."""
        return {"share": self.share, "interval": list(self.interval), "asked": self.asked}


@dataclass(frozen=True)
class Recalled:
    """Results of asking a learner at one moment.

    Args:
        overall: Accuracy over all questions.
        groups: Accuracy over the questions of each group, in the order of the groups' names.
        chance: Share of the questions that guessing answers rightly.
        answers: `"1"` for each question answered rightly and `"0"` for each other, in the order of `Recall.questions`.
    """

    overall: Accuracy
    groups: Mapping[str, Accuracy]
    chance: float
    answers: str

    def figures(self) -> dict[str, Any]:
        """Return the figures of all questions and of each group, and all answers, ready for JSON."""
        groups = {name: part.figures() for name, part in self.groups.items()}
        return {**self.overall.figures(), "chance": self.chance, "groups": groups, "answers": self.answers}


class Recall:
    """A fixed set of questions to ask learners of one corpus.

    Args:
        corpus: The corpus; only its topic graph is used, its passages are not read.
        questions: Questions, at least one; `link_questions` and `kgrl.data.questions.questions_about` draw some.

    Raises:
        ValueError: If `questions` is empty.

    Example:
        >>> from kgrl.data import load_corpus
        >>> from kgrl.data.invented import fact_questions, world_of
        >>> from kgrl.learners import ScratchLearner
        >>> corpus = load_corpus("invented:300")
        >>> recall = Recall(corpus, fact_questions(world_of(corpus.name), 32))
        >>> recall
        Recall(corpus='invented:300:0', questions=32)
        >>> recalled = recall.measure(ScratchLearner(corpus, width=32, heads=2))
        >>> recalled.overall.asked, sorted(recalled.groups)
        (32, ['1', '2'])
    """

    def __init__(self, corpus: Corpus, questions: Sequence[Question]) -> None:
        if not questions:
            raise ValueError("there is nothing to recall without a question")
        self.questions = tuple(sorted(questions, key=lambda question: question.topic))
        # The statements of all questions as passages of a corpus: learners read nothing else.
        texts = [text for question in self.questions for text in (question.true, *question.wrong)]
        topics = np.repeat([q.topic for q in self.questions], [1 + len(q.wrong) for q in self.questions])
        splits = np.full(len(texts), Split.EXAM)
        self._statements = Corpus(f"questions on {corpus.name}", corpus.graph, texts, topics, splits)
        sizes = [1 + len(q.wrong) for q in self.questions]
        self._question = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)  # of each statement
        self._name = corpus.name

    def __repr__(self) -> str:
        return f"Recall(corpus={self._name!r}, questions={len(self.questions)})"

    def measure(self, learner: Learner) -> Recalled:
        """Ask a learner all questions; changes nothing.

        Raises:
            SettingError: If the learner reads no text.
            DivergedError: If a loss is not finite.
        """
        answers = self.answers(learner)
        groups = np.array([question.group for question in self.questions])
        parts = {name: answers[groups == name] for name in np.unique(groups).tolist()}
        chance = float(np.mean([1 / (1 + len(question.wrong)) for question in self.questions]))
        accuracies = {name: _accuracy(part) for name, part in parts.items()}
        return Recalled(_accuracy(answers), accuracies, chance, "".join("1" if right else "0" for right in answers))

    def answers(self, learner: Learner) -> NDArray[np.bool_]:
        """Return whether each of `questions` is answered rightly: the true statement is likelier than every other.

        One that ties with a wrong one is not an answer.
        """
        return self._ask(learner, once=False)[0]

    def answers_once(self, learner: Learner) -> tuple[NDArray[np.bool_], int]:
        """Return the same of questions that will not be asked again, and the number of tokens read."""
        return self._ask(learner, once=True)

    def _ask(self, learner: Learner, once: bool) -> tuple[NDArray[np.bool_], int]:
        check_reads_text(learner)
        assert _reads_text(learner)
        statements = self._statements.select(np.arange(len(self._statements)))
        return learner.reading(self._statements, once=once).first_likeliest(statements, self._question)


def check_reads_text(learner: Learner) -> None:
    """Refuse a learner that cannot measure texts outside of its corpus.

    Raises:
        SettingError: If the learner reads no text, for example a simulated one.
    """
    if not _reads_text(learner):
        kind = getattr(learner, "kind", type(learner).__name__)
        raise SettingError(
            f"a {kind} learner reads no text, so it cannot be asked; use scratch or lora, or ask no questions"
        )


def _reads_text(learner: Learner) -> TypeGuard[PassageReader]:
    """Tell whether a learner can measure texts outside of its corpus."""
    return isinstance(learner, PassageReader)


def _accuracy(answers: NDArray[np.bool_]) -> Accuracy:
    """Accuracy of answers, given as true for right ones."""
    return Accuracy(int(answers.sum()), len(answers))
