"""Observations of a curriculum for policies: the walk of the topics learned last, and what learning adds to it.

The environment and a trained agent outside of it call the same `observe`, so both see the same numbers. A call costs
time proportional to the slots and to the frontier, of which it looks at no more than `View.candidates` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import FOLDER, PROJECTED
from kgrl.curriculum.view import View
from kgrl.envs.features.arrays import GoalFeatures, GraphTables, LearnedState, Observations
from kgrl.envs.features.curriculum_kernels import observe_into
from kgrl.envs.features.names import FEATURES, GLOBAL, GLOBAL_FEATURES, PATH_ROWS, PATH_WIDTH, TOPIC_GOAL_FEATURES
from kgrl.envs.features.shortlist_kernels import shortlist_into
from kgrl.envs.features.space import Observation, Slots
from kgrl.envs.features.walk_features import GoalTables
from kgrl.envs.features.walk_tables import WalkTables, walk_tables
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.system.memo import keep_recent

__all__ = [
    "FeatureState",
    "blank_learned_state",
    "blank_observations",
    "goal_features",
    "named",
    "observe",
    "shortlist",
]

FloatArray = NDArray[np.float32]

_PROBES = ("mean", "target", "self")


class FeatureState:
    """Memory of features between the steps of one curriculum.

    Args:
        view: The curriculum just after its nucleus was learned; its graph, goal and embeddings are kept for good, and
            its generator draws what shortlists and orders are seeded with.
        clicks: Folder of the clicks that features are made from.
    """

    def __init__(self, view: View, clicks: Path = FOLDER) -> None:
        walks = walk_tables(view.graph, view.embeddings, clicks)
        self.tables: GraphTables = walks.by_counts[0]
        self.goals = _one_goal(walks, view.goal, view.nucleus)
        measured = view.profile.level[view.profile.measured]
        self.first_loss = self.previous_loss = self.latest_loss = float(measured.mean()) if len(measured) else 0.0
        self.slot_of = np.full(len(view.graph), -1, dtype=np.int16)
        self._seed = view.rng.integers(2**63)
        self._known, self._made_for = self._blank(view), _walked(view)
        self._recorded = False

    def _blank(self, view: View) -> LearnedState:
        """A curriculum of which the kernels have seen nothing."""
        blank = blank_learned_state(1, len(view.graph), view.embeddings.shape[1])
        blank.seed[0] = self._seed
        return blank

    def record(self, expansion: Expansion) -> None:
        """Take note of the losses that an expansion after the nucleus measured."""
        probe = next((expansion.probes[name] for name in _PROBES if name in expansion.probes), None)
        if probe is not None:
            before, after = probe.mean_before, probe.mean_after
        else:
            after = expansion.train_loss
            before = self.latest_loss if self._recorded else after
        self.first_loss = self.first_loss if self._recorded else before
        self.previous_loss, self.latest_loss = before, after
        self._recorded = True

    def known(self, view: View) -> LearnedState:
        """Return the curriculum as it is now, as the kernels read it."""
        if (made_for := _walked(view)) != self._made_for:
            # The kernels add what became solid since they looked last; after a topic was forgotten they begin anew.
            self._known, self._made_for = self._blank(view), made_for
        # A walk has a page that it is at. While nothing is solid, it is the nucleus.
        learned, known = view.frontier.solid if len(view.frontier.solid) else view.nucleus, self._known
        known.n_learned[0], known.step[0] = len(learned), view.index
        known.first_loss[0], known.previous_loss[0] = self.first_loss, self.previous_loss
        known.latest_loss[0], known.budget_left[0] = self.latest_loss, 1.0 - view.tokens / view.budget
        known = known._replace(
            learned=learned[None],
            links_to_solid=view.frontier.links_to_solid[None],
            level=view.profile.level[None],
            previous=view.profile.previous[None],
        )
        return known if view.mastery.by_reading else _with_knowledge(known, view)


def _walked(view: View) -> tuple[int, bool]:
    """Return what stays the same as long as a walk only gets longer."""
    return view.frontier.forgettings, len(view.frontier.solid) > 0


def _with_knowledge(known: LearnedState, view: View) -> LearnedState:
    """Return the curriculum with what was read of each topic and how well it is known."""
    estimate, before = view.knowledge.estimates(view.mastery.measure)
    known.solid_level[0], known.tokens[0] = view.mastery.level, view.tokens
    known.n_unknown[0] = view.knowledge.n_read - len(view.frontier.solid)  # what is solid was read
    return known._replace(
        exposures=view.knowledge.exposures[None],
        last_read=view.knowledge.last_read[None],
        estimate=estimate[None],
        estimate_before=before[None],
        was_solid=view.was_solid[None],
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
    candidates, shown = view.candidates, blank_observations(1, slots)
    pool = np.empty(len(candidates), dtype=np.int32)
    known = state.known(view)
    observe_into(state.tables, state.goals, known, 0, candidates, len(candidates), state.slot_of, pool, shown)
    if not len(view.frontier.solid):
        shown.overall[0, GLOBAL.learned_share] = shown.overall[0, GLOBAL.log_learned] = 0.0
    if view.sampled:  # the kernel knows the sample alone
        shown.overall[0, GLOBAL.log_frontier] = np.log1p(len(view.frontier)) / 10
    return Slots({name: values[0] for name, values in named(shown).items()}, shown.slots[0])


def shortlist(view: View, slots: int, state: FeatureState, candidates: IntArray) -> NDArray[np.int64]:
    """Choose which candidates get a slot, as positions in `candidates`, in random order.

    All of them where they fit. Otherwise half the slots go to the topics with the largest share of links to the learned
    set, a quarter to those most similar to the goal (to the nucleus without one), and the rest to topics drawn
    uniformly from the others, so that every candidate has a chance. Ties are broken at random. Of more than 4,096
    candidates as many are drawn uniformly first, which bounds what a step costs.
    """
    n, chosen = len(candidates), np.empty(slots, dtype=np.int64)
    pool, known = np.empty(n, dtype=np.int32), state.known(view)
    return chosen[: shortlist_into(state.tables, state.goals, known, 0, candidates, n, slots, pool, chosen)]


def blank_observations(curricula: int, slots: int) -> Observations:
    """Return arrays for observations, not filled yet."""
    return Observations(
        candidates=np.empty((curricula, slots, len(FEATURES)), dtype=np.float32),
        topics=np.empty((curricula, slots, PROJECTED), dtype=np.float32),
        path=np.empty((curricula, PATH_ROWS, PATH_WIDTH), dtype=np.float32),
        goal=np.empty((curricula, PROJECTED), dtype=np.float32),
        overall=np.zeros((curricula, len(GLOBAL_FEATURES)), dtype=np.float32),
        mask=np.empty((curricula, slots), dtype=np.int8),
        slots=np.empty((curricula, slots), dtype=np.int32),
    )


def named(shown: Observations) -> Observation:
    """Return observations by the names that `kgrl.envs.features.space.observation_space` gives them."""
    names = {"candidates": shown.candidates, "topics": shown.topics, "path": shown.path, "goal": shown.goal}
    return {**names, "global": shown.overall, "mask": shown.mask}


def blank_learned_state(curricula: int, topics: int, dimensions: int) -> LearnedState:
    """Return the state of curricula that have not begun; arrays that others keep are left empty.

    Args:
        curricula: How many.
        topics: Topics of the graph.
        dimensions: Dimensions of the embeddings.
    """
    nothing = np.empty((curricula, 0), dtype=np.float32)
    return LearnedState(
        learned=np.empty((curricula, 0), dtype=np.int32),
        n_learned=np.zeros(curricula, dtype=np.int64),
        links_to_solid=np.empty((curricula, 0), dtype=np.int32),
        level=nothing,
        previous=nothing,
        nearest_similarity=np.full((curricula, topics), -1.0, dtype=np.float32),
        compared=np.zeros((curricula, topics), dtype=np.int32),
        learned_sum=np.zeros((curricula, dimensions), dtype=np.float32),
        summed=np.zeros(curricula, dtype=np.int64),
        seed=np.zeros(curricula, dtype=np.uint64),
        step=np.zeros(curricula, dtype=np.int64),
        first_loss=np.zeros(curricula),
        previous_loss=np.zeros(curricula),
        latest_loss=np.zeros(curricula),
        budget_left=np.zeros(curricula),
        aim=np.zeros(curricula, dtype=np.int64),
        exposures=np.empty((curricula, 0), dtype=np.int32),
        last_read=np.empty((curricula, 0), dtype=np.int64),
        estimate=nothing,
        estimate_before=nothing,
        was_solid=np.empty((curricula, 0), dtype=bool),
        solid_level=np.zeros(curricula),
        tokens=np.zeros(curricula, dtype=np.int64),
        n_unknown=np.zeros(curricula, dtype=np.int64),
    )


def goal_features(walks: WalkTables, aims: Sequence[tuple[IntArray | None, IntArray]]) -> GoalFeatures:
    """Relate all topics to the aims of curricula.

    Args:
        walks: The graph's tables.
        aims: Goals, None where all topics count, each with the nucleus that a curriculum starts from.
    """
    embeddings, n = walks.relations.embeddings, len(walks.graph)
    related: dict[bytes, GoalTables] = {}  # the same goals come back in many aims
    has_goal = np.array([goal is not None for goal, _ in aims])
    towards = np.zeros((len(aims), n if has_goal.any() else 0, len(TOPIC_GOAL_FEATURES)), dtype=np.float32)
    vectors = np.zeros((len(aims), PROJECTED), dtype=np.float32)
    similarity = np.empty((len(aims), n), dtype=np.float32)
    for row, (goal, nucleus) in enumerate(aims):
        if goal is None:
            similarity[row] = embeddings @ _unit(embeddings[nucleus].sum(axis=0))
            continue
        tables = related.get(goal.tobytes()) or related.setdefault(goal.tobytes(), GoalTables.of(walks, [goal]))
        similarity[row], vectors[row] = tables.similarity[0], tables.vectors[0]
        towards[row] = tables.features(0, slice(None))
    return GoalFeatures(similarity, towards, vectors, has_goal)


@keep_recent(4)  # a curriculum's aim is the same in every episode
def _one_goal(walks: WalkTables, goal: IntArray | None, nucleus: IntArray) -> GoalFeatures:
    return goal_features(walks, [(goal, nucleus)])


def _unit(vector: FloatArray) -> FloatArray:
    norm = np.linalg.norm(vector)
    unit: FloatArray = vector / norm if norm > 0 else vector
    return unit
