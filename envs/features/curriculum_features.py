"""What a curiosity policy is shown of a curriculum: the walk of the topics learned last, and what learning adds to it.

The environment and a trained agent outside of it call the same `observe`, so both see the same numbers. A call costs
time proportional to the frontier and the slots, not to the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import FOLDER, PROJECTED
from kgrl.curriculum.view import View
from kgrl.envs.features.arrays import Aims, Known, Shown, Tables
from kgrl.envs.features.curriculum_kernels import observe_into
from kgrl.envs.features.shortlist_kernels import shortlist_into
from kgrl.envs.features.space import FEATURES, GLOBAL_FEATURES, PATH_ROWS, PATH_WIDTH, Observation, Slots
from kgrl.envs.features.walk_features import GoalTables
from kgrl.envs.features.walk_tables import WalkTables, walk_tables
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray

__all__ = ["FeatureState", "aims_of", "known_of_nothing", "observe", "room", "seen_as", "shortlist"]

FloatArray = NDArray[np.float32]

_PROBES = ("mean", "target", "self")


class FeatureState:
    """What features need to remember between steps of one curriculum.

    Args:
        view: The curriculum just after its nucleus was learned; its graph, goal and embeddings are kept for good, and
            its generator draws what shortlists and orders are seeded with.
        clicks: Folder of the clicks that features are made from.
    """

    def __init__(self, view: View, clicks: Path = FOLDER) -> None:
        walks = walk_tables(view.graph, view.embeddings, clicks)
        self.tables: Tables = walks.compiled
        self.aims = aims_of(walks, [(view.goal, view.nucleus)])
        measured = view.profile.level[view.profile.measured]
        self.first_loss = self.previous_loss = self.latest_loss = float(measured.mean()) if len(measured) else 0.0
        self.slot_of = np.full(len(view.graph), -1, dtype=np.int16)
        self._known = known_of_nothing(1, len(view.graph), view.embeddings.shape[1])
        self._known.seed[0] = view.rng.integers(2**63)
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

    def known(self, view: View) -> Known:
        """Return what is known of the curriculum now, as the kernels read it."""
        learned, known = view.frontier.learned, self._known
        known.n_learned[0], known.step[0] = len(learned), view.index
        known.state[0] = self.first_loss, self.previous_loss, self.latest_loss, 1.0 - view.tokens / view.budget
        return known._replace(
            learned=learned[None],
            links_to_learned=view.frontier.links_to_learned[None],
            level=view.profile.level[None],
            previous=view.profile.previous[None],
        )


def observe(view: View, slots: int = 64, state: FeatureState | None = None) -> Slots:
    """Describe the candidates of a curriculum.

    Slot order has no meaning: slots are shuffled, and empty ones come last. Looking twice shows the same.

    Args:
        view: The curriculum as agents see it.
        slots: Number of candidate slots; a larger frontier is narrowed as `shortlist` says.
        state: The memory kept since the curriculum started; made from `view` if None, without a history of losses.
    """
    state = state or FeatureState(view)
    candidates, shown = view.candidates, room(1, slots)
    pool = np.empty(len(candidates), dtype=np.int32)
    known = state.known(view)
    observe_into(state.tables, state.aims, known, 0, candidates, len(candidates), state.slot_of, pool, shown)
    return Slots({name: values[0] for name, values in seen_as(shown).items()}, shown.slots[0])


def shortlist(view: View, slots: int, state: FeatureState, candidates: IntArray) -> NDArray[np.int64]:
    """Choose which candidates get a slot, as positions in `candidates`, in random order.

    All of them where they fit. Otherwise half the slots go to the topics with the largest share of links to the learned
    set, a quarter to those most similar to the goal (to the nucleus without one), and the rest to topics drawn
    uniformly from the others, so that every candidate has a chance. Ties are broken at random. Of more than 4,096
    candidates as many are drawn uniformly first, which bounds what a step costs.
    """
    n, chosen = len(candidates), np.empty(slots, dtype=np.int64)
    pool, known = np.empty(n, dtype=np.int32), state.known(view)
    return chosen[: shortlist_into(state.tables, state.aims, known, 0, candidates, n, slots, pool, chosen)]


def room(curricula: int, slots: int) -> Shown:
    """Return arrays for observations, not filled yet."""
    return Shown(
        candidates=np.empty((curricula, slots, len(FEATURES)), dtype=np.float32),
        topics=np.empty((curricula, slots, PROJECTED), dtype=np.float32),
        path=np.empty((curricula, PATH_ROWS, PATH_WIDTH), dtype=np.float32),
        goal=np.empty((curricula, PROJECTED), dtype=np.float32),
        overall=np.empty((curricula, len(GLOBAL_FEATURES)), dtype=np.float32),
        mask=np.empty((curricula, slots), dtype=np.int8),
        slots=np.empty((curricula, slots), dtype=np.int32),
    )


def seen_as(shown: Shown) -> Observation:
    """Return observations by the names that `kgrl.envs.features.space.observation_space` gives them."""
    names = {"candidates": shown.candidates, "topics": shown.topics, "path": shown.path, "goal": shown.goal}
    return {**names, "global": shown.overall, "mask": shown.mask}


def known_of_nothing(curricula: int, topics: int, dimensions: int) -> Known:
    """Return what is known of curricula that have not begun; what others keep is left empty.

    Args:
        curricula: How many.
        topics: Topics of the graph.
        dimensions: Dimensions of the embeddings.
    """
    nothing = np.empty((curricula, 0), dtype=np.float32)
    return Known(
        learned=np.empty((curricula, 0), dtype=np.int32),
        n_learned=np.zeros(curricula, dtype=np.int64),
        links_to_learned=np.empty((curricula, 0), dtype=np.int32),
        level=nothing,
        previous=nothing,
        total_similarity=np.zeros((curricula, topics), dtype=np.float32),
        nearest_similarity=np.full((curricula, topics), -1.0, dtype=np.float32),
        compared=np.zeros((curricula, topics), dtype=np.int32),
        learned_sum=np.zeros((curricula, dimensions), dtype=np.float32),
        summed=np.zeros(curricula, dtype=np.int64),
        seed=np.zeros(curricula, dtype=np.uint64),
        step=np.zeros(curricula, dtype=np.int64),
        state=np.zeros((curricula, 4)),
        aim=np.zeros(curricula, dtype=np.int64),
    )


def aims_of(walks: WalkTables, aims: Sequence[tuple[IntArray | None, IntArray]]) -> Aims:
    """Relate all topics to what curricula work towards.

    Args:
        walks: The graph's tables.
        aims: Goals, None where all topics count, each with the nucleus that a curriculum starts from.
    """
    embeddings, n = walks.relations.embeddings, len(walks.graph)
    directions = [_unit(embeddings[nucleus if goal is None else goal].sum(axis=0)) for goal, nucleus in aims]
    has_goal = np.array([goal is not None for goal, _ in aims])
    goals = np.zeros((len(aims), n if has_goal.any() else 0, 7), dtype=np.float32)
    vectors = np.zeros((len(aims), PROJECTED), dtype=np.float32)
    for row, (goal, _) in enumerate(aims):
        if goal is not None:
            related = GoalTables.of(walks, [goal])
            goals[row], vectors[row] = _towards(related), related.vectors[0]
    return Aims(np.stack([embeddings @ direction for direction in directions]), goals, vectors, has_goal)


def _towards(goal: GoalTables) -> FloatArray:
    """The features of all topics towards one goal, as `Aims` keeps them."""
    logs = np.log1p(goal.common[0]) / 4, np.log1p(goal.paths[0]) / 3
    columns = goal.similarity[0], goal.to_goal[0], goal.from_goal[0], *logs, goal.category[0], goal.inside[0]
    return np.column_stack(columns).astype(np.float32)


def _unit(vector: FloatArray) -> FloatArray:
    norm = np.linalg.norm(vector)
    unit: FloatArray = vector / norm if norm > 0 else vector
    return unit
