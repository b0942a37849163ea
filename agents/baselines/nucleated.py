"""Agents that read one set of topics until they know it, and then a larger one.

Knowledge comes after a plateau that is shorter where few topics are read often (Zucchet et al. 2025, "How do language
models learn facts?", arXiv 2503.21676; Charton and Kempe 2024, "Emergent properties with repeated examples", arXiv
2410.07041). `nucleated` grows the set along links, from the nucleus; `random-nucleated` is its control.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents, check_setting
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["Nucleated", "RandomNucleated"]

_DAMPING = 2.0
"""Added to a topic's degree, so that topics of one or two links do not come first in growing along links."""


@agents.register("nucleated")
class Nucleated(BaseAgent):
    """Uniform over the passages of a set of topics, which grows along links as its topics become solid.

    The set starts with the nucleus and the topics that are linked with it most closely: those of the largest share of
    links that lead into the set, one after another. When enough of its topics are solid it grows in the same way.
    Passages are drawn without regard to how often they were read: to read new topics until they have caught up would
    be to read them in a block, and what was known before would fade.

    Args:
        start: Topics of the set at the start, at least; all of the nucleus are in it.
        growth: Factor by which the set grows, above 1.
        solid: Share of the set's topics that have to be solid before it grows, from 0 to 1.

    Raises:
        SettingError: If a setting is out of range.

    Example:
        >>> Nucleated(growth=2)
        Nucleated(start=40, growth=2, solid=0.5)
    """

    frontier_only = False
    reads_probes = False
    reads_passages = True

    def __init__(self, start: int = 40, growth: float = 1.6, solid: float = 0.5) -> None:
        check_setting("start", start, 1)
        check_setting("growth", growth, 1, above=True)
        check_setting("solid", solid, 0, 1)
        self.start, self.growth, self.solid = start, growth, solid

    def reset(self, view: View) -> None:
        """Gather the first set."""
        self._in_set = np.zeros(len(view.graph), dtype=bool)
        self._in_set[view.nucleus] = True
        self._enlarge(view, self.start)

    def choose(self, view: View) -> IntArray:
        """Return the passages of the set in an order drawn uniformly."""
        self.remind(view)
        readable = view.readable()
        ours = readable[self._in_set[view.passage_topics[readable]]]
        # A set whose passages were all read as often as they may be is left behind.
        return view.rng.permutation(ours if len(ours) else readable)

    def remind(self, view: View) -> None:
        """Let the set grow if enough of it is solid; a resumed curriculum calls this for each recorded choice."""
        size = int(self._in_set.sum())
        if view.frontier.is_solid[self._in_set].mean() >= self.solid and size < len(self._in_set):
            self._enlarge(view, int(np.ceil(size * self.growth)))

    def observe(self, expansion: Expansion) -> None:
        """Nothing: the view tells what is solid."""

    def _enlarge(self, view: View, size: int) -> None:
        """Let the set grow to a size, as far as there are topics."""
        for topic in self._order(view, size - int(self._in_set.sum())):
            self._in_set[topic] = True

    def _order(self, view: View, wanted: int) -> list[int]:
        """Return the topics to add."""
        return _closest(view.graph, self._in_set, wanted)


@agents.register("random-nucleated")
class RandomNucleated(Nucleated):
    """Like `nucleated`, with a set of topics drawn uniformly: the control that shows what the links are worth.

    The nucleus is not in it. Arguments are those of `Nucleated`.

    Example:
        >>> RandomNucleated()
        RandomNucleated(start=40, growth=1.6, solid=0.5)
    """

    def reset(self, view: View) -> None:
        """Draw the order in which topics are added, and the first set."""
        self._drawn: list[int] = view.glance().rng.permutation(len(view.graph)).tolist()
        self._in_set = np.zeros(len(view.graph), dtype=bool)
        self._enlarge(view, self.start)

    def _order(self, view: View, wanted: int) -> list[int]:
        size = int(self._in_set.sum())
        return self._drawn[size : size + max(0, wanted)]


def _closest(graph: TopicGraph, inside: NDArray[np.bool_], wanted: int) -> list[int]:
    """Return topics to add to a set one after another, each the one with the largest share of links into the set."""
    inside, found = inside.copy(), list[int]()
    links = np.zeros(len(graph))
    for known in np.flatnonzero(inside).tolist():
        links[graph.neighbours(known)] += 1
    while len(found) < wanted and not inside.all():
        share = np.where(inside, -1.0, links / (_DAMPING + graph.degree))
        topic = int(np.argmax(share))
        inside[topic] = True
        links[graph.neighbours(topic)] += 1
        found.append(topic)
    return found
