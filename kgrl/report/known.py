"""Facts known over a run: by group of questions, by distance from the nucleus, and what was forgotten.

A question counts as known once it was answered rightly in two exams in a row, since one right answer may be a guess,
and as forgotten once it was known and then answered wrongly in two exams in a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.probes.questions import distances_from
from kgrl.report.data import RunData
from kgrl.report.figures import base_layout, label
from kgrl.runs.metrics import smooth

__all__ = ["Answers", "KnownFacts", "answers_of", "known_facts"]

_COLOURS = ("#3b82f6", "#e08a00", "#10a37f", "#d6479a", "#8b5cf6", "#0ea5c6", "#dd4b39", "#7c9a0c", "#a8693a")
_DASHES = ("solid", "dash", "dot", "dashdot")
_UNLINKED = "unlinked"
_MOST_FORGOTTEN = 100
"""Most titles of topics that are listed as forgotten."""


@dataclass(frozen=True)
class Answers:
    """Answers of one run to questions, at every exam.

    Args:
        tokens: Tokens trained on before each exam, int64 `[exams]`.
        right: Whether each answer was right, bool `[exams, questions]`.
        topics: The topic of each question, int32 `[questions]`.
        groups: The group of each.

    Example:
        >>> right = np.array([[0, 0], [1, 1], [1, 0], [0, 1], [0, 1]], dtype=bool)
        >>> answers = Answers(np.arange(5) * 100, right, np.array([3, 7]), ("1", "1"))
        >>> answers.known.any(axis=0).tolist(), answers.forgotten[-1].tolist()
        ([True, True], [True, False])
        >>> answers.shares(["3", "7"])
        {'3': [0.0, 0.5, 1.0, 0.5, 0.0], '7': [0.0, 0.5, 0.5, 0.5, 1.0]}
    """

    tokens: NDArray[np.int64]
    right: NDArray[np.bool_]
    topics: IntArray
    groups: tuple[str, ...]

    @property
    def known(self) -> NDArray[np.bool_]:
        """True for what was answered rightly in this exam and the one before, bool `[exams, questions]`."""
        return _twice(self.right)

    @property
    def forgotten(self) -> NDArray[np.bool_]:
        """True for what was known and was then answered wrongly twice in a row, and is not known again, likewise."""
        state, found = np.zeros(self.right.shape[1], dtype=bool), []
        once = np.logical_or.accumulate(self.known, axis=0)
        for known, wrong, ever in zip(self.known, _twice(~self.right), once, strict=True):
            state = (state | (wrong & ever)) & ~known
            found.append(state)
        return np.array(found)

    def shares(self, labels: Sequence[str]) -> dict[str, list[float]]:
        """Return the share answered rightly at each exam, as the mean of it and the one before, by label.

        Args:
            labels: The label of each question.
        """
        each = np.array(labels)
        return {name: smooth(self.right[:, each == name].mean(axis=1).tolist()) for name in _ordered(labels)}


def _twice(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is true in a row and the one before it; in the first row nothing is."""
    both = np.zeros_like(right)
    both[1:] = right[1:] & right[:-1]
    return both


def _ordered(labels: Sequence[str]) -> list[str]:
    """Return the different labels, numbers first in their order."""
    return sorted(set(labels), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


@dataclass(frozen=True)
class KnownFacts:
    """Facts that a report shows: the answers of one run to questions of one name.

    Args:
        name: The name of the questions, `"facts_recalled"` for example.
        asked: Number of questions.
        by_group: Figure of the share recalled over tokens, by group.
        by_distance: The same by the number of links between the nucleus and the question's topic.
        forgetting: Figure of the shares known and forgotten over tokens.
        forgotten: Titles of topics with a question that is forgotten at the end, each with the number of these.
    """

    name: str
    asked: int
    by_group: go.Figure
    by_distance: go.Figure
    forgetting: go.Figure
    forgotten: Sequence[tuple[str, int]]


def answers_of(run: RunData, name: str) -> Answers | None:
    """Return a run's answers to the questions of a name; None for runs of earlier versions, which did not keep them."""
    points, questions = run.recalled[name], run.questions.get(name, ())
    if not points or not questions or not all("answers" in figures for _, figures in points):
        return None
    return Answers(
        tokens=np.array([tokens for tokens, _ in points], dtype=np.int64),
        right=np.array([[answer == "1" for answer in figures["answers"]] for _, figures in points], dtype=bool),
        topics=np.array([question.topic for question in questions], dtype=np.int32),
        groups=tuple(question.group for question in questions),
    )


def known_facts(run: RunData, graph: TopicGraph) -> Iterator[KnownFacts]:
    """Yield the facts that a report shows, for each name of questions that a run was asked.

    Args:
        run: The run.
        graph: Its topic graph.
    """
    for name in run.recalled:
        answers = answers_of(run, name)
        if answers is None:
            continue
        distances = distances_from(graph, list(run.nucleus))[answers.topics]
        forgotten = answers.topics[answers.forgotten[-1]]
        topics, counts = np.unique(forgotten, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:_MOST_FORGOTTEN]
        yield KnownFacts(
            name=name.replace("_", " "),
            asked=len(answers.topics),
            by_group=_shares_figure(answers, answers.groups),
            by_distance=_shares_figure(answers, [str(d) if d >= 0 else _UNLINKED for d in distances.tolist()]),
            forgetting=_forgetting_figure(answers),
            forgotten=[(graph.titles[topics[at]], int(counts[at])) for at in most],
        )


def _shares_figure(answers: Answers, labels: Sequence[str]) -> go.Figure:
    """Draw the share recalled over tokens, one line for each label; its legend has the number of questions."""
    figure = _empty_figure()
    for at, (name, shares) in enumerate(answers.shares(labels).items()):
        line = {
            "color": _COLOURS[at % len(_COLOURS)],
            "dash": _DASHES[at // len(_COLOURS) % len(_DASHES)],
            "width": 2.2,
        }
        shown = f"{name} ({list(labels).count(name)})"
        figure.add_scatter(x=answers.tokens.tolist(), y=shares, name=label(shown), mode="lines", line=line)
    figure.update_traces(hovertemplate="%{y:.1%}")
    figure.update_yaxes(title="share of the questions recalled")
    return figure


def _forgetting_figure(answers: Answers) -> go.Figure:
    """Draw the shares of all questions that are known and that are forgotten, over tokens."""
    figure = _empty_figure()
    for name, told, colour in (("known", answers.known, _COLOURS[0]), ("forgotten", answers.forgotten, _COLOURS[6])):
        shares = told.mean(axis=1).tolist()
        figure.add_scatter(x=answers.tokens.tolist(), y=shares, name=name, mode="lines", line={"color": colour})
    figure.update_traces(hovertemplate="%{y:.1%}")
    figure.update_yaxes(title="share of the questions")
    return figure


def _empty_figure() -> go.Figure:
    figure = go.Figure(layout=base_layout(height=340))
    figure.update_layout(hovermode="x unified", showlegend=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_xaxes(title="tokens trained on", tickformat=",", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure
