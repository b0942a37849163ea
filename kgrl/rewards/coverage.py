"""Rewards of reach: how much of the graph, or of the space of topics, lies near what is learned."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgrl.rewards.base import RewardContext
from kgrl.rewards.change import Change
from kgrl.rewards.registry import rewards

__all__ = ["Coverage", "FacilityLocation"]


@rewards.register("coverage")
class Coverage(Change):
    """Coverage: the change of |N[S]| / |V|, the share of topics that are learned or linked with a learned one.

    Links count in either direction. Unit: share of topics. Range: 0 to 1, over a whole curriculum too.
    Source: maximum coverage (Nemhauser et al. 1978). Needs: the graph.
    """

    name = "coverage"

    def value(self) -> float:
        """The share of topics in the closed neighbourhood of the learned set."""
        return self._reached / len(self._covered)

    def _clear(self) -> None:
        self._covered, self._reached = np.zeros(len(self.context.graph), dtype=bool), 0

    def _add(self, topic: int) -> None:
        neighbours = self.context.graph.neighbours(topic)
        self._reached += len(neighbours) - int(self._covered[neighbours].sum()) + int(not self._covered[topic])
        self._covered[neighbours] = True
        self._covered[topic] = True


@rewards.register("facility-location")
class FacilityLocation(Change):
    """Facility location: the change of the mean over topics of the largest cosine to a learned topic.

    The cosine to an empty set is 0, and negative cosines count as 0, so that the value is submodular and never falls.
    The mean is over at most `sample` topics, the same for every curriculum, so that a large graph costs no more.
    Unit: cosine. Range: 0 to 1, over a whole curriculum too. Source: Krause and Golovin 2014. Needs: the graph and
    embeddings.

    Args:
        sample: Most topics that the mean is over; all if the graph has no more.

    Raises:
        ValueError: If the sample is empty.
    """

    name = "facility-location"
    needs = frozenset({"graph", "embeddings"})

    def __init__(self, sample: int = 2_048) -> None:
        if sample < 1:
            raise ValueError(f"a mean is over at least 1 topic, not {sample}")
        self.sample = sample

    def bind(self, context: RewardContext) -> None:
        """Draw the topics that the mean is over."""
        topics = len(context.graph)
        self._demand = np.random.default_rng(0).permutation(topics)[: self.sample]
        super().bind(context)

    def value(self) -> float:
        """The mean of the largest cosines."""
        return float(self._largest.mean(dtype=np.float64))

    def learn(self, topics: Iterable[int]) -> None:
        """Take topics into the learned set, in one product of embeddings."""
        new = [topic for topic in dict.fromkeys(topics) if not self.is_learned[topic]]
        embeddings = self.context.embeddings
        if new:
            demand = embeddings if len(self._demand) == len(embeddings) else embeddings[self._demand]
            np.maximum(self._largest, (demand @ embeddings[new].T).max(axis=1), out=self._largest)
            self.is_learned[new] = True

    def _clear(self) -> None:
        self._largest = np.zeros(len(self._demand), dtype=np.float32)

    def _add(self, topic: int) -> None:
        raise AssertionError("topics are added by learn")
