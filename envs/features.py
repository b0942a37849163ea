"""What a curiosity policy is shown: features of the candidate slots and of the curriculum as a whole.

The environment and a trained agent outside of it call the same `observe`, so both see the same numbers. Features are
scaled to about one and clipped, hold nothing of exam, and do not name topics: a policy that reads them runs on any
graph. A call costs time proportional to the frontier and the slots, not to the graph.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from kgrl.expansion import Expansion
from kgrl.graph import IntArray, TopicGraph
from kgrl.nucleus import pagerank
from kgrl.view import View

__all__ = [
    "CLIP",
    "FEATURES",
    "FEATURE_VERSION",
    "GLOBAL_FEATURES",
    "FeatureState",
    "Observation",
    "observation_space",
    "observe",
    "shortlist",
]

FloatArray = NDArray[np.float32]
Observation = dict[str, NDArray[np.generic]]

FEATURE_VERSION = 1
"""Raised whenever a feature is added, removed, moved or changes its meaning; saved policies name what they read."""

FEATURES = (
    "log_degree",  # ln(1 + links) / 5
    "log_learned_links",  # ln(1 + links with the learned set) / 5
    "closure",  # share of its links that lead to the learned set
    "goal_similarity",  # cosine to the mean embedding of the goal, or of the nucleus where there is no goal
    "in_goal",  # 1 for a topic of the goal; 0 for all where there is no goal
    "learned_similarity",  # cosine to the mean embedding of the learned set
    "recent_similarity",  # cosine to the mean embedding of the last 8 topics learned
    "nearest_similarity",  # largest cosine to one of the last 64 topics learned
    "loss",  # its probe loss minus the curriculum's latest, nats per token; 0 where not measured
    "progress",  # drop of its probe loss between the last two measurements, nats per token
    "measured",  # 1 where its probe loss is known
    "neighbour_loss",  # mean of `loss` over its measured neighbours; 0 where there are none
    "neighbour_progress",  # mean of `progress` over its measured neighbours
    "neighbours_measured",  # share of its neighbours that are measured
    "log_pagerank",  # ln(topics x PageRank) / 5
    "age",  # 1 for the topic that has been on the frontier longest, towards 0 for the latest
)
"""Columns of `candidates`. Neighbours are looked at up to 128 a topic, evenly spaced in topic order."""

GLOBAL_FEATURES = (
    "loss",  # latest held-out loss / 10 nats per token: mean, else target, else self probe, else training loss
    "loss_drop",  # first such loss minus the latest, nats per token
    "loss_trend",  # drop of that loss in the last expansion, in tenths of a nat per token
    "budget_left",  # share of the token budget that is left
    "learned_share",  # share of topics learned
    "log_learned",  # ln(1 + topics learned) / 10
    "log_frontier",  # ln(1 + candidates) / 10
    "has_goal",  # 1 where the curriculum has a goal
)
"""Entries of `global`."""

CLIP = 5.0
"""Every feature lies in [-CLIP, CLIP]."""

_RECENT, _REMEMBERED, _NEIGHBOURS = 8, 64, 128
_PROBES = ("mean", "target", "self")

_log_pageranks: WeakKeyDictionary[TopicGraph, FloatArray] = WeakKeyDictionary()


class Slots(NamedTuple):
    """An observation and what its slots stand for.

    Args:
        observation: `candidates` float32 `[slots, features]`, `mask` int8 `[slots]`, `global` float32 `[globals]`.
        topics: The topic of each slot, int32 `[slots]`; -1 where the slot is empty.
    """

    observation: Observation
    topics: IntArray


def observation_space(slots: int) -> spaces.Dict:
    """Return the space of observations with this many candidate slots: a flat `Dict` of boxes."""
    return spaces.Dict(
        {
            "candidates": spaces.Box(-CLIP, CLIP, (slots, len(FEATURES)), np.float32),
            "mask": spaces.Box(0, 1, (slots,), np.int8),
            "global": spaces.Box(-CLIP, CLIP, (len(GLOBAL_FEATURES),), np.float32),
        }
    )


class FeatureState:
    """What features need to remember between steps of one curriculum.

    Args:
        view: The curriculum just after its nucleus was learned; its graph, goal and embeddings are kept for good.
    """

    def __init__(self, view: View) -> None:
        aim = view.nucleus if view.goal is None else view.goal
        direction = _unit(view.embeddings[aim].sum(axis=0))
        self.goal_similarity: FloatArray = view.embeddings @ direction
        self.in_goal = np.zeros(len(view.graph), dtype=np.float32)
        if view.goal is not None:
            self.in_goal[view.goal] = 1.0
        self.log_pagerank = _log_pagerank(view.graph)
        measured = view.profile.level[view.profile.measured]
        self.first_loss = self.previous_loss = self.latest_loss = float(measured.mean()) if len(measured) else 0.0
        self.n_learned = 0
        self._learned_sum: FloatArray = np.zeros(view.embeddings.shape[1], dtype=np.float32)
        self._remembered: FloatArray = view.embeddings[:0]
        self._recorded = False

    def record(self, expansion: Expansion) -> None:
        """Take note of the losses that an expansion after the nucleus measured."""
        probe = next((expansion.probes[name] for name in _PROBES if name in expansion.probes), None)
        if probe is not None:
            before, after = float(np.mean(probe.before)), float(np.mean(probe.after))
        else:
            after = expansion.train_loss
            before = self.latest_loss if self._recorded else after
        self.first_loss = self.first_loss if self._recorded else before
        self.previous_loss, self.latest_loss = before, after
        self._recorded = True

    def catch_up(self, view: View) -> None:
        """Take in the topics learned since the last call."""
        learned = view.frontier.learned
        self._learned_sum += view.embeddings[learned[self.n_learned :]].sum(axis=0)
        self._remembered = view.embeddings[learned[-_REMEMBERED:]]
        self.n_learned = len(learned)

    def similarities(self, vectors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the cosines of unit vectors to what is learned: to its mean, its latest and its nearest topic."""
        recent = _unit(self._remembered[-_RECENT:].sum(axis=0))
        nearest = (vectors @ self._remembered.T).max(axis=1, initial=-1.0)
        return vectors @ _unit(self._learned_sum), vectors @ recent, nearest


def observe(view: View, slots: int = 64, state: FeatureState | None = None) -> Slots:
    """Describe the candidates of a curriculum.

    Slot order has no meaning: slots are shuffled, and empty ones come last.

    Args:
        view: The curriculum as agents see it; its generator draws the shortlist and the order.
        slots: Number of candidate slots; a larger frontier is narrowed by `shortlist`.
        state: The memory kept since the curriculum started; made from `view` if None, without a history of losses.
    """
    state = state or FeatureState(view)
    state.catch_up(view)
    candidates = view.candidates
    chosen = shortlist(view, slots, state, candidates)
    view.rng.shuffle(chosen)
    filled = len(chosen)
    features = np.zeros((slots, len(FEATURES)), dtype=np.float32)
    features[:filled] = _candidate_features(view, state, candidates[chosen], 1.0 - chosen / max(len(candidates), 1))
    mask = np.zeros(slots, dtype=np.int8)
    mask[:filled] = 1
    topics = np.full(slots, -1, dtype=np.int32)
    topics[:filled] = candidates[chosen]
    overall = _global_features(view, state, len(candidates))
    return Slots({"candidates": _bounded(features), "mask": mask, "global": _bounded(overall)}, topics)


def shortlist(view: View, slots: int, state: FeatureState, candidates: IntArray) -> NDArray[np.intp]:
    """Choose which candidates get a slot, as positions in `candidates`.

    All of them where they fit. Otherwise half the slots go to the topics with the largest share of links to the learned
    set, a quarter to those most similar to the goal (to the nucleus without one), and the rest to topics drawn
    uniformly from the others, so that every candidate has a chance. Ties are broken at random.
    """
    n = len(candidates)
    if n <= slots:
        return np.arange(n)
    left = view.rng.permutation(n)
    closure = view.frontier.links_to_learned[candidates] / view.graph.degree[candidates]
    left, linked = _take_best(left, closure, slots // 2)
    left, near = _take_best(left, state.goal_similarity[candidates], slots // 4)
    return np.concatenate([linked, near, left[: slots - len(linked) - len(near)]])


def _take_best(
    left: NDArray[np.intp], scores: NDArray[np.floating], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split positions into the rest, in their order, and the `count` with the largest scores."""
    if count == 0:
        return left, left[:0]
    best = np.zeros(len(left), dtype=bool)
    best[np.argpartition(-scores[left], count - 1)[:count]] = True
    return left[~best], left[best]


def _candidate_features(view: View, state: FeatureState, topics: IntArray, age: NDArray[np.floating]) -> FloatArray:
    """The features of some topics, in the order of `FEATURES`, shape `[topics, features]`."""
    degree = view.graph.degree[topics].astype(np.float32)
    links = view.frontier.links_to_learned[topics].astype(np.float32)
    columns: tuple[NDArray[np.floating], ...] = (
        np.log1p(degree) / 5,
        np.log1p(links) / 5,
        links / np.maximum(degree, 1),
        state.goal_similarity[topics],
        state.in_goal[topics],
        *state.similarities(view.embeddings[topics]),
        *_own_losses(view, state, topics),
        *_neighbour_losses(view, state, topics),
        state.log_pagerank[topics] / 5,
        age,
    )
    return np.column_stack(columns).astype(np.float32)


def _own_losses(view: View, state: FeatureState, topics: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Loss above the curriculum's, progress, and whether they are known."""
    level = view.profile.level[topics]
    known = ~np.isnan(level)
    loss = np.where(known, level - state.latest_loss, 0.0).astype(np.float32)
    return loss, view.profile.progress_of(topics), known.astype(np.float32)


def _neighbour_losses(view: View, state: FeatureState, topics: IntArray) -> tuple[FloatArray, ...]:
    """The means of the same over measured neighbours, and the share of neighbours that are measured."""
    groups = [_thinned(view.graph.neighbours(topic)) for topic in topics.tolist()]
    near = np.concatenate(groups) if groups else topics
    sizes = np.array([len(group) for group in groups], dtype=np.int64)
    owner = np.repeat(np.arange(len(topics)), sizes)
    loss, progress, known = _own_losses(view, state, near)
    counted = np.bincount(owner, known, minlength=len(topics))
    least_one = np.maximum(counted, 1)
    means = (np.bincount(owner, values * known, minlength=len(topics)) / least_one for values in (loss, progress))
    return *(mean.astype(np.float32) for mean in means), (counted / np.maximum(sizes, 1)).astype(np.float32)


def _thinned(near: IntArray) -> IntArray:
    """At most 128 neighbours, evenly spaced, so that a hub costs no more than another topic."""
    return near[:: -(-len(near) // _NEIGHBOURS)] if len(near) > _NEIGHBOURS else near


def _global_features(view: View, state: FeatureState, n_candidates: int) -> FloatArray:
    """The features of the curriculum as a whole, in the order of `GLOBAL_FEATURES`."""
    values = (
        state.latest_loss / 10,
        state.first_loss - state.latest_loss,
        (state.previous_loss - state.latest_loss) * 10,
        1.0 - view.tokens / view.budget,
        state.n_learned / len(view.graph),
        np.log1p(state.n_learned) / 10,
        np.log1p(n_candidates) / 10,
        float(view.goal is not None),
    )
    return np.array(values, dtype=np.float32)


def _bounded(values: FloatArray) -> FloatArray:
    clipped: FloatArray = np.clip(values, -CLIP, CLIP)
    return clipped


def _unit(vector: FloatArray) -> FloatArray:
    norm = np.linalg.norm(vector)
    unit: FloatArray = vector / norm if norm > 0 else vector
    return unit


def _log_pagerank(graph: TopicGraph) -> FloatArray:
    """ln(topics x PageRank), computed once for each graph."""
    if graph not in _log_pageranks:
        _log_pageranks[graph] = np.log(np.maximum(len(graph) * pagerank(graph), 1e-9)).astype(np.float32)
    return _log_pageranks[graph]
