"""Rewards of the learned subgraph's shape: its holes, its cycles, and its freedom to move.

The learned subgraph consists of the learned topics and all links among them, directions ignored. In the formulas V and
E are its topics and links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.learned_set import Change
from kgrl.rewards.registry import rewards

if TYPE_CHECKING:  # its kernels bring numba, which other rewards do not need
    from kgrl.rewards.flag_complex import Components, FlagComplex

__all__ = ["ConformationalFreedom", "CycleRank", "InformationGap"]


class _ComplexChange(Change):
    """A change of a number of a complex whose vertices are the learned topics, in the order they were learned."""

    complex: FlagComplex | Components
    """Set by `_clear` of the subclass."""

    def _clear(self) -> None:
        # The vertex of each topic, `[topics]`; only the entries of learned topics are set.
        self._vertices: IntArray = np.empty(len(self.context.graph), dtype=np.int32)

    def _add(self, topic: int) -> None:
        self._vertices[topic] = self.complex.vertices
        self.complex.add(self._vertices[self.near(topic)])


@rewards.register("information-gap")
class InformationGap(_ComplexChange):
    """Information gap: the change of beta_1, the first Betti number of the learned subgraph's clique complex.

    beta_1 = |E| - |V| + components - rank of the triangles' boundaries over GF(2): the number of independent cycles of
    links that no triangles of linked topics fill. The reward is positive when learning opens gaps (topics are known,
    the topics that would connect them are not) and negative when it closes them. Rewarding it seeks gaps; weighting it
    with -1 seeks closure.
    Unit: gaps. Range: integers. Source: Patankar et al. 2023, after Loewenstein's information gap theory (1994).
    Needs: the graph. The value is exact; time grows with the links among the added topics' neighbours, and with all
    learned links for every gap that is closed.

    Example:
        >>> from kgrl.expansion import Expansion
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.rewards import RewardContext
        >>> square = TopicGraph.from_links(list("abcd"), [0, 1, 2, 3], [1, 2, 3, 0])
        >>> reward = InformationGap()
        >>> reward.bind(RewardContext(square, np.eye(4, dtype=np.float32)))
        >>> [reward(Expansion(i, i, "", (i,), (), 50, 50, 100, 3.2)) for i in range(4)]
        [0.0, 0.0, 0.0, 1.0]
    """

    name = "information-gap"
    complex: FlagComplex

    def value(self) -> float:
        """Return the first Betti number."""
        return self.complex.holes

    def _clear(self) -> None:
        from kgrl.rewards.flag_complex import FlagComplex

        self.complex = FlagComplex()
        super()._clear()


@rewards.register("cycle-rank")
class CycleRank(_ComplexChange):
    """Cycle rank: the change of |E| - |V| + components of the learned subgraph, a proxy of `InformationGap`.

    It counts all independent cycles, including those that triangles fill, and therefore never falls.
    Unit: cycles. Range: integers from 0. Source: the circuit rank of a graph. Needs: the graph.
    """

    name = "cycle-rank"
    complex: Components

    def value(self) -> float:
        """Return the cycle rank."""
        return self.complex.cycle_rank

    def _clear(self) -> None:
        from kgrl.rewards.flag_complex import Components

        self.complex = Components()
        super()._clear()


@rewards.register("conformational-freedom")
class ConformationalFreedom(Change):
    """Conformational freedom: the change of d|V| - |E| - d(d + 1)/2 of the learned subgraph.

    By Maxwell's count this is the number of independent ways in which a framework of |V| joints and |E| bars in d
    dimensions can move, rigid motions excluded: each topic adds d, each link among learned topics takes 1.
    Unit: degrees of freedom. Range: integers, at most d for each topic added. Source: Patankar et al. 2023,
    conformational change theory. Needs: the graph.

    Args:
        dimensions: d, at least 1.

    Raises:
        ValueError: If `dimensions` is below 1.
    """

    name = "conformational-freedom"

    def __init__(self, dimensions: int = 2) -> None:
        if dimensions < 1:
            raise ValueError(f"a framework moves in at least 1 dimension, not {dimensions}")
        self.dimensions = dimensions

    def value(self) -> float:
        """Return the degrees of freedom, by Maxwell's count."""
        d = self.dimensions
        return d * self._topics - self._links - d * (d + 1) // 2

    def _clear(self) -> None:
        self._topics, self._links = 0, 0

    def _add(self, topic: int) -> None:
        self._topics, self._links = self._topics + 1, self._links + len(self.near(topic))
