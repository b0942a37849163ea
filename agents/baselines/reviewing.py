"""Agents that come back to what they have read: to what is worst known, or when it is about to be forgotten."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.base import BaseAgent, agents, check_setting
from kgrl.agents.baselines.passages import UniformPassages, least_read_first
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["Spaced", "WorstFirst"]


@agents.register("lfr")
class WorstFirst(UniformPassages):
    """Learn, focus, review: all passages once, then those of the worst losses, with passes over everything in between.

    After Prakriya et al. 2024, "Accelerating Large Language Model Pretraining via LFR Pedagogy", arXiv 2409.06131. A
    passage's loss is that of its latest reading, which costs nothing; the paper reads the pool for it.

    Args:
        share: Share of the passages that the agent focuses on, above 0 and at most 1.
        review: Every so many expansions one reviews: it reads what was read least.

    Raises:
        SettingError: If a setting is out of range.

    Example:
        >>> WorstFirst(share=0.25)
        WorstFirst(share=0.25, review=4)
    """

    def __init__(self, share: float = 0.5, review: int = 4) -> None:
        check_setting("share", share, 0, 1, above=True)
        check_setting("review", review, 1)
        self.share, self.review = share, review

    def reset(self, view: View) -> None:
        """Know no losses: passages that were never read count as the worst."""
        self._losses = np.full(len(view.readings), np.inf)

    def choose(self, view: View) -> IntArray:
        """Return the passages in the order to read: the worst ones first unless it reviews, those read least first."""
        readable = least_read_first(view, view.rng.permutation(view.readable()))
        if view.index % self.review == 0:
            return readable
        worst_first = readable[np.argsort(-self._losses[readable], kind="stable")]
        worst = worst_first[: max(1, round(self.share * len(readable)))]
        return readable[np.argsort(~np.isin(readable, worst), kind="stable")]

    def observe(self, expansion: Expansion) -> None:
        """Remember the losses of the passages that were read."""
        self._losses[list(expansion.passages)] = expansion.losses


@agents.register("spaced")
class Spaced(BaseAgent):
    """Topics that are about to be forgotten and new ones in turn.

    The retention of a topic that was read n times, t tokens ago, is taken to be (1 + t / s)^(-decay), where s =
    `stability` growth^(n - 1): forgetting by a power law that slows with every reading (Settles and Meeder 2016, "A
    Trainable Spaced Repetition Model for Language Learning", on people). Topics below `level` are due, the weakest
    first. New topics come from the frontier, at random; those linked with nothing solid follow.

    Args:
        stability: Tokens after which a topic that was read once has faded noticeably, above 0.
        growth: Factor by which each reading slows forgetting, at least 1.
        decay: Exponent of forgetting, above 0.
        level: Retention below which a topic is due, from 0 to 1.

    Raises:
        SettingError: If a setting is out of range.

    Example:
        >>> Spaced(level=0.8)
        Spaced(stability=20000.0, growth=1.5, decay=0.5, level=0.8)
    """

    frontier_only = False
    reads_probes = False
    reads_passages = True

    def __init__(
        self, stability: float = 20_000.0, growth: float = 1.5, decay: float = 0.5, level: float = 0.7
    ) -> None:
        check_setting("stability", stability, 0, above=True)
        check_setting("growth", growth, 1)
        check_setting("decay", decay, 0, above=True)
        check_setting("level", level, 0, 1)
        self.stability, self.growth, self.decay, self.level = stability, growth, decay, level

    def retention(self, view: View) -> NDArray[np.float64]:
        """Return the estimated retention of each topic, NaN for those that were not read, float64 `[topics]`."""
        needs = view.knowledge.due(view.tokens, self.growth)
        retained: NDArray[np.float64] = (1 + needs / self.stability) ** -self.decay
        return retained

    def choose(self, view: View) -> IntArray:
        """Return passages of due topics and of new ones in turn, each topic's least read first; then all others."""
        retained = self.retention(view)
        due = np.flatnonzero(retained < self.level)
        due = due[np.argsort(retained[due], kind="stable")]
        unread = view.rng.permutation(np.flatnonzero(np.isnan(retained)))
        new = unread[np.argsort(~np.isin(unread, view.frontier.topics), kind="stable")]
        place = np.full(len(view.graph), 2.0 * len(view.graph))  # topics that are neither come last
        place[due], place[new] = 2.0 * np.arange(len(due)), 2.0 * np.arange(len(new)) + 1
        readable = least_read_first(view, view.rng.permutation(view.readable()))
        return readable[np.argsort(place[view.passage_topics[readable]], kind="stable")]
