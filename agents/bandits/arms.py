"""Arms of bandits, and the base class of bandits.

A topic is learned once and then leaves the frontier for good, so no bandit could learn its value by picking it again.
Bandits therefore pull arms that persist: groups of topics. An expansion pulls the arm of the picked topic, whatever
other topics its neighbourhood holds.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent
from kgrl.curriculum.view import View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.communities import find_communities
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["ArmBandit", "Arms", "Floats", "Mask", "RunningScale", "payoff", "softmax"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_COMMUNITIES = 8
"""Number of communities that serve as arms; fewer if the graph falls into fewer."""


class Arms:
    """The arm of each topic: its category, or its community if the graph has fewer than two categories.

    Topics without a category form one more arm beside the categories.

    Args:
        graph: The topic graph.

    Attributes:
        of_topic: The arm of each topic, int32 `[topics]`.
        count: Number of arms.

    Example:
        >>> arms = Arms(TopicGraph.from_links(["Logic", "Set", "Lake"], [0, 1], [1, 2], ["Formal", "Formal", "Nature"]))
        >>> arms.count, arms.of_topic.tolist()
        (2, [0, 0, 1])
        >>> arms.candidates(np.array([1])).tolist()
        [1, 0]
    """

    def __init__(self, graph: TopicGraph) -> None:
        if len(graph.category_names) > 1:
            self.of_topic: IntArray = np.unique(graph.categories, return_inverse=True)[1].astype(np.int32)
        else:
            self.of_topic = _by_community(graph)
        self.count = int(self.of_topic.max(initial=0)) + 1

    def candidates(self, topics: IntArray) -> NDArray[np.int64]:
        """Return the number of each arm's topics among some topics, int64 `[arms]`."""
        return np.bincount(self.of_topic[topics], minlength=self.count)


def _by_community(graph: TopicGraph) -> IntArray:
    for n in range(_COMMUNITIES, 1, -1):
        try:
            return find_communities(graph, n)
        except SettingError:  # the graph falls into fewer
            continue
    return np.zeros(len(graph), dtype=np.int32)


class ArmBandit(BaseAgent):
    """Base class of bandits: draws an arm from a distribution, then one of the arm's candidates uniformly.

    The published formulas have no frontier. Their distribution is therefore restricted to the arms that have candidates
    and normalised again. The result is the probability with which an arm is pulled; importance weights use it.

    Subclasses define `begin`, `distribution` and `learn`. Their memory follows from `learn` alone, and a resumed
    curriculum restores the chances of each recorded pull (`remind`), so it continues as if uninterrupted.

    Attributes:
        pulled: The chances with which the arm of the latest choice was pulled, `[arms]`; None once its result was
            observed. Where results come late it is kept with the choice, and set again before `observe`.
    """

    def reset(self, view: View) -> None:
        """Find the arms of the graph and forget all pulls."""
        self._arms = Arms(view.graph)
        self.pulled: Floats | None = None
        self.begin(self._arms.count)

    @abstractmethod
    def begin(self, n: int) -> None:
        """Start over with n arms that were never pulled."""

    @abstractmethod
    def distribution(self, available: Mask) -> Floats:
        """Return the chance of each arm by the formula, `[arms]`; values of unavailable arms are ignored.

        Args:
            available: True for arms that have candidates, `[arms]`; at least one has.
        """

    @abstractmethod
    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Learn from a pull.

        Args:
            arm: The arm that was pulled.
            expansion: The expansion that followed.
            chances: The probability with which each arm was pulled, `[arms]`; above 0 for `arm`.
        """

    def chances(self, available: Mask) -> Floats:
        """Return the distribution, restricted to the arms that are available, `[arms]`."""
        restricted = np.where(available, self.distribution(available), 0.0)
        normalised: Floats = restricted / restricted.sum()
        return normalised

    def remind(self, view: View) -> None:
        """Record the chances with which arms are pulled now; see `Reminded.remind`."""
        self.pulled = self.chances(self._arms.candidates(view.candidates) > 0)

    def preferences(self, view: View) -> tuple[IntArray, Floats]:
        """Return the candidates and their chances: the arm's chance divided equally among its candidates."""
        candidates = view.candidates
        counts = self._arms.candidates(candidates)
        if not len(candidates):
            return candidates, np.empty(0)
        shares = self.chances(counts > 0) / np.maximum(1, counts)
        return candidates, shares[self._arms.of_topic[candidates]]

    def choose(self, view: View) -> int:
        """Return a candidate of an arm drawn by its chance."""
        self.remind(view)
        arm = view.rng.choice(self._arms.count, p=self.pulled)
        candidates = view.candidates
        return int(view.rng.choice(candidates[self._arms.of_topic[candidates] == arm]))

    def observe(self, expansion: Expansion) -> None:
        """Learn from an expansion."""
        arm, chances = int(self._arms.of_topic[expansion.topic]), self.pulled
        # An expansion that this agent did not choose (an environment's) counts as chosen among all arms.
        if chances is None or chances[arm] == 0:
            chances = self.chances(np.ones(self._arms.count, dtype=bool))
        self.pulled = None
        self.learn(arm, expansion, chances)


def payoff(expansion: Expansion) -> float:
    """Return an expansion's progress per unit cost: its reward per thousand tokens trained on.

    If the curriculum has no reward, the gain on the probe `mean` or `target` is used, in nats per token.

    Raises:
        SettingError: If the expansion has neither; the message says how to get one.

    Example:
        >>> payoff(Expansion(1, 0, "Logic", (0,), (0,), 500, 500, 1_000, 3.2, reward=0.25))
        0.5
    """
    gains = (expansion.probes[name].gain for name in ("mean", "target") if name in expansion.probes)
    progress = expansion.reward if expansion.reward is not None else next(gains, None)
    if progress is None:
        raise SettingError(
            f"bandits learn from progress, and expansion {expansion.index} ({expansion.title}) was not measured: "
            "give the curriculum a reward, for example 'mean-prediction-gain'"
        )
    return 1_000 * progress / expansion.tokens


class RunningScale:
    """Running scale of payoffs: the 20th percentile of those so far becomes 0, the 80th 1; values outside are clipped.

    The payoff itself is one of them (Graves et al. 2017). The result is 0.5 if the two percentiles are equal.

    Example:
        >>> scale = RunningScale()
        >>> [round(scale(value), 3) for value in (3.0, 5.0, 4.0)]
        [0.5, 1.0, 0.5]
    """

    def __init__(self) -> None:
        self._seen: list[float] = []

    def __call__(self, value: float) -> float:
        """Record a payoff and return it rescaled, 0 to 1."""
        self._seen.append(value)
        low, high = np.percentile(self._seen, (20, 80))
        return 0.5 if low == high else float((np.clip(value, low, high) - low) / (high - low))


def softmax(logits: Floats) -> Floats:
    """Return chances in proportion to the exponentials of logits, without overflow.

    Example:
        >>> softmax(np.array([1_000.0, 1_000.0])).tolist()
        [0.5, 0.5]
    """
    grown = np.exp(logits - logits.max())  # at most 1
    chances: Floats = grown / grown.sum()
    return chances
