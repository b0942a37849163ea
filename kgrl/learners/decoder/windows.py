"""Windows of linked text: passages of linked topics that are read in one context and see each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["linked_windows"]


def linked_windows(topics: IntArray, sizes: Sequence[int], graph: TopicGraph, most: int) -> list[list[int]]:
    """Group the passages of a lesson into windows in which each topic is linked with the one before it, or is the same.

    Links are proven in pretraining in this way: passages that a link leads to are in the context of those that have it
    (LinkBERT, Yasunaga et al. 2022, arXiv 2203.15827), and a context is a path through related documents that visits
    each once (in-context pretraining, Shi et al. 2023, arXiv 2310.10638). Here paths are greedy: a window begins with
    the first passage that is in none, and goes on with the first one in the lesson's order that is linked with its last
    one and fits. So the lesson keeps its order, but for passages that are read sooner.

    Args:
        topics: Topic of each passage, in the lesson's order, `[passages]`.
        sizes: Tokens of each passage, the document token counted.
        graph: The topic graph; links count in either direction.
        most: Most tokens of a window. A passage that is longer is a window of its own.

    Returns:
        The places of each window's passages, windows in order of their first ones; every passage is in one of them.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Lake", "Set"], [0], [2])
        >>> linked_windows(np.array([0, 1, 2, 2]), [40, 40, 40, 40], graph, most=100)
        [[0, 2], [1], [3]]
    """
    waiting: dict[int, deque[int]] = {}
    for place, topic in enumerate(topics.tolist()):
        waiting.setdefault(topic, deque()).append(place)
    here = np.unique(topics)
    windows, used = list[list[int]](), np.zeros(len(topics), dtype=bool)
    for first in range(len(topics)):
        if used[first]:
            continue
        window, room, place = list[int](), most, first
        while place >= 0:
            topic = int(topics[place])
            waiting[topic].remove(place)
            used[place] = True
            window.append(place)
            room -= sizes[place]
            linked = [topic, *here[np.isin(here, graph.neighbours(topic))].tolist()]
            fitting = (next((p for p in waiting[t] if sizes[p] <= room), -1) for t in linked)
            place = min((p for p in fitting if p >= 0), default=-1)
        windows.append(window)
    return windows
