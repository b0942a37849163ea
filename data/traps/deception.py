"""Deceptive corpora: a cluster with quick gains that leads nowhere, beside a dull path to the goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.data.traps.planted import TRAP_SEED, extended
from kgrl.errors import SettingError
from kgrl.graph.nucleus import choose_nucleus
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["GOALS", "Deceived", "deceive", "deceptive", "goal_of"]

GOALS = {"vital": "Mathematics", "wikispeedia": "Religion"}
"""Goals on the corpora that benchmarks use."""

_CLUSTER_SHARE = 0.2
"""Topics of the cluster as a share of the real ones."""
_CLUSTER_LINKS = 6
"""Links that each topic of the cluster draws to others."""
_CORRIDOR = 4
"""Topics of the path to the goal."""
_PASSAGES = ((Split.TRAIN, 4), (Split.PROBE, 1))
_PLACES = ("Northgate", "Harbour", "Old Mill", "Market", "Castle", "Riverside", "Junction", "Airport")
_NUCLEUS = 8


@dataclass(frozen=True)
class Deceived:
    """A corpus with a deceptive cluster and a path to the goal.

    Args:
        corpus: The corpus; the cluster's topics come after the real ones.
        real: Number of real topics.
        nucleus: Titles of the nucleus, which is linked with the cluster and with the start of the path.
        corridor: The topics of the path to the goal, from the nucleus on.
    """

    corpus: Corpus
    real: int
    nucleus: tuple[str, ...]
    corridor: tuple[int, ...]

    @property
    def is_planted(self) -> NDArray[np.bool_]:
        """Mask of the topics that belong to the cluster, bool `[topics]`."""
        return np.arange(len(self.corpus.graph)) >= self.real


def deceive(corpus: Corpus, goal: str, seed: int = 0) -> Deceived:
    """Cut off all ways to a goal but a path of dull topics, and plant a cluster beside the nucleus.

    The cluster's topics are timetables of one pattern. After a few of them a learner predicts the others, so gains come
    at once, and the cluster leads nowhere else. The path leads through the real topics with the shortest texts.

    Args:
        corpus: The corpus.
        goal: A category; the nucleus is chosen outside it.
        seed: Seeds the cluster.

    Raises:
        UnknownNameError: If the goal is not a category.
        SettingError: If too few topics lie outside the goal.

    Example:
        >>> titles = [f"t{i}" for i in range(12)]
        >>> graph = TopicGraph.from_links(titles, range(11), range(1, 12), ["a"] * 9 + ["b"] * 3)
        >>> texts = [f"This is passage number {i}." for i in range(12)]
        >>> deceived = deceive(Corpus("line", graph, texts, range(12), [0] * 12), "b")
        >>> len(deceived.corridor), deceived.corpus.graph.titles[12]
        (4, 'Timetable 1')
    """
    rng = np.random.default_rng(seed)
    real, wanted = len(corpus.graph), corpus.graph.in_category(goal)
    outside = np.setdiff1d(np.flatnonzero(corpus.has(Split.TRAIN)), wanted)
    if len(outside) < _CORRIDOR + 1:
        raise SettingError(f"outside of {goal!r} there are only {len(outside)} topics with text")
    corridor = _dullest(corpus, outside)
    # Path and goal lose all links to the rest, so that the new path is the only way.
    cut = _cut_off(corpus, np.union1d(wanted, corridor), wanted)
    eligible = np.isin(np.arange(real), np.setdiff1d(outside, corridor))
    nucleus = choose_nucleus(cut.graph, size=_NUCLEUS, eligible=eligible)
    door = int(wanted[np.argmax(corpus.graph.degree[wanted])])
    path = [int(nucleus[0]), *corridor.tolist(), door]  # door: the goal's topic with the most links
    size = max(1, round(_CLUSTER_SHARE * real))
    sources, targets = _cluster_links(real, size, nucleus, cut.graph.degree[nucleus], rng)
    links = path[:-1] + path[1:] + sources, path[1:] + path[:-1] + targets  # the path in both directions
    titles = [f"Timetable {i + 1}" for i in range(size)]
    texts = [
        (real + i, _timetable(rng), split) for i in range(size) for split, count in _PASSAGES for _ in range(count)
    ]
    grown = extended(cut, f"{corpus.name}-deceptive", titles, [""] * size, links, texts)
    return Deceived(grown, real, tuple(corpus.graph.titles[t] for t in nucleus), tuple(corridor.tolist()))


def deceptive(corpus: Corpus) -> Deceived:
    """Plant a cluster of easy gains beside the way to the corpus's goal; see `deceive` and `goal_of`."""
    return deceive(corpus, goal_of(corpus), seed=TRAP_SEED)


def goal_of(corpus: Corpus) -> str:
    """Return the category that benchmarks take as the goal: that of `GOALS`, or the smallest of another corpus.

    Raises:
        SettingError: If the corpus has no categories.
    """
    if corpus.name in GOALS:
        return GOALS[corpus.name]
    named = [name for name in corpus.graph.category_names if name]
    if not named:
        raise SettingError(f"{corpus.name!r} has no categories, and this task needs one as a goal")
    return min(named, key=lambda name: len(corpus.graph.in_category(name)))


def _dullest(corpus: Corpus, topics: IntArray) -> IntArray:
    """Return the topics with the fewest words to train on, fewest first."""
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    words = np.bincount(corpus.topics[train], corpus.word_counts[train], len(corpus.graph))
    dullest: IntArray = topics[np.argsort(words[topics], kind="stable")[:_CORRIDOR]]
    return dullest


def _cut_off(corpus: Corpus, isolated: IntArray, goal: IntArray) -> Corpus:
    """Return the corpus without the links of isolated topics; links among the goal's topics stay."""
    sources, targets = corpus.graph.links()
    within = np.isin(sources, goal) & np.isin(targets, goal)
    kept = within | ~(np.isin(sources, isolated) | np.isin(targets, isolated))
    graph = TopicGraph.from_links(corpus.graph.titles, sources[kept], targets[kept], corpus.graph.categories)
    needed, needing = corpus.graph.prerequisites()
    still = graph.positions(needed, needing) >= 0
    graph = graph.with_prerequisites(needed[still], needing[still])
    return Corpus(corpus.name, graph, corpus.texts, corpus.topics, corpus.splits, corpus.questions)


def _cluster_links(
    first: int, size: int, nucleus: IntArray, doors_each: IntArray, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Return links among the cluster's topics, and from each nucleus topic as many as it has links already."""
    members = first + np.arange(size)
    inner = np.repeat(members, _CLUSTER_LINKS), rng.choice(members, size * _CLUSTER_LINKS)
    doors = np.repeat(nucleus, doors_each), rng.choice(members, int(doors_each.sum()))
    apart = inner[0] != inner[1]  # no link of a topic with itself
    sources, targets = (np.concatenate([one[apart], door]).tolist() for one, door in zip(inner, doors, strict=True))
    return sources, targets


def _timetable(rng: np.random.Generator) -> str:
    """Return a passage of the cluster's pattern, with places and times drawn at random."""
    rows = []
    for _ in range(4):
        start, end = rng.choice(len(_PLACES), 2, replace=False)
        hour, minute = rng.integers(5, 24), 5 * rng.integers(12)
        rows.append(f"The bus from {_PLACES[start]} to {_PLACES[end]} leaves at {hour:02d}:{minute:02d}.")
    return " ".join(rows)
