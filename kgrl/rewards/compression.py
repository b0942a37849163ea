"""Compression progress: the growth of the learned subgraph's compressibility.

A random walk on a network, seen at a scale of n clusters, has an entropy rate S(n) in bits a step. A network is
compressible if S(n) falls fast with n (Lynn and Bassett 2021, "Quantifying the compressibility of complex networks").
"""

from __future__ import annotations

import numpy as np

from kgrl.graph.topic_graph import IntArray
from kgrl.rewards.learned_set import Change
from kgrl.rewards.registry import rewards

__all__ = ["CompressionProgress", "compressibility"]

_LEAST_ROOM = 64


def compressibility(n: int, sources: IntArray, targets: IntArray) -> float:
    """Return C = mean over n of S(N) - S(n), in bits, of an undirected network.

    S(N), the entropy rate at full scale, is exact, and so is every S(n) for its clustering. A search for the best
    clusterings takes too long. Lynn and Bassett merge pairs greedily, which on real networks mostly grows one cluster.
    Here one cluster grows from the topic of highest degree, once by the topic with most links into it and once by the
    topic with the largest share of its links into it; S(n) is the lower of the two. Ties go to the topic of the highest
    degree, then of the lowest number. On forty random graphs of 10 to 30 topics C differs from that of the greedy
    search by 5% on average and 24% at most; their rank correlation is 0.96. Time grows with the square of n.

    Args:
        n: Number of vertices.
        sources: One end of each link, int32 `[links]`.
        targets: The other end, int32 `[links]`.

    Returns:
        Bits a step of the walk; 0 without links.

    Example:
        >>> triangle = compressibility(3, np.array([0, 0, 1], dtype=np.int32), np.array([1, 2, 2], dtype=np.int32))
        >>> round(triangle, 3)  # S(3) = 1, S(2) = 2/3, S(1) = 0: mean of 0, 1/3 and 1
        0.444
    """
    from kgrl.rewards.compression_kernels import rise

    return float(rise(n, sources, targets)) if len(sources) else 0.0


@rewards.register("compression-progress")
class CompressionProgress(Change):
    """Compression progress: the change of compressibility C = mean over n of S(N) - S(n) of the learned subgraph.

    S(n) is the entropy rate of the random walk seen at n clusters. The clusterings are those of `compressibility`,
    which approximate Lynn and Bassett's greedy search; S(N) is exact. Unit: bits a step of the walk. Range: unbounded.
    Source: Lynn and Bassett 2021; Patankar et al. 2023. Needs: the graph.

    Example:
        >>> from kgrl.expansion import Expansion
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.rewards import RewardContext
        >>> triangle = TopicGraph.from_links(list("abc"), [0, 1, 2], [1, 2, 0])
        >>> reward = CompressionProgress()
        >>> reward.bind(RewardContext(triangle, np.eye(3, dtype=np.float32)))
        >>> [round(reward(Expansion(i, i, "", (i,), (), 50, 50, 100, 3.2)), 3) for i in range(3)]
        [0.0, 0.0, 0.444]
    """

    name = "compression-progress"
    _value: float | None

    def value(self) -> float:
        """Return the compressibility, in bits a step."""
        if self._value is None:
            learned = np.sort(self._learned)  # numbered by topic, so that the order of learning breaks no ties
            self._vertices[learned] = np.arange(len(learned))
            self._value = compressibility(len(learned), *self._vertices[self._links[:, : self._count]])
        return self._value

    def _clear(self) -> None:
        self._learned: list[int] = []
        self._links, self._count = np.empty((2, _LEAST_ROOM), dtype=np.int32), 0  # pairs of topics, [2, room]
        self._vertices = np.empty(len(self.context.graph), dtype=np.int32)  # [topics]; set for learned topics only
        self._value = 0.0  # of the links so far; None if it has to be computed again

    def _add(self, topic: int) -> None:
        near, at = self.near(topic), self._count
        self._learned.append(topic)
        self._count += len(near)
        if self._count > self._links.shape[1]:
            self._links = np.concatenate((self._links, np.empty((2, self._count), dtype=np.int32)), axis=1)
        self._links[0, at : self._count] = topic
        self._links[1, at : self._count] = near
        self._value = None
