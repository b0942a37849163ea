"""The best order in which to read a small invented world, by exact search.

What is maximised is the area under the share of facts that can be inferred, over topics read. A fact can be inferred
once the topics whose passages state its parts have all been read: a stated fact with its subject, a fact of two hops
with its subject and the topic that it leads through.
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
"""Topics beside the nucleus that are searched; their subsets are all looked at."""

_Layer = dict[int, tuple[int, tuple[int, ...]]]
"""For sets of the same number of topics, as bits: what the best order of each is worth in all, and that order."""


@dataclass(frozen=True)
class ReadingOrder:
    """An order of topics and what it is worth.

    Args:
        topics: The topics after the nucleus, in order.
        shares: Share of all facts that can be inferred after the nucleus and after each of the topics, float64
            `[topics + 1]`.
    """

    topics: tuple[int, ...]
    shares: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The mean of `shares`: the area under them, from 0 to 1."""
        return float(self.shares.mean())


def inferable_shares(world: InventedWorld, nucleus: Sequence[int], topics: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of a world's facts that can be inferred after the nucleus and each topic read after it.

    Args:
        world: The world.
        nucleus: Topics read at first.
        topics: Topics read then, in order.

    Returns:
        Shares, float64 of shape `[topics + 1]`.
    """
    when = np.full(len(world.topics), len(topics) + 1)
    when[list(topics)] = np.arange(1, len(topics) + 1)
    when[list(nucleus)] = 0
    known_at = np.array([when[list(fact.sources)].max() for fact in world.facts])
    counts = np.bincount(known_at, minlength=len(topics) + 2)[: len(topics) + 1]
    shares: NDArray[np.float64] = np.cumsum(counts) / len(world.facts)
    return shares


def optimal_order(world: InventedWorld, nucleus: Sequence[int]) -> ReadingOrder:
    """Return the order with the greatest area under the share of inferable facts, over topics read.

    Each topic has to be linked with one read before, in either direction, as a curriculum demands. Found by dynamic
    programming over all sets of topics that can be read (Held and Karp 1962): exact. Of equally good orders it is the
    same one everywhere.

    Args:
        world: A world of no more than 16 topics beside the nucleus.
        nucleus: Topics read at first.

    Raises:
        SettingError: If the world is larger, or there is no nucleus.

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
    while following := _next_layer(layer, search):
        layer = following
    _, topics = next(iter(layer.values()))
    return ReadingOrder(topics, inferable_shares(world, nucleus, topics))


def _next_layer(layer: _Layer, search: _Search) -> _Layer:
    """From the best order for each set of topics to the best for each set of one more: summed worth, and topics."""
    best: _Layer = {}
    for read, (total, topics) in layer.items():
        for topic in search.frontier(read):
            larger = read | 1 << topic
            if larger not in best:
                best[larger] = (-1, ())
            candidate = (total + search.worth(larger), (*topics, topic))
            if candidate[0] > best[larger][0]:
                best[larger] = candidate
    return best


class _Search:
    """A world as bits: a set of topics is a number whose bit i says whether topic i is in it."""

    def __init__(self, world: InventedWorld, nucleus: Sequence[int]) -> None:
        self.nucleus = _bits(nucleus)
        self._needs = [_bits(fact.sources) for fact in world.facts]
        self._linked = [0] * len(world.topics)
        for fact in world.stated:
            self._linked[fact.subject] |= 1 << fact.object
            self._linked[fact.object] |= 1 << fact.subject

    def worth(self, read: int) -> int:
        """Number of facts that can be inferred from a set of topics."""
        return sum(needs & ~read == 0 for needs in self._needs)

    def frontier(self, read: int) -> list[int]:
        """The topics outside of a set that are linked with one inside."""
        return [t for t, linked in enumerate(self._linked) if linked & read and not read >> t & 1]


def _bits(topics: Sequence[int]) -> int:
    return sum(1 << topic for topic in set(topics))
