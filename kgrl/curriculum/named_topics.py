"""Goals and nuclei by name: the titles that a file lists, or that a sentence stands for.

A goal is a category, or titles; a nucleus is a score by which it is chosen, or titles. Besides, `file:PATH` names a
file with a title on each line, and `about:SENTENCE` the topics whose text is most similar to a sentence. Both become
titles before a curriculum begins, so that its record says what it was about, whatever becomes of the file or encoder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.errors import DataError, MissingDataError, SettingError, UnknownNameError, closest_name
from kgrl.graph.nucleus import nucleus_by_score
from kgrl.graph.titled import goal_topics, titled_topics
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import AnyEncoder, as_encoder

__all__ = ["ABOUT", "LISTED", "goal_label", "is_named", "named_goal", "with_titles"]

ABOUT, LISTED = "about:", "file:"
"""The beginnings of a name that stands for the topics most similar to a sentence, and for the titles in a file."""

_SHARE, _FEWEST, _MOST = 50, 8, 64
"""A sentence stands for one topic in so many at most, for `_FEWEST` at most where that is more, and never for more than
`_MOST`."""
_HALF = 0.5
"""Share of the best topic's similarity that the others must have."""


def is_named(name: object) -> bool:
    """Return whether a goal or a nucleus is a file of titles or a sentence.

    Example:
        >>> is_named("about:tides"), is_named("Physics"), is_named(("Logic", "Set"))
        (True, False, False)
    """
    return isinstance(name, str) and name.startswith((ABOUT, LISTED))


def goal_label(goal: str | tuple[str, ...]) -> str:
    """Return a short name of a goal for headings and folders.

    Example:
        >>> goal_label("about:branching and merging"), goal_label("file:mine/core.txt"), goal_label(("Logic", "Set"))
        ('branching and merging', 'core', 'Logic and 1 more')
    """
    if not isinstance(goal, str):
        return goal[0] if len(goal) == 1 else f"{goal[0]} and {len(goal) - 1} more"
    return Path(goal.removeprefix(LISTED)).stem if goal.startswith(LISTED) else goal.removeprefix(ABOUT).strip()


def with_titles(config: CurriculumConfig, corpus: Corpus, encoder: AnyEncoder) -> CurriculumConfig:
    """Return a configuration whose goal and nucleus have titles where they had a file, a sentence or one topic.

    Args:
        config: The configuration.
        corpus: The corpus that it is for.
        encoder: The encoder that tells which topics are similar to a sentence.

    Raises:
        UnknownNameError: If a title or category is not known; the nearest is suggested.
        SettingError: If several titles are not known, or no topic is similar to a sentence.
        MissingDataError: If a file is missing.
        DataError: If a file is not text, has no title, or one that no topic has.
    """
    goal, nucleus = config.goal, config.nucleus
    if isinstance(goal, str):
        goal = named_goal(goal, corpus, encoder)
    if isinstance(nucleus, str) and nucleus.startswith(LISTED):
        nucleus = _listed(nucleus, corpus)
    elif isinstance(nucleus, str) and nucleus.startswith(ABOUT):
        inside, scores = goal_topics(corpus.graph, goal), _likeness(nucleus, corpus, encoder)
        chosen = nucleus_by_score(corpus.graph, scores, config.nucleus_size, inside, _with_text(corpus))
        nucleus = tuple(corpus.graph.titles[topic] for topic in chosen)
    return config if (goal, nucleus) == (config.goal, config.nucleus) else replace(config, goal=goal, nucleus=nucleus)


def named_goal(goal: str, corpus: Corpus, encoder: AnyEncoder) -> str | tuple[str, ...]:
    """Return the category of a goal, or the titles that it stands for.

    Args:
        goal: A category, the title of a topic where no category has that name, `file:PATH` or `about:SENTENCE`.
        corpus: The corpus.
        encoder: The encoder that tells which topics are similar to a sentence.

    Raises:
        KgrlError: As for `with_titles`.
    """
    graph = corpus.graph
    if goal.startswith(LISTED):
        return _listed(goal, corpus)
    if goal.startswith(ABOUT):
        return tuple(graph.titles[topic] for topic in _similar(_likeness(goal, corpus, encoder), corpus))
    if goal in graph.category_names:
        return goal
    try:
        return (graph.titles[graph.index(goal)],)
    except UnknownNameError as error:
        if not graph.category_names:
            raise
        close = closest_name(goal, error.known)
        unknown = UnknownNameError("category", goal, graph.category_names)
        unknown.args = (f"{unknown}. Nor is it a topic's title" + (f"; the nearest is {close!r}" if close else ""),)
        raise unknown from error


def _listed(name: str, corpus: Corpus) -> tuple[str, ...]:
    """Return the titles in a file, one a line, as the corpus writes them."""
    path = Path(name.removeprefix(LISTED).strip())
    if not path.is_file():
        raise MissingDataError(f"there is no file {path} to take titles from; looked in {Path.cwd()}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(path, None, "is not text in UTF-8; write one title on each line") from error
    titles = [line for line in lines if line]
    if not titles:
        raise DataError(path, None, "has no titles; write one on each line")
    try:
        topics = titled_topics(corpus.graph, titles)
    except UnknownNameError as error:
        raise DataError(path, lines.index(error.name) + 1, str(error)) from error
    except SettingError as error:
        raise DataError(path, None, str(error)) from error
    return tuple(corpus.graph.titles[topic] for topic in topics)


def _likeness(name: str, corpus: Corpus, encoder: AnyEncoder) -> NDArray[np.float64]:
    """Return the cosine of each topic's embedding with a sentence's, float64 `[topics]`."""
    sentence, encoder = name.removeprefix(ABOUT).strip(), as_encoder(encoder)
    if not sentence:
        raise SettingError(f"{ABOUT} needs a sentence, as in '{ABOUT}branching and merging'")
    likeness = embed_corpus(corpus, encoder)[1] @ encoder.encode([sentence])[0]
    if not likeness[_with_text(corpus)].max(initial=0.0) > 0:
        raise SettingError(
            f"no topic of {corpus.name!r} is similar to {sentence!r}; say it in other words, or give titles"
        )
    return np.asarray(likeness, dtype=np.float64)


def _similar(likeness: NDArray[np.float64], corpus: Corpus) -> list[int]:
    """Return the topics that a sentence stands for, the most similar first."""
    most = min(_MOST, max(_FEWEST, len(likeness) // _SHARE))
    ranked = np.argsort(-np.where(_with_text(corpus), likeness, -np.inf), kind="stable")[:most]
    return [int(topic) for topic in ranked if likeness[topic] >= _HALF * likeness[ranked[0]]]


def _with_text(corpus: Corpus) -> NDArray[np.bool_]:
    """Return which topics can be learned and probed, bool `[topics]`."""
    return corpus.has(Split.TRAIN) & corpus.has(Split.PROBE)
