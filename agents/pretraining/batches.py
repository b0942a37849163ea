"""Batches of clicks as observations: recorded decisions in the form in which environments show theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kgrl.agents.policy.network import CandidateScorer
from kgrl.envs.features.names import FEATURES
from kgrl.envs.features.space import Observation, observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph.topic_graph import IntArray
from kgrl.traces.next_click import candidates_of
from kgrl.traces.trace import ClickTable

__all__ = ["ClickBatches", "PolicyPredictor"]

FloatArray = NDArray[np.float32]
Rows = NDArray[np.int64]

_CELLS = 40_960
"""Number of candidates of one batch, empty slots included, approximately."""


@dataclass(frozen=True)
class ClickBatches:
    """Makes observations of clicks.

    Args:
        tables: The graph's tables.
        goals: A goal for each topic of the graph, the topic itself; None where targets are never shown.
        clicks: The clicks.
        counts: The number of the table of click counts that each click's features are made from, int32 `[clicks]`.
        without: Inputs to set to 0, for ablations: names of features, `"memory"` for all of the path but the current
            page, `"topics"` for the candidates' embeddings.
    """

    tables: WalkTables
    goals: GoalTables | None
    clicks: ClickTable
    counts: IntArray
    without: tuple[str, ...] = ()

    def batches(self, rows: Rows, rng: np.random.Generator | None = None) -> list[Rows]:
        """Cut clicks into batches of about the same work, each of pages with similarly many links.

        Args:
            rows: Numbers of clicks.
            rng: Draws the clicks that go together among similar ones, and the order of batches; both are fixed if None.

        Returns:
            For each batch, the positions of its clicks in `rows`.
        """
        sizes = np.diff(self.tables.graph.indptr)[self.clicks.page[rows]]  # links of each click's page, [rows]
        # Sorting by size keeps padding small; the jitter varies which clicks share a batch.
        jitter = 0.0 if rng is None else rng.uniform(0, 6, len(rows))
        order = np.argsort(sizes + jitter, kind="stable")
        widest = np.maximum.accumulate(sizes[order])
        cut = [order[start:stop] for start, stop in _cuts(widest)]
        if rng is not None:
            rng.shuffle(cut)
        return cut

    def observe(
        self, rows: Rows, with_goal: NDArray[np.bool_], unlinked: NDArray[np.bool_] | None = None
    ) -> tuple[Observation, NDArray[np.int64]]:
        """Observe some clicks.

        Args:
            rows: Numbers of clicks.
            with_goal: Whether each reader's target is shown, bool `[rows]`.
            unlinked: Whether each click's candidates are shown as if the page did not link to them, bool `[rows]`; no
                click's if None.

        Returns:
            The observation, each array with a first axis of rows; and the slot of each clicked link.
        """
        clicks, graph = self.clicks.take(rows), self.tables.graph
        listed = candidates_of(graph, clicks.page)
        slot = np.arange(len(listed.links)) - listed.starts[listed.owner]  # of each link on its page
        links = np.full((len(rows), int(slot.max()) + 1), -1, dtype=np.int64)  # [rows, slots], padded with -1
        links[listed.owner, slot] = listed.links
        candidates = np.where(links >= 0, graph.indices[links], np.int32(-1))
        if unlinked is not None:
            links[unlinked] = -1  # after the candidates, which stay
        goal = np.where(with_goal & (clicks.target >= 0), clicks.target, -1)
        walks = Walks(clicks.stack, clicks.seen, clicks.start, clicks.depth, goal, self.counts[rows])
        observation = observe_walks(self.tables, walks, candidates, links, self.goals)
        self._ablate(observation)
        return observation, (candidates == clicks.chosen[:, None]).argmax(axis=1)

    def _ablate(self, observation: Observation) -> None:
        for name in self.without:
            if name == "memory":
                observation["path"][:, :-1] = 0
            elif name == "topics":
                observation["topics"][:] = 0
            else:
                observation["candidates"][..., FEATURES.index(name)] = 0


@dataclass(frozen=True)
class PolicyPredictor:
    """A curiosity policy as a predictor of clicks; see `ClickPredictor`.

    Args:
        scorer: The network.
        tables: The graph's tables; their last counts are those of all training clicks.
        goals: A goal for each topic, to show readers' targets; None to predict without goals.
        on_clicks: Called with the number of clicks after each batch.
        without: As for `ClickBatches`.
    """

    scorer: CandidateScorer
    tables: WalkTables
    goals: GoalTables | None = None
    on_clicks: Callable[[int], None] | None = None
    without: tuple[str, ...] = ()

    def log_probabilities(self, clicks: ClickTable) -> FloatArray:
        """Return the log-probability of every link of each click's page, float32, all links of all pages in a row."""
        listed = candidates_of(self.tables.graph, clicks.page)
        scores = np.empty(len(listed.links), dtype=np.float32)
        last = np.full(len(clicks), len(self.tables.counts) - 1, dtype=np.int32)
        batches = ClickBatches(self.tables, self.goals, clicks, last, self.without)
        self.scorer.eval()
        for rows in batches.batches(np.arange(len(clicks))):
            shown = np.full(len(rows), self.goals is not None)
            observation, _ = batches.observe(rows, shown)
            with torch.inference_mode():
                logits = self.scorer(tensors(observation))[0].log_softmax(dim=1).numpy()
            filled = observation["mask"].astype(bool)
            # The places of these clicks' links: a range from start to end for each, one range after the other.
            sizes = listed.starts[rows + 1] - listed.starts[rows]
            ends = np.cumsum(sizes)
            places = np.arange(ends[-1]) - np.repeat(ends - sizes - listed.starts[rows], sizes)
            scores[places] = logits[filled]
            if self.on_clicks is not None:
                self.on_clicks(len(rows))
        return scores


def tensors(observation: Observation) -> dict[str, Tensor]:
    """Return an observation as tensors that share its memory."""
    return {name: torch.from_numpy(values) for name, values in observation.items()}


def _cuts(widest: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Yield the starts and stops of batches of at most `_CELLS` cells, given each click's width, ascending."""
    start = 0
    while start < len(widest):
        # A guess by the first, narrowest click; then shorter while the last click makes the batch too wide.
        stop = min(len(widest), start + max(1, _CELLS // int(widest[start])))
        while stop > start + 1 and (stop - start) * int(widest[stop - 1]) > _CELLS:
            stop = max(start + 1, start + _CELLS // int(widest[stop - 1]))
        yield start, stop
        start = stop
