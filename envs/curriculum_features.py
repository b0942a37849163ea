"""What a curiosity policy is shown of a curriculum: the walk of the topics learned last, and what learning adds to it.

The environment and a trained agent outside of it call the same `observe`, so both see the same numbers. A call costs
time proportional to the frontier and the slots, not to the graph.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import FOLDER
from kgrl.envs.features import LEARNING_FEATURES, Slots, describe
from kgrl.envs.walk_features import GoalTables, Walks
from kgrl.envs.walk_tables import walk_tables
from kgrl.expansion import Expansion
from kgrl.graph import IntArray
from kgrl.traces import SEEN
from kgrl.view import View

__all__ = ["FeatureState", "observe", "shortlist"]

FloatArray = NDArray[np.float32]

_RECENT, _REMEMBERED, _NEIGHBOURS = 8, 64, 128
_PROBES = ("mean", "target", "self")


class FeatureState:
    """What features need to remember between steps of one curriculum.

    Args:
        view: The curriculum just after its nucleus was learned; its graph, goal and embeddings are kept for good.
        clicks: Folder of the clicks that features are made from.
    """

    def __init__(self, view: View, clicks: Path = FOLDER) -> None:
        aim = view.nucleus if view.goal is None else view.goal
        direction = _unit(view.embeddings[aim].sum(axis=0))
        self.aim_similarity: FloatArray = view.embeddings @ direction
        self.tables = walk_tables(view.graph, view.embeddings, clicks)
        self.goals = None if view.goal is None else GoalTables.of(self.tables, [view.goal])
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
    topics = np.full(slots, -1, dtype=np.int32)
    topics[:filled] = candidates[chosen]
    learning = np.zeros((1, slots, len(LEARNING_FEATURES)), dtype=np.float32)
    learning[0, :filled] = _learning_features(view, state, topics[:filled], 1.0 - chosen / max(len(candidates), 1))
    walk = _as_walk(view)
    links = np.full((1, slots), -1, dtype=np.int64)
    links[0, :filled] = view.graph.positions(np.full(filled, walk.stack[0, -1]), topics[:filled])
    overall = _overall(view, state, len(candidates))
    batch = describe(state.tables, walk, topics[None], links, state.goals, learning, overall)
    return Slots({name: values[0] for name, values in batch.items()}, topics)


def _as_walk(view: View) -> Walks:
    """The topics learned last as the path of a reader who never went back; the latest is the current page."""
    learned = view.frontier.learned
    # Only the last are told: a curriculum is much deeper than the recorded rabbit holes that policies learn from.
    walk = Walks.forward(learned[-SEEN:], aimed=view.goal is not None)
    return walk._replace(start=learned[:1])


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
    left, near = _take_best(left, state.aim_similarity[candidates], slots // 4)
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


def _learning_features(view: View, state: FeatureState, topics: IntArray, age: NDArray[np.floating]) -> FloatArray:
    """What a curriculum knows of some topics, in the order of `LEARNING_FEATURES`, shape `[topics, features]`."""
    links = view.frontier.links_to_learned[topics].astype(np.float32)
    columns: tuple[NDArray[np.floating], ...] = (
        np.log1p(links) / 5,
        links / np.maximum(view.graph.degree[topics], 1),
        state.aim_similarity[topics],
        *state.similarities(view.embeddings[topics]),
        *_own_losses(view, state, topics),
        *_neighbour_losses(view, state, topics),
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


def _overall(view: View, state: FeatureState, n_candidates: int) -> tuple[float, ...]:
    """The features of the curriculum as a whole, in the order of `GLOBAL_FEATURES` from the second on."""
    return (
        state.latest_loss / 10,
        state.first_loss - state.latest_loss,
        (state.previous_loss - state.latest_loss) * 10,
        1.0 - view.tokens / view.budget,
        state.n_learned / len(view.graph),
        float(np.log1p(state.n_learned)) / 10,
        float(np.log1p(n_candidates)) / 10,
    )


def _unit(vector: FloatArray) -> FloatArray:
    norm = np.linalg.norm(vector)
    unit: FloatArray = vector / norm if norm > 0 else vector
    return unit
