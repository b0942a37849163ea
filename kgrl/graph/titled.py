"""Topics by their titles, and the topics of a goal."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgrl.errors import SettingError, UnknownNameError, closest_name
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["goal_topics", "titled_topics"]

_MOST_NAMED = 10
"""Unknown titles that a message names. The nearest title is searched for each, which takes long on large graphs."""


def titled_topics(graph: TopicGraph, titles: Iterable[str]) -> IntArray:
    """Return the topics with some titles, each once, in the order of the titles, int32.

    Raises:
        UnknownNameError: If no topic has one of the titles; the message suggests the nearest.
        SettingError: If that holds for several; the message names them with the nearest of each.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1], [1, 2])
        >>> titled_topics(graph, ["Number", "Logic"]).tolist()
        [2, 0]
        >>> titled_topics(graph, ["Lgoic", "Set", "Numbers"])
        Traceback (most recent call last):
        kgrl.errors.SettingError: 2 titles are not known: 'Lgoic' (nearest: 'Logic'), 'Numbers' (nearest: 'Number')
    """
    topics, unknown = dict[int, None](), list[UnknownNameError]()
    for title in titles:
        try:
            topics[graph.index(title)] = None
        except UnknownNameError as error:
            unknown.append(error)
            if len(unknown) > _MOST_NAMED:
                break
    if len(unknown) == 1:
        raise unknown[0]
    if unknown:
        more = len(unknown) > _MOST_NAMED
        named = [_told(error) for error in unknown[:_MOST_NAMED]]
        count = f"more than {_MOST_NAMED}" if more else len(unknown)
        raise SettingError(f"{count} titles are not known: {', '.join([*named, '…'] if more else named)}")
    return np.array(list(topics), dtype=np.int32)


def _told(error: UnknownNameError) -> str:
    close = closest_name(error.name, error.known)
    return f"{error.name!r} (nearest: {close!r})" if close else repr(error.name)


def goal_topics(graph: TopicGraph, goal: str | tuple[str, ...] | None) -> IntArray | None:
    """Return the topics of a goal, ascending, int32; None for all topics.

    Args:
        graph: The topic graph.
        goal: A category, a tuple of titles, or None.

    Raises:
        UnknownNameError: If the category or a title is not known.
        SettingError: If several titles are not known.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1], [1, 2])
        >>> goal_topics(graph, ("Number", "Logic")).tolist()
        [0, 2]
    """
    if goal is None:
        return None
    return graph.in_category(goal) if isinstance(goal, str) else np.sort(titled_topics(graph, goal))
