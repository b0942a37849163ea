"""Pretraining of the curiosity policy: behavioural cloning of readers' clicks.

The policy learns to give the clicked link a high probability among all links of the page (cross-entropy). Three
measures keep it from relying on inputs that it will not have elsewhere. Click statistics exclude the click's own fold
of (start, target) pairs. In each batch they are hidden for a random tenth of the topics, as for topics that no reader
visited. And most clicks are shown without their reader's target.
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
from kgrl.envs.features.names import (
    FEATURES,
    GLOBAL_FEATURES,
    GLOBAL_KNOWLEDGE_FEATURES,
    KNOWLEDGE_FEATURES,
    PATH_FEATURES,
    TRANSITION_FEATURES,
)
from kgrl.envs.features.space import Observation
from kgrl.envs.features.walk_features import GoalTables
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph.relations import TopicRelations
from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.next_click import score_clicks
from kgrl.traces.trace import ClickTable

__all__ = ["ClickData", "Pretrainer", "PretrainingConfig"]

FloatArray = NDArray[np.float32]

LEAST_AFTER = 2
"""Fewest clicks on a link after a page that are counted; it keeps the file that ships with a policy small."""
FOLDS = 16
"""Parts of the training clicks, by (start, target) pair; each is described by the statistics of the others."""
_CLICK_COLUMNS = [FEATURES.index(name) for name in (*TRANSITION_FEATURES, *PATH_FEATURES[:3])]
"""Columns of the candidates' features that come from counted clicks."""
_WARM_UP = 200
"""Updates in which the learning rate rises."""
_TRAIN_BUCKETS, _VALIDATION_BUCKET = 8, 8
"""Buckets of (start, target) pairs: 0 to 7 for training, 8 for validation; 9 is for tests."""


@dataclass(frozen=True)
class PretrainingConfig:
    """Hyperparameters of pretraining.

    Args:
        epochs: Passes over the training clicks, at most.
        patience: Training stops after this many epochs without a better validation loss.
        learning_rate: AdamW's largest step size; it rises for 200 updates and falls to 0 along a cosine.
        weight_decay: AdamW's weight decay.
        dropout: Share of activations dropped.
        goal_share: Share of clicks that are shown a second time, with their reader's target.
        unknown_share: Share of topics whose click statistics are hidden in each batch.
        unlinked_share: Share of clicks whose candidates are shown as if the page did not link to them. In curricula,
            the topic learned last does not link to most candidates.
        pair_clicks: Number of clicks of a (start, target) pair above which they are thinned: of n, about
            sqrt(n pair_clicks) stay in each epoch. A few pairs were played thousands of times.
        hidden: Width of the policy's layers that read a candidate.
        recurrent: Width of its recurrent network.
        heads: Number of queries of its context.
        without: Inputs to set to 0, for ablations; see `ClickBatches`.
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
        """Return the sizes of the policy, and what it reads: all features but those of knowledge."""
        # Clicks tell nothing of knowledge: weights of features of it would stay as they were drawn.
        return PolicyConfig(
            hidden=self.hidden,
            recurrent=self.recurrent,
            heads=self.heads,
            feature_names=tuple(name for name in FEATURES if name not in KNOWLEDGE_FEATURES),
            global_feature_names=tuple(name for name in GLOBAL_FEATURES if name not in GLOBAL_KNOWLEDGE_FEATURES),
        )


class Epoch(NamedTuple):
    """Losses and scores of one epoch.

    Args:
        number: Number of the epoch, from 1.
        train_loss: Mean loss of the training clicks during the epoch, nats per click.
        validation_loss: Mean loss of the validation clicks without goals, nats per click.
        validation_mrr: Their mean reciprocal rank.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_mrr: float


class ClickData:
    """Clicks with the tables that their features are made from.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
        clicks: All clicks; their buckets divide them into training, validation and test.
        hidden: Whether each topic's clicks are left out of training, as if no reader had visited it, bool `[topics]`;
            no topic's if None.

    Attributes:
        training: Numbers of the training clicks.
        validation: Numbers of the validation clicks.
        counts: Counts of all training clicks, which ship with the policy.
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
        relations = TopicRelations(graph, embeddings)
        # For each fold the counts of the clicks of all others; a click must not be predicted from itself.
        folds = clicks.pair[self.training] % FOLDS
        out_of_fold = [self._count(graph, self.training[folds != fold]) for fold in range(FOLDS)]
        self.tables = WalkTables(relations, (*out_of_fold, self.counts))
        self.goals = GoalTables.of_each_topic(self.tables)

    def _count(self, graph: TopicGraph, rows: NDArray[np.int64]) -> ClickCounts:
        """Return the counts of some clicks as they ship with a policy, without pages that link to hidden topics."""
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
        config: Hyperparameters; the defaults if None.
        seed: Seeds weights, batches and hidden statistics; each epoch draws from its own stream.

    Attributes:
        scorer: The network.
        optimizer: Its AdamW optimizer.
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
        # The probability of each training click to be seen in an epoch.
        self._kept = np.sqrt(np.minimum(1, self.config.pair_clicks / pairs[data.clicks.pair[data.training]]))
        # Updates of an epoch, about: the schedule of the learning rate needs them in advance.
        self._updates = len(self._batches.batches(self._drawn(np.random.default_rng(0))[0]))

    def epoch(self, number: int, on_update: Callable[[int, int, float], None] | None = None) -> Epoch:
        """Train for one epoch and validate.

        Args:
            number: Number of the epoch, from 1; learning rate and random draws follow from it.
            on_update: Called after each update with its number, the number of updates in this epoch, and the loss.
        """
        # A stream for each epoch: a resumed training draws the same as an uninterrupted one.
        rng = np.random.default_rng((self.seed, number))
        torch.manual_seed(int(rng.integers(2**31)))  # for dropout
        self.scorer.train()
        drawn, with_goal = self._drawn(rng)
        batches = self._batches.batches(drawn, rng)
        losses = np.empty(len(batches))
        for at, chosen in enumerate(batches):
            update = (number - 1) * self._updates + at
            done = min(1.0, update / (self.config.epochs * self._updates))
            share = min(1.0, (update + 1) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * share
            losses[at] = self._update(drawn[chosen], with_goal[chosen], rng)
            if on_update is not None:
                on_update(at + 1, len(batches), losses[at])
        sizes = np.array([len(chosen) for chosen in batches])  # clicks, which weight the batches' mean losses
        clicks = self.data.clicks.take(self.data.validation)
        scores = score_clicks(self.predictor().log_probabilities(clicks), clicks, self.data.tables.graph)
        return Epoch(number, float(losses @ sizes / sizes.sum()), scores.nll, scores.mrr)

    def _drawn(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the clicks of one epoch, and whether each shows its target.

        Every click that is not final is shown without its target. A share of all clicks is shown with it, which for
        most of them is the second time.
        """
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
        """Hide the click statistics of some topics, and hidden topics entirely."""
        graph, page = self.data.tables.graph, self.data.clicks.page[rows]
        unknown = rng.random(len(graph)) < self.config.unknown_share
        # The links of each page as `ClickBatches` lays them out, [rows, slots]; any topic where a slot is empty.
        at = graph.indptr[page][:, None] + np.arange(observation["mask"].shape[1])
        candidates = graph.indices[np.minimum(at, graph.n_links - 1)]
        concerned = unknown[candidates] | unknown[page][:, None]
        features: FloatArray = observation["candidates"]
        features[..., _CLICK_COLUMNS] *= ~concerned[..., None]
        # Clicks on hidden topics were removed. Unmasked, the policy would learn that readers never click there.
        observation["mask"][self.data.hidden[candidates]] = 0

    def predictor(self, *, goals: bool = False) -> PolicyPredictor:
        """Return the policy as a predictor of clicks, with or without readers' targets."""
        shown = self.data.goals if goals else None
        return PolicyPredictor(self.scorer, self.data.tables, shown, without=self.config.without)
