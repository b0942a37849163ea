"""Arms that persist, and what bandits over them have in common.

A topic is learned once and then leaves the frontier for good, so that nothing could be found out about it by picking it
again. Bandits therefore pull arms: groups of topics. An expansion pulls the arm of the topic that was picked, whatever
else its neighbourhood holds.
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

__all__ = ["ArmBandit", "Arms", "Floats", "Mask", "RunningScale", "check_setting", "payoff", "softmax"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_COMMUNITIES = 8
"""Most communities that serve as arms."""


class Arms:
    """The arm of each topic: its category, or its community where fewer than two categories have a name.

    Topics without a category are an arm of their own beside the categories.

    Args:
        graph: The topic graph.

    Example:
        >>> arms = Arms(TopicGraph.from_links(["Logic", "Set", "Lake"], [0, 1], [1, 2], ["Formal", "Formal", "Nature"]))
        >>> arms.count, arms.of_topic.tolist()
        (2, [0, 0, 1])
        >>> arms.candidates(np.array([1])).tolist()
        [1, 0]
    """

    def __init__(self, graph: TopicGraph) -> None:
        self.of_topic: IntArray = _by_category(graph) if len(graph.category_names) > 1 else _by_community(graph)
        self.count = int(self.of_topic.max(initial=0)) + 1

    def candidates(self, topics: IntArray) -> NDArray[np.int64]:
        """Return how many of some topics each arm has, shape `[arms]`."""
        return np.bincount(self.of_topic[topics], minlength=self.count)


def _by_category(graph: TopicGraph) -> IntArray:
    return np.unique(graph.categories, return_inverse=True)[1].astype(np.int32)


def _by_community(graph: TopicGraph) -> IntArray:
    for n in range(_COMMUNITIES, 1, -1):
        try:
            return find_communities(graph, n)
        except SettingError:  # it falls into fewer
            continue
    return np.zeros(len(graph), dtype=np.int32)


class ArmBandit(BaseAgent):
    """Pulls an arm by a distribution over arms, and picks one of the arm's candidates, all alike.

    Formulas know nothing of a frontier. Their distribution is therefore restricted to the arms that have candidates,
    and normalised again; that is the probability with which an arm is pulled, and importance weights use it.

    Subclasses define `begin`, `distribution` and `learn`. What they remember follows from `learn` alone, and a resumed
    curriculum has the chances of each recorded pull noted again (`remind`), so that it goes on as if uninterrupted.
    """

    def reset(self, view: View) -> None:
        """Find the graph's arms, and forget what was learned of others."""
        self._arms = Arms(view.graph)
        self._chances: Floats | None = None
        self.begin(self._arms.count)

    @abstractmethod
    def begin(self, n: int) -> None:
        """Start over with n arms, none of them pulled."""

    @abstractmethod
    def distribution(self, available: Mask) -> Floats:
        """Return the chance of each arm by the formula, `[arms]`; those of arms that are not available do not count.

        Args:
            available: Which arms have candidates, `[arms]`, one at least.
        """

    @abstractmethod
    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Learn from a pull.

        Args:
            arm: The arm that was pulled.
            expansion: What it led to.
            chances: The chance with which each arm could be pulled, `[arms]`; above 0 for the one that was.
        """

    def chances(self, available: Mask) -> Floats:
        """Return the distribution, restricted to the arms that are available, `[arms]`."""
        restricted = np.where(available, self.distribution(available), 0.0)
        normalised: Floats = restricted / restricted.sum()
        return normalised

    def remind(self, view: View) -> None:
        """Take note of the chances with which arms are pulled now."""
        self._chances = self.chances(self._arms.candidates(view.candidates) > 0)

    def preferences(self, view: View) -> tuple[IntArray, Floats]:
        """Return the candidates and the chance of each: that of its arm in equal parts."""
        candidates = view.candidates
        counts = self._arms.candidates(candidates)
        if not len(candidates):
            return candidates, np.empty(0)
        shares = self.chances(counts > 0) / np.maximum(1, counts)
        return candidates, shares[self._arms.of_topic[candidates]]

    def choose(self, view: View) -> int:
        """Return a candidate of an arm drawn by its chance."""
        self.remind(view)
        arm = view.rng.choice(self._arms.count, p=self._chances)
        candidates = view.candidates
        return int(view.rng.choice(candidates[self._arms.of_topic[candidates] == arm]))

    def observe(self, expansion: Expansion) -> None:
        """Learn from an expansion; one that this agent did not choose counts as chosen among all arms."""
        arm, chances = int(self._arms.of_topic[expansion.topic]), self._chances
        if chances is None or chances[arm] == 0:
            chances = self.chances(np.ones(self._arms.count, dtype=bool))
        self._chances = None
        self.learn(arm, expansion, chances)


def payoff(expansion: Expansion) -> float:
    """Return the progress per unit cost of an expansion: its reward per thousand tokens that it trained on.

    Where the curriculum has no reward, the gain on the probe `mean` takes its place, or on `target`.

    Raises:
        SettingError: If the expansion has neither; the message says what to do.

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
    """Says where a payoff lies between the 20th and the 80th percentile of the payoffs so far, 0 to 1, clipped.

    The payoff itself counts as one of them (Graves et al. 2017). It is 0.5 where the two percentiles are the same.

    Example:
        >>> scale = RunningScale()
        >>> [round(scale(value), 3) for value in (3.0, 5.0, 4.0)]
        [0.5, 1.0, 0.5]
    """

    def __init__(self) -> None:
        self._seen: list[float] = []

    def __call__(self, value: float) -> float:
        """Take note of a payoff and return its place."""
        self._seen.append(value)
        low, high = np.percentile(self._seen, (20, 80))
        return 0.5 if low == high else float((np.clip(value, low, high) - low) / (high - low))


def softmax(logits: Floats) -> Floats:
    """Return chances in proportion to the exponentials, whatever their size.

    Example:
        >>> softmax(np.array([1_000.0, 1_000.0])).tolist()
        [0.5, 0.5]
    """
    grown = np.exp(logits - logits.max())
    chances: Floats = grown / grown.sum()
    return chances


def check_setting(name: str, value: float, low: float, high: float = np.inf, *, above: bool = False) -> None:
    """Refuse a setting outside of its range.

    Args:
        name: Its name, for the message.
        value: Its value.
        low: The least it may be.
        high: The most it may be; no setting may be infinite.
        above: Whether it has to be above `low`.

    Raises:
        SettingError: If it is outside.
    """
    if not (low < value if above else low <= value) or value > high or not np.isfinite(value):
        least = f"above {low:g}" if above else f"at least {low:g}"
        most = f" and at most {high:g}" if np.isfinite(high) else ""
        raise SettingError(f"{name} must be {least}{most}, not {value}")
