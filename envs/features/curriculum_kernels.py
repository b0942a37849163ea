"""Observations of curricula, compiled: the shortlist of candidates and their features, a curriculum at a time.

The environment, the vector environment and agents outside of them all call `observe_row`, so all see the same numbers.
`walk_kernels` describes a curriculum as the walk of a reader who never goes back; features of learning are added here.
`kgrl.envs.features.names` says what the columns mean. Arrays with a first axis `[curricula]` may hold many; the work is
for one row of them.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kgrl.builtin import PROJECTED
from kgrl.envs.features.arrays import Path
from kgrl.envs.features.names import COLUMN, FEATURES, GLOBAL, TOPIC_GOAL_FEATURES
from kgrl.envs.features.shortlist_kernels import shortlist_into
from kgrl.envs.features.walk_kernels import (
    clipped,
    describe_candidates,
    describe_goal,
    describe_path,
    dot,
    link_positions,
    products,
)
from kgrl.system.kernels import inner_kernel
from kgrl.traces.trace import SEEN, STACK

__all__ = ["observe_into", "observe_row"]

_WIDTH = len(FEATURES)
_GOAL_SIMILARITY = TOPIC_GOAL_FEATURES.index("goal_similarity")
_NEIGHBOURS = 128
"""Neighbours that are looked at for a candidate's."""
_COMPARED_WHOLE = 11_585
"""Topics of a graph up to which a candidate is compared with all that is learned."""
_COMPARED = 32
"""Topics learned last that it is compared with on larger ones."""

RECENT = 8
"""Number of the topics learned last whose mean is called recent; they are all on the stack."""
assert RECENT <= STACK


@inner_kernel
def _catch_up(tables, known, row):
    """Add the topics learned since the last time to the sum of what is learned."""
    total = known.learned_sum[row]
    for at in range(known.summed[row], known.n_learned[row]):
        embedding = tables.embeddings[known.learned[row, at]]
        for dimension in range(len(total)):
            total[dimension] += embedding[dimension]
    known.summed[row] = known.n_learned[row]


@inner_kernel
def _norm(vector):
    """Return the length of a vector, 1 where it is 0, for a divisor."""
    norm = math.sqrt(dot(vector, vector))
    return np.float32(norm if norm > 0 else 1.0)


@inner_kernel
def _recent_norm(tables, learned, n):
    """Return the norm of the sum of the embeddings learned last."""
    total = np.zeros(tables.embeddings.shape[1], dtype=np.float32)
    for at in range(max(0, n - RECENT), n):
        total += tables.embeddings[learned[at]]
    return _norm(total)


@inner_kernel
def _compare(tables, known, row, slots, filled, cosines, stacked):
    """Compare candidates with what was learned since they were last compared.

    Those that were candidates before lack only topics of the path. Others have to be compared with earlier ones, too.

    Args:
        tables: The graph.
        known: The curricula.
        row: Which of them.
        slots: The candidates' topics, `[at least filled]`.
        filled: How many there are.
        cosines: Cosines of the pages on the stack to them, `[at least stacked, at least filled]`.
        stacked: Pages on the stack, the topics learned last.
    """
    nearest, compared, n = known.nearest_similarity[row], known.compared[row], known.n_learned[row]
    behind, count, end = np.empty(filled, dtype=np.int32), 0, n - stacked
    for slot in range(filled):
        topic = slots[slot]
        best = nearest[topic]
        for at in range(stacked):
            best = max(best, cosines[at, slot])
        nearest[topic] = best
        if compared[topic] < end:
            behind[count] = topic
            count += 1
    least = n - _COMPARED if len(tables.share) > _COMPARED_WHOLE else 0
    for first in range(0, count, 4):
        some = behind[first : min(first + 4, count)]
        since = compared[some[0]]
        for topic in some:
            since = min(since, compared[topic])
        earlier = known.learned[row, max(since, least) : end]
        found = products(tables.embeddings, earlier, tables.embeddings, some, len(some))
        for at in range(len(earlier)):
            for one in range(len(some)):
                nearest[some[one]] = max(nearest[some[one]], found[at, one])
    for slot in range(filled):
        compared[slots[slot]] = n


@inner_kernel
def _neighbour_losses(tables, level, previous, latest, topic, features):
    """Write mean loss and progress over a candidate's measured neighbours, and the share that is measured."""
    start, end = tables.near_starts[topic], tables.near_starts[topic + 1]
    step = max(1, -(-(end - start) // _NEIGHBOURS))
    loss, progress, measured, looked = 0.0, 0.0, 0, 0
    for at in range(start, end, step):
        other = tables.near[at]
        looked += 1
        if not math.isnan(level[other]):
            measured += 1
            loss += level[other] - latest
            if not math.isnan(previous[other]):
                progress += previous[other] - level[other]
    if measured:
        features[COLUMN.neighbour_loss] = loss / measured
        features[COLUMN.neighbour_progress] = progress / measured
        features[COLUMN.neighbours_measured] = measured / looked


@inner_kernel
def _learning_features(tables, goals, known, row, slots, filled, cosines, stacked, ages, out):
    """Write what a curriculum has learned about its candidates and around them."""
    level, previous, latest = known.level[row], known.previous[row], known.latest_loss[row]
    all_norm = _norm(known.learned_sum[row])
    recent_norm = _recent_norm(tables, known.learned[row], known.n_learned[row])
    similarity = goals.similarity[known.aim[row]]
    whole = products(known.learned_sum, np.full(1, row), tables.embeddings, slots, filled)[0]
    _compare(tables, known, row, slots, filled, cosines, stacked)
    for slot in range(filled):
        topic, features, recent = slots[slot], out[slot], np.float32(0)
        links = known.links_to_solid[row, topic]
        for at in range(max(0, stacked - RECENT), stacked):
            recent += cosines[at, slot]
        features[COLUMN.log_learned_links] = np.float32(math.log1p(links)) / 5
        features[COLUMN.closure] = links * tables.share[topic]
        features[COLUMN.aim_similarity] = similarity[topic]
        features[COLUMN.learned_similarity] = whole[slot] / all_norm
        features[COLUMN.recent_similarity] = recent / recent_norm
        features[COLUMN.nearest_learned_similarity] = known.nearest_similarity[row, topic]
        if not math.isnan(level[topic]):
            features[COLUMN.loss] = level[topic] - latest
            if not math.isnan(previous[topic]):
                features[COLUMN.progress] = previous[topic] - level[topic]
            features[COLUMN.measured] = 1.0
        _neighbour_losses(tables, level, previous, latest, topic, features)
        features[COLUMN.age] = ages[slot]
        features[COLUMN.coherence] = tables.coherence[topic]


@inner_kernel
def _knowledge_features(known, row, slots, filled, out):
    """Write how often and when candidates were read, and how well they are known.

    Nothing is written for curricula whose topics are solid once they were read.
    """
    if not known.exposures.shape[1]:
        return
    level, now = known.solid_level[row], known.tokens[row]
    for slot in range(filled):
        topic, features = slots[slot], out[slot]
        exposures, estimate = known.exposures[row, topic], known.estimate[row, topic]
        if exposures > 0:
            features[COLUMN.log_exposures] = math.log1p(exposures) / 3
            features[COLUMN.since_read] = math.log1p((now - known.last_read[row, topic]) / 1000) / 5
        if not math.isnan(estimate):
            features[COLUMN.known] = estimate / level
            before = known.estimate_before[row, topic]
            if not math.isnan(before):
                features[COLUMN.known_trend] = (estimate - before) / level
        if known.was_solid[row, topic]:
            features[COLUMN.faded] = 1.0


@inner_kernel
def _show_state(goals, known, row, n_topics, n_candidates, shown):
    """Write the state as a whole, and the goal."""
    latest, n, aim, overall = known.latest_loss[row], known.n_learned[row], known.aim[row], shown.overall[row]
    overall[GLOBAL.has_goal] = np.float32(goals.has_goal[aim])
    overall[GLOBAL.loss] = clipped(latest / 10)
    overall[GLOBAL.loss_drop] = clipped(known.first_loss[row] - latest)
    overall[GLOBAL.loss_trend] = clipped((known.previous_loss[row] - latest) * 10)
    overall[GLOBAL.budget_left] = known.budget_left[row]
    overall[GLOBAL.learned_share] = n / n_topics
    overall[GLOBAL.log_learned] = math.log1p(n) / 10
    overall[GLOBAL.log_frontier] = math.log1p(n_candidates) / 10
    overall[GLOBAL.unknown_share] = known.n_unknown[row] / n_topics
    for column in range(PROJECTED):
        shown.goal[row, column] = clipped(goals.vectors[aim, column])


@inner_kernel
def _path_of(learned, n):
    """Return the topics learned last as the path of a reader who never went back."""
    return Path(
        learned[max(0, n - STACK) : n],
        learned[max(0, n - SEEN) : n],
        learned[:0],
        np.int64(learned[0]),
        np.int64(min(n, SEEN)),
    )


@inner_kernel
def _goal_features(goals, page, slots, filled, out):
    """Write what candidates have to do with the goal."""
    towards = np.empty((filled, goals.shape[1]), dtype=np.float32)
    for slot in range(filled):
        towards[slot] = goals[slots[slot]]
    describe_goal(towards, goals[page, _GOAL_SIMILARITY], filled, out)


@njit(cache=True, nogil=True, error_model="numpy")
def observe_into(tables, goals, known, row, candidates, n, slot_of, pool, shown):
    """Observe one curriculum from Python; see `observe_row`."""
    observe_row(tables, goals, known, row, candidates, n, slot_of, pool, shown)


@inner_kernel
def observe_row(tables, goals, known, row, candidates, n, slot_of, pool, shown):
    """Observe one curriculum.

    Args:
        tables: The graph, a `GraphTables`.
        goals: The goals of curricula, a `GoalFeatures`.
        known: The curricula, a `LearnedState`; what they remember of comparisons is brought up to date.
        row: Which of them.
        candidates: Its candidates in order of discovery, `[at least n]`.
        n: How many.
        slot_of: Minus one for each topic; so again afterwards.
        pool: Room for n numbers.
        shown: Where to, an `Observations`.
    """
    count, out = shown.slots.shape[1], shown.candidates[row]
    chosen = np.empty(count, dtype=np.int64)
    filled = shortlist_into(tables, goals, known, row, candidates, n, count, pool, chosen)
    slots, ages = shown.slots[row], np.empty(filled, dtype=np.float32)
    slots[filled:] = -1
    for slot in range(filled):
        slots[slot] = candidates[chosen[slot]]
        ages[slot] = 1.0 - chosen[slot] / n
    _catch_up(tables, known, row)
    learned, n_learned = known.learned[row], known.n_learned[row]
    path = _path_of(learned, n_learned)
    links = np.full(filled, -1, dtype=np.int64)
    for slot in range(filled):
        slot_of[slots[slot]] = slot
    link_positions(tables, path.stack[-1], slot_of, links)
    cosines = describe_candidates(tables, path, slots, filled, links, slot_of, out)
    for slot in range(filled):
        slot_of[slots[slot]] = -1
    if goals.has_goal[known.aim[row]]:
        _goal_features(goals.goals[known.aim[row]], path.stack[-1], slots, filled, out)
    _learning_features(tables, goals, known, row, slots, filled, cosines, len(path.stack), ages, out)
    _knowledge_features(known, row, slots, filled, out)
    for slot in range(filled):
        for column in range(_WIDTH):
            out[slot, column] = clipped(out[slot, column])
        projected = tables.projected[slots[slot]]
        for column in range(PROJECTED):
            shown.topics[row, slot, column] = clipped(projected[column])
    out[filled:] = 0.0
    shown.topics[row, filled:] = 0.0
    shown.mask[row, :filled] = 1
    shown.mask[row, filled:] = 0
    describe_path(tables, path, shown.path[row])
    _show_state(goals, known, row, len(tables.share), n, shown)
