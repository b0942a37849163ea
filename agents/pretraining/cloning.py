"""Pretraining of the curiosity policy: behavioural cloning of readers' clicks.

The policy learns to give the clicked link a high probability among all links of the page (cross-entropy). Three things
keep what it learns from leaning on what it will not have elsewhere: statistics of clicks leave out those of the click's
own fold of (start, target) pairs; for a random tenth of topics they are hidden in each batch, as for topics that no
reader ever visited; and most clicks are shown without their reader's target.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.agents.pretraining.batches import ClickBatches, PolicyPredictor, tensors
from kgrl.envs.features.space import FEATURES, Observation
from kgrl.envs.features.walk_features import PATH_FEATURES, GoalTables
from kgrl.envs.features.walk_tables import TRANSITION_FEATURES, WalkTables
from kgrl.graph.relations import TopicRelations
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import score_clicks
from kgrl.traces.trace import ClickTable

__all__ = ["ClickData", "Pretrainer", "PretrainingConfig"]

FloatArray = NDArray[np.float32]

LEAST_AFTER = 2
"""Least clicks on a link after a page that count; it keeps what ships with a policy small."""
FOLDS = 16
"""Parts of the training clicks, by (start, target) pair, each described by the statistics of the others."""
_CLICK_COLUMNS = [FEATURES.index(name) for name in (*TRANSITION_FEATURES, *PATH_FEATURES[:3])]
"""The columns that come from counted clicks."""
_TRAIN_BUCKETS, _VALIDATION_BUCKET = 8, 8


@dataclass(frozen=True)
class PretrainingConfig:
    """Hyperparameters of pretraining.

    Args:
        epochs: Passes over the training clicks, at most.
        patience: Epochs without a better validation loss after which training stops.
        learning_rate: AdamW's largest step size; it rises for 200 updates and falls to 0 along a cosine.
        weight_decay: AdamW's weight decay.
        dropout: Share of activations dropped.
        goal_share: Share of clicks that are shown a second time, with their reader's target.
        unknown_share: Share of topics whose click statistics are hidden in each batch.
        unlinked_share: Share of clicks whose candidates are shown as if the page did not link to them, as most of a
            curriculum's are not linked from the topic learned last.
        pair_clicks: Clicks of a (start, target) pair from which on they are thinned: of n, about sqrt(n x this) stay
            in each epoch. A few pairs were played thousands of times.
        hidden: Width of the policy's layers that read a candidate.
        recurrent: Width of its recurrent network.
        heads: Questions of its context.
        without: What is set to 0, for ablations; see `ClickBatches`.
    """

    epochs: int = 4
    patience: int = 2
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    goal_share: float = 0.2
    unknown_share: float = 0.1
    unlinked_share: float = 0.1
    pair_clicks: float = 4.0
    hidden: int = 64
    recurrent: int = 96
    heads: int = 4
    without: tuple[str, ...] = ()

    def policy(self) -> PolicyConfig:
        """Return the sizes of the policy."""
        return PolicyConfig(hidden=self.hidden, recurrent=self.recurrent, heads=self.heads)


class Epoch(NamedTuple):
    """What an epoch came to.

    Args:
        number: From 1 on.
        train_loss: Mean loss of the training clicks as they were seen, nats per click.
        validation_loss: Mean loss of the validation clicks without goal, nats per click.
        validation_mrr: Their mean reciprocal rank.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_mrr: float


class ClickData:
    """Clicks with what their features are made from.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        clicks: All clicks; their buckets say which are for training, validation and test.
        hidden: Topics whose clicks are left out of training, as if nobody had been there; `[topics]`.
    """

    def __init__(
        self, graph: TopicGraph, embeddings: FloatArray, clicks: ClickTable, hidden: NDArray[np.bool_] | None = None
    ) -> None:
        self.hidden = np.zeros(len(graph), dtype=bool) if hidden is None else hidden
        self.clicks = clicks
        shown = ~(self.hidden[clicks.page] | self.hidden[clicks.chosen])
        self.training = np.flatnonzero((clicks.bucket < _TRAIN_BUCKETS) & shown)
        self.validation = np.flatnonzero((clicks.bucket == _VALIDATION_BUCKET) & ~clicks.final & shown)
        self.counts = self._count(graph, self.training)
        relations = TopicRelations(graph, embeddings, keep_all=True)
        self.tables = WalkTables(relations, (*self._out_of_fold(graph), self.counts))
        self.goals = GoalTables.of_each_topic(self.tables)

    def _out_of_fold(self, graph: TopicGraph) -> list[ClickCounts]:
        """For each fold, the counts of the training clicks of all others."""
        folds = self.clicks.pair[self.training] % FOLDS
        return [self._count(graph, self.training[folds != fold]) for fold in range(FOLDS)]

    def _count(self, graph: TopicGraph, rows: NDArray[np.int64]) -> ClickCounts:
        """The counts of some clicks as they ship with a policy; pages that link to hidden topics are left without."""
        usable = self.clicks.take(rows[~self.clicks.final[rows]])
        return ClickCounts.of(graph, usable, LEAST_AFTER).without(self.hidden)

    def batches(self, without: tuple[str, ...] = ()) -> ClickBatches:
        """Return the clicks as batches; training clicks are described by the counts of other folds.

        Args:
            without: As for `ClickBatches`.
        """
        tables = np.full(len(self.clicks), FOLDS, dtype=np.int32)
        tables[self.training] = self.clicks.pair[self.training] % FOLDS
        return ClickBatches(self.tables, self.goals, self.clicks, tables, without)


class Pretrainer:
    """Trains a policy, epoch by epoch; a run with the same seed repeats exactly on the same machine.

    Args:
        data: The clicks.
        config: Hyperparameters.
        seed: Seeds weights, batches and what is hidden; each epoch draws from its own stream.
    """

    def __init__(self, data: ClickData, config: PretrainingConfig | None = None, seed: int = 0) -> None:
        self.data, self.config, self.seed = data, config or PretrainingConfig(), seed
        torch.manual_seed(seed)
        self.scorer = CandidateScorer(self.config.policy(), self.config.dropout)
        self.optimizer = torch.optim.AdamW(
            self.scorer.parameters(), self.config.learning_rate, (0.9, 0.99), weight_decay=self.config.weight_decay
        )
        self._batches = data.batches(self.config.without)
        pairs = np.bincount(data.clicks.pair[data.training])
        self._kept = np.sqrt(np.minimum(1, self.config.pair_clicks / pairs[data.clicks.pair[data.training]]))
        self._updates = len(self._batches.batches(self._drawn(np.random.default_rng(0))[0]))

    def epoch(self, number: int, on_update: Callable[[int, int, float], None] | None = None) -> Epoch:
        """Train for one epoch and validate.

        Args:
            number: From 1 on; it decides the learning rate and what is drawn.
            on_update: Called after each update with its number, their number in this epoch, and the loss.
        """
        rng = np.random.default_rng((self.seed, number))
        torch.manual_seed(int(rng.integers(2**31)))
        self.scorer.train()
        drawn, with_goal = self._drawn(rng)
        batches = self._batches.batches(drawn, rng)
        losses = np.empty(len(batches))
        for at, chosen in enumerate(batches):
            self._set_learning_rate((number - 1) * self._updates + at)
            losses[at] = self._update(drawn[chosen], with_goal[chosen], rng)
            if on_update is not None:
                on_update(at + 1, len(batches), losses[at])
        sizes = np.array([len(chosen) for chosen in batches])
        return Epoch(number, float(losses @ sizes / sizes.sum()), *self._validate())

    def _drawn(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The clicks of one epoch, and which of them see their target: final clicks always, others a second time."""
        rows = self.data.training[rng.random(len(self._kept)) < self._kept]
        free = rows[~self.data.clicks.final[rows]]
        aware = rows[rng.random(len(rows)) < self.config.goal_share]
        return np.concatenate([free, aware]), np.repeat([False, True], [len(free), len(aware)])

    def _update(self, rows: NDArray[np.int64], with_goal: NDArray[np.bool_], rng: np.random.Generator) -> float:
        unlinked = rng.random(len(rows)) < self.config.unlinked_share
        observation, chosen = self._batches.observe(rows, with_goal, unlinked)
        self._hide(observation, rows, rng)
        logits, _ = self.scorer(tensors(observation))
        loss: Tensor = nn.functional.cross_entropy(logits, torch.from_numpy(chosen))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.scorer.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def _hide(self, observation: Observation, rows: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Hide click statistics of some topics, and hidden topics altogether."""
        graph, page = self.data.tables.graph, self.data.clicks.page[rows]
        unknown = rng.random(len(graph)) < self.config.unknown_share
        candidates = _candidates(graph, page, observation["mask"].shape[1])
        concerned = unknown[candidates] | unknown[page][:, None]
        features: FloatArray = observation["candidates"]
        features[..., _CLICK_COLUMNS] *= ~concerned[..., None]
        # Nobody clicks on hidden topics here, which must not be learned.
        observation["mask"][self.data.hidden[candidates]] = 0

    def _set_learning_rate(self, update: int) -> None:
        done = min(1.0, update / (self.config.epochs * self._updates))
        share = min(1.0, (update + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * share

    def _validate(self) -> tuple[float, float]:
        clicks = self.data.clicks.take(self.data.validation)
        scores = score_clicks(self.predictor().log_probabilities(clicks), clicks, self.data.tables.graph)
        return scores.nll, scores.mrr

    def predictor(self, *, goals: bool = False) -> PolicyPredictor:
        """Return the policy as a predictor of clicks, with or without readers' targets."""
        shown = self.data.goals if goals else None
        return PolicyPredictor(self.scorer, self.data.tables, shown, without=self.config.without)


def _candidates(graph: TopicGraph, page: IntArray, slots: int) -> IntArray:
    """The links of each page, slot by slot, as `ClickBatches` lays them out; any topic where a slot is empty."""
    at = graph.indptr[page][:, None] + np.arange(slots)
    candidates: IntArray = graph.indices[np.minimum(at, graph.n_links - 1)]
    return candidates
