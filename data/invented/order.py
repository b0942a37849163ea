"""Optimal reading order of a small invented world, by exact search.

The search maximises the area under the share of facts that can be inferred, over topics read. A fact can be inferred
once all topics whose passages state its parts have been read: for a stated fact its subject, for a fact of two hops its
subject and the topic that it leads through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.data.invented.world import InventedWorld
from kgrl.errors import SettingError

__all__ = ["MOST_TOPICS", "ReadingOrder", "inferable_shares", "optimal_order"]

MOST_TOPICS = 16
"""Most topics besides the nucleus; the search visits all subsets of them that can be read."""

_Layer = dict[int, tuple[int, tuple[int, ...]]]
"""Best orders of all sets of one size: from a set, as bits, to the summed worth of its best order and that order."""


@dataclass(frozen=True)
class ReadingOrder:
    """An order of topics and its shares of inferable facts.

    Args:
        topics: The topics after the nucleus, in order.
        shares: Share of all facts that can be inferred, after the nucleus and after each topic, float64
            `[topics + 1]`.
    """

    topics: tuple[int, ...]
    shares: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The mean of `shares`: the area under them, from 0 to 1."""
        return float(self.shares.mean())


def inferable_shares(world: InventedWorld, nucleus: Sequence[int], topics: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of a world's facts that can be inferred, after the nucleus and after each further topic.

    Args:
        world: The world.
        nucleus: Topics read first.
        topics: Topics read after them, in order.

    Returns:
        Shares, float64 of shape `[topics + 1]`.
    """
    # The step at which each topic is read; topics that are never read get one step after the last.
    when = np.full(len(world.topics), len(topics) + 1)
    when[list(topics)] = np.arange(1, len(topics) + 1)
    when[list(nucleus)] = 0
    known_at = np.array([when[list(fact.sources)].max() for fact in world.facts])
    counts = np.bincount(known_at, minlength=len(topics) + 2)[: len(topics) + 1]
    shares: NDArray[np.float64] = np.cumsum(counts) / len(world.facts)
    return shares


def optimal_order(world: InventedWorld, nucleus: Sequence[int]) -> ReadingOrder:
    """Return the order with the greatest area under the share of inferable facts, over topics read.

    Each topic must be linked, in either direction, with one read before, as in a curriculum. The search is exact:
    dynamic programming over all sets of topics that can be read (Held and Karp 1962). Of equally good orders it
    returns the same one on every machine.

    Args:
        world: A world of at most 16 topics besides the nucleus.
        nucleus: Topics read first.

    Raises:
        SettingError: If the world is larger, or the nucleus is empty.

    Example:
        >>> from kgrl.data.invented.world import invent
        >>> best = optimal_order(invent(8), [0])
        >>> len(best.topics), best.shares[-1].item()
        (7, 1.0)
    """
    others = [topic for topic in range(len(world.topics)) if topic not in set(nucleus)]
    if len(others) > MOST_TOPICS or not nucleus:
        sizes = f"{len(nucleus)} topics in the nucleus and {len(others)} others"
        raise SettingError(f"orders are searched for a nucleus and at most {MOST_TOPICS} other topics, not {sizes}")
    search = _Search(world, nucleus)
    layer: _Layer = {search.nucleus: (search.worth(search.nucleus), ())}
    while following := _next_layer(layer, search):  # empty once all topics are read
        layer = following
    _, topics = next(iter(layer.values()))
    return ReadingOrder(topics, inferable_shares(world, nucleus, topics))


def _next_layer(layer: _Layer, search: _Search) -> _Layer:
    """Return the best orders of all sets with one topic more than those of a layer."""
    best: _Layer = {}
    for read, (total, topics) in layer.items():
        for topic in search.frontier(read):
            larger = read | 1 << topic
            if larger not in best:
                best[larger] = (-1, ())
            candidate = (total + search.worth(larger), (*topics, topic))
            if candidate[0] > best[larger][0]:  # of equally good orders the first one found stays
                best[larger] = candidate
    return best


class _Search:
    """A world as bits: in a set of topics, bit i is set if topic i is a member."""

    def __init__(self, world: InventedWorld, nucleus: Sequence[int]) -> None:
        self.nucleus = _bits(nucleus)
        self._needs = [_bits(fact.sources) for fact in world.facts]
        self._linked = [0] * len(world.topics)
        for fact in world.stated:
            self._linked[fact.subject] |= 1 << fact.object
            self._linked[fact.object] |= 1 << fact.subject

    def worth(self, read: int) -> int:
        """Return the number of facts that can be inferred from a set of topics."""
        return sum(needs & ~read == 0 for needs in self._needs)

    def frontier(self, read: int) -> list[int]:
        """Return the topics outside a set that are linked with a topic inside."""
        return [t for t, linked in enumerate(self._linked) if linked & read and not read >> t & 1]


def _bits(topics: Sequence[int]) -> int:
    return sum(1 << topic for topic in set(topics))
