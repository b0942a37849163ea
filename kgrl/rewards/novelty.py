"""Novelty rewards: the distance of added topics from the learned ones, scored before they are added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.rewards.base import RewardContext
from kgrl.rewards.learned_set import Bound
from kgrl.rewards.registry import rewards

__all__ = ["CountNovelty", "Novelty", "RandomNetworkDistillation"]

FloatArray = NDArray[np.float32]

_LEAST_ROOM = 64
_HIDDEN, _OUTPUTS = 64, 16
_GAIN = 3.0
"""Scale of the first layer's weights: for unit vectors large enough that tanh is not linear, so that the outputs tell
near topics from far ones."""
_STEPS, _RATE = 4, 1 / _HIDDEN
"""Steps and learning rate of gradient descent. The squared length of the hidden layer is below its size; at twice this
rate descent could diverge."""


class _Remembering(Bound):
    """A reward that learns from each expansion after scoring it, and from the nucleus without scoring."""

    needs = frozenset({"embeddings"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean novelty of the expansion's topics, then remember them."""
        _ = self.context  # raises where there is none
        topics = list(expansion.neighbourhood)
        value = self._novelty(topics)
        self._remember(topics)
        return value

    def learn(self, topics: Iterable[int]) -> None:
        """Remember topics without scoring them."""
        self._remember(list(topics))

    @abstractmethod
    def _novelty(self, topics: list[int]) -> float:
        """Return the mean novelty of topics, given the topics remembered so far."""

    @abstractmethod
    def _remember(self, topics: list[int]) -> None:
        """Add topics to the state."""


@rewards.register("novelty")
class Novelty(_Remembering):
    """Novelty: 1 - the largest cosine to a learned topic, the mean over the topics added; 1 if nothing is learned.

    Topics of one expansion are compared with the topics learned before it, not with one another.
    Unit: cosine distance. Range: 0 to 2. Source: novelty search (Lehman and Stanley 2011) with one neighbour.
    Needs: embeddings.
    """

    name = "novelty"

    def _clear(self) -> None:
        self._count = 0
        self._rows: FloatArray = np.empty((0, 0), dtype=np.float32)

    def _novelty(self, topics: list[int]) -> float:
        if not self._count:
            return 1.0
        largest = (self._rows[: self._count] @ self.context.embeddings[topics].T).max(axis=0)  # [topics added]
        return 1.0 - float(largest.mean(dtype=np.float64))

    def _remember(self, topics: list[int]) -> None:
        new, end = self.context.embeddings[topics], self._count + len(topics)
        if end > len(self._rows):
            # Twice the room that is needed, so that copying costs a constant time for each topic.
            longer = np.empty((max(2 * end, _LEAST_ROOM), new.shape[1]), dtype=np.float32)
            if self._count:
                longer[: self._count] = self._rows[: self._count]
            self._rows = longer
        self._rows[self._count : end] = new
        self._count = end


@rewards.register("count-novelty")
class CountNovelty(_Remembering):
    """Count-based novelty: n^(-1/2), n counting the topic and the learned topics of its category; the mean over topics.

    Topics without a category make up one group. Unit: none. Range: above 0, at most 1.
    Source: Bellemare et al. 2016. Needs: the graph.

    Args:
        groups: Groups to count instead of categories: the group of each topic from 0, int `[topics]`, such as
            `kgrl.graph.find_communities(graph)`.

    Example:
        >>> context = RewardContext(TopicGraph.from_links("abc", [0], [1], ["x", "x", "y"]), np.eye(3))
        >>> reward = CountNovelty()
        >>> reward.bind(context)
        >>> [round(reward(Expansion(i, i, "", (i,), (), 50, 50, 100, 3.2)), 3) for i in range(3)]
        [1.0, 0.707, 1.0]
    """

    name = "count-novelty"
    needs = frozenset({"graph"})

    def __init__(self, groups: IntArray | None = None) -> None:
        self.groups = groups

    def bind(self, context: RewardContext) -> None:
        """Look up the groups.

        Raises:
            SettingError: If the graph has no categories and no groups were given, or not one for each topic.
        """
        self._groups = _categories(context.graph) if self.groups is None else np.asarray(self.groups)
        if len(self._groups) != len(context.graph) or self._groups.min() < 0:
            raise SettingError("count-novelty needs one group from 0 for each topic of the graph")
        super().bind(context)

    def _clear(self) -> None:
        self._counts = np.zeros(int(self._groups.max()) + 1, dtype=np.int64)

    def _novelty(self, topics: list[int]) -> float:
        counts = self._counts.copy()  # topics of the same expansion count one another, in order
        values = []
        for group in self._groups[topics].tolist():
            counts[group] += 1
            values.append(float(counts[group]) ** -0.5)
        return float(np.mean(values))

    def _remember(self, topics: list[int]) -> None:
        np.add.at(self._counts, self._groups[topics], 1)


def _categories(graph: TopicGraph) -> IntArray:
    """The number of each topic's category from 1, 0 where it has none."""
    if not graph.category_names:
        raise SettingError("count-novelty counts categories; this graph has none: pass groups=find_communities(graph)")
    groups = np.zeros(len(graph), dtype=np.int32)
    for number, name in enumerate(graph.category_names):
        groups[graph.in_category(name)] = number + 1
    return groups


@rewards.register("random-network-distillation")
class RandomNetworkDistillation(_Remembering):
    """Random network distillation: the error of a network that learns to predict a fixed random one on learned topics.

    The reward is the mean over the topics added of the mean squared difference between the two networks' outputs, each
    tanh(x A) B of the topic's embedding x. The predictor then takes four steps of gradient descent on these topics, so
    topics like the learned ones have a small error. The same seed gives the same networks and values.
    Unit: squared outputs, of variance near 1. Range: 0 and above. Source: Burda et al. 2019. Needs: embeddings.

    Args:
        seed: Draws the two networks.
    """

    name = "random-network-distillation"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def bind(self, context: RewardContext) -> None:
        """Draw the two networks."""
        rng = np.random.default_rng(self.seed)
        dimensions = context.embeddings.shape[1]
        self._target = _draw_network(rng, dimensions)
        self._untaught = _draw_network(rng, dimensions)
        super().bind(context)

    def _clear(self) -> None:
        first, second = self._untaught
        self._predictor = first.copy(), second.copy()

    def _novelty(self, topics: list[int]) -> float:
        inputs = self.context.embeddings[topics]
        difference = _outputs(self._predictor, inputs) - _outputs(self._target, inputs)
        return float(np.mean(np.square(difference), dtype=np.float64))

    def _remember(self, topics: list[int]) -> None:
        inputs = self.context.embeddings[topics]  # [topics added, dimensions]
        wanted = _outputs(self._target, inputs)  # [topics added, 16]
        first, second = self._predictor  # [dimensions, 64], [64, 16]; changed in place
        for _ in range(_STEPS):
            hidden = np.tanh(inputs @ first)
            error = (hidden @ second - wanted) * (_RATE / len(topics))
            # The gradient behind tanh, from the second layer before that layer's own step.
            back = (error @ second.T) * (1 - hidden * hidden)
            second -= hidden.T @ error
            first -= inputs.T @ back


def _draw_network(rng: np.random.Generator, dimensions: int) -> tuple[FloatArray, FloatArray]:
    first = _GAIN * rng.normal(size=(dimensions, _HIDDEN))
    second = rng.normal(size=(_HIDDEN, _OUTPUTS)) / np.sqrt(_HIDDEN)
    return first.astype(np.float32), second.astype(np.float32)


def _outputs(network: tuple[FloatArray, FloatArray], inputs: FloatArray) -> FloatArray:
    outputs: FloatArray = np.tanh(inputs @ network[0]) @ network[1]
    return outputs
