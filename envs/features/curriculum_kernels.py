"""Observations of curricula, compiled: the shortlist of candidates and their features, a curriculum at a time.

The environment, the vector environment and agents outside of them all call `observe_into`, so all see the same numbers.
What the columns mean is said in `kgrl.envs.features.space`, `walk_features` and `walk_tables`; a curriculum is the walk
of a reader who never goes back. Arrays with a first axis `[curricula]` may hold many; the work is for one row of them.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kgrl.builtin import PROJECTED
from kgrl.envs.features.arrays import QUANTUM
from kgrl.envs.features.shortlist_kernels import shortlist_into
from kgrl.envs.features.space import CLIP, FEATURES, GLOBAL_FEATURES, LEARNING_FEATURES, PATH_ROWS
from kgrl.envs.features.walk_features import GOAL_FEATURES, PATH_FEATURES
from kgrl.envs.features.walk_tables import LINK_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES
from kgrl.traces.trace import SEEN, STACK

__all__ = ["cosines_to", "dot", "link_position", "look_up", "observe_into", "outlooks_from"]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def dot(left, right):
    """The product of two vectors."""
    total = np.float32(0)
    for at in range(len(left)):
        total += left[at] * right[at]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def look_up(keys, values, wanted):
    """The value of a key, among ascending ones; 0 where it is not there."""
    at = np.searchsorted(keys, wanted)
    return values[at] if at < len(keys) and keys[at] == wanted else np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
def link_position(starts, targets, source, target):
    """Where a link is, -1 where there is none."""
    row = targets[starts[source] : starts[source + 1]]
    at = np.searchsorted(row, target)
    return starts[source] + at if at < len(row) and row[at] == target else -1


@njit(cache=True, nogil=True, error_model="numpy")
def cosines_to(tables, page, slots, n, out):
    """Write the cosines of a page to the topics of the filled slots."""
    if len(tables.cosines):
        for slot in range(n):
            out[slot] = tables.cosines[page, slots[slot]] * QUANTUM
    else:
        for slot in range(n):
            out[slot] = dot(tables.embeddings[page], tables.embeddings[slots[slot]])


@njit(cache=True, nogil=True, error_model="numpy")
def outlooks_from(tables, page, slots, n, out):
    """Write the mean cosines of a page's targets to the topics of the filled slots."""
    if len(tables.outlooks):
        for slot in range(n):
            out[slot] = tables.outlooks[page, slots[slot]] * QUANTUM
    else:
        for slot in range(n):
            out[slot] = dot(tables.mean_targets[page], tables.embeddings[slots[slot]])


_TOPIC = 1

_LINK = _TOPIC + len(TOPIC_FEATURES)

_TRANSITION = _LINK + len(LINK_FEATURES)

_PATH = _TRANSITION + len(TRANSITION_FEATURES)

_GOAL = _PATH + len(PATH_FEATURES)

_LEARNING = _GOAL + len(GOAL_FEATURES)

_WIDTH = len(FEATURES)

assert _LEARNING + len(LEARNING_FEATURES) == _WIDTH and len(GLOBAL_FEATURES) == 8

_ROW_TOPIC = 2 * PROJECTED

_ROW_LINK = _ROW_TOPIC + len(TOPIC_FEATURES)

_ROW_TRANSITION = _ROW_LINK + len(LINK_FEATURES)

_ROW_STACK = _ROW_TRANSITION + len(TRANSITION_FEATURES)

_PAGES = PATH_ROWS - 1

assert _PAGES == SEEN

RECENT, NEIGHBOURS = 8, 128
"""The topics whose mean is called recent; neighbours that are looked at for a candidate's."""

_CLIP = np.float32(CLIP)


@njit(cache=True, nogil=True, inline="always")
def _clipped(value):
    return np.float32(min(max(value, -_CLIP), _CLIP))


@njit(cache=True, nogil=True, error_model="numpy")
def _catch_up(tables, known, row):
    """Add the topics learned since the last time to the sum of what is learned."""
    total = known.learned_sum[row]
    for at in range(known.summed[row], known.n_learned[row]):
        embedding = tables.embeddings[known.learned[row, at]]
        for dimension in range(len(total)):
            total[dimension] += embedding[dimension]
    known.summed[row] = known.n_learned[row]


@njit(cache=True, nogil=True, error_model="numpy")
def _norm(vector):
    norm = math.sqrt(dot(vector, vector))
    return np.float32(norm if norm > 0 else 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _recent_norm(tables, learned, n):
    """The norm of the sum of the embeddings learned last."""
    total = np.zeros(tables.embeddings.shape[1], dtype=np.float32)
    for at in range(max(0, n - RECENT), n):
        total += tables.embeddings[learned[at]]
    return _norm(total)


@njit(cache=True, nogil=True, error_model="numpy")
def _compare(tables, known, row, topic):
    """Compare a topic with what was learned since it was last compared."""
    learned, n = known.learned[row], known.n_learned[row]
    total, nearest = known.total_similarity[row, topic], known.nearest_similarity[row, topic]
    for at in range(known.compared[row, topic], n):
        if len(tables.cosines):
            cosine = tables.cosines[learned[at], topic] * QUANTUM
        else:
            cosine = dot(tables.embeddings[learned[at]], tables.embeddings[topic])
        total += cosine
        nearest = max(nearest, cosine)
    known.total_similarity[row, topic], known.nearest_similarity[row, topic] = total, nearest
    known.compared[row, topic] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _static_features(tables, slots, n, links, out):
    """What does not depend on the walk but for its last page: from `linked` to the transitions."""
    for slot in range(n):
        topic, link, features = slots[slot], links[slot], out[slot]
        features[0] = np.float32(link >= 0)
        features[_TOPIC:_LINK] = tables.topics[topic]
        features[_LINK:_TRANSITION] = tables.links[link]
        features[_TRANSITION:_PATH] = tables.transitions[link]


@njit(cache=True, nogil=True, error_model="numpy")
def _count_joined(tables, learned, n, slot_of, out):
    """How often candidates are linked with the pages below the current one, and linked from pages before it."""
    for at in range(max(0, n - STACK), n - 1):
        page = learned[at]
        for position in range(tables.near_starts[page], tables.near_starts[page + 1]):
            slot = slot_of[tables.near[position]]
            if slot >= 0:
                out[slot, _PATH + 9] += np.float32(1 / 3)
                if at == n - 2:
                    out[slot, _PATH + 8] = 1.0
    for at in range(max(0, n - SEEN), n - 1):
        page = learned[at]
        for position in range(tables.out_starts[page], tables.out_starts[page + 1]):
            slot = slot_of[tables.out[position]]
            if slot >= 0:
                out[slot, _PATH + 14] += np.float32(1 / 3)


@njit(cache=True, nogil=True, error_model="numpy")
def _click_features(tables, learned, n, slots, filled, links, out):
    """Clicks after the previous page."""
    if n < 2 or not len(tables.contexts):
        return
    page, previous = np.int64(learned[n - 1]), np.int64(learned[n - 2])
    all_clicks = look_up(tables.contexts, tables.totals, previous * (len(tables.out_starts) - 1) + page)
    if all_clicks == 0:
        return
    for slot in range(filled):
        out[slot, _PATH + 2] = np.float32(math.log1p(all_clicks)) / 3
        if links[slot] >= 0:
            clicks = look_up(tables.keys, tables.after, previous * len(tables.out) + links[slot])
            out[slot, _PATH] = np.float32(math.log1p(clicks)) / 2
            out[slot, _PATH + 1] = clicks / (3 + all_clicks)


@njit(cache=True, nogil=True, error_model="numpy")
def _similarity_features(tables, learned, n, slots, filled, out):
    """Cosines to the pages of the walk and to their links' targets; returns the sums of those to the recent ones."""
    recent = np.zeros(filled, dtype=np.float32)
    cosines, outlooks = np.empty(filled, dtype=np.float32), np.zeros(filled, dtype=np.float32)
    nearest, intents = np.full(filled, np.float32(-0.2)), np.zeros(filled, dtype=np.float32)
    last = np.zeros(filled, dtype=np.float32)
    first = max(0, n - STACK)
    for at in range(first, n):
        cosines_to(tables, learned[at], slots, filled, cosines)
        if at > first:
            for slot in range(filled):
                last[slot] = cosines[slot] - outlooks[slot]  # to what was clicked, less that to what was on offer
                intents[slot] += last[slot]
        if at >= n - RECENT:
            for slot in range(filled):
                recent[slot] += cosines[slot]
        if at == n - 2:
            for slot in range(filled):
                out[slot, _PATH + 3] = cosines[slot]
        if at < n - 1:
            for slot in range(filled):
                nearest[slot] = max(nearest[slot], cosines[slot])
        outlooks_from(tables, learned[at], slots, filled, outlooks)
        if at == n - 2:
            for slot in range(filled):
                out[slot, _PATH + 19] = outlooks[slot]
    to_start = np.empty(filled, dtype=np.float32)
    cosines_to(tables, learned[0], slots, filled, to_start)
    for slot in range(filled):
        features = out[slot]
        features[_PATH + 4] = nearest[slot]
        features[_PATH + 5] = cosines[slot] - features[_PATH + 3]
        features[_PATH + 6] = to_start[slot]
        features[_PATH + 7] = cosines[slot] - to_start[slot]
        features[_PATH + 18] = outlooks[slot]
        features[_PATH + 20] = intents[slot]
        features[_PATH + 21] = last[slot]
    return recent


@njit(cache=True, nogil=True, error_model="numpy")
def _goal_features(aims, aim, page, slots, filled, out):
    """What candidates have to do with the goal."""
    goals = aims.goals[aim]
    best, of_page = np.float32(-1), goals[page, 0]
    for slot in range(filled):
        best = max(best, goals[slots[slot], 0])
    for slot in range(filled):
        towards, features = goals[slots[slot]], out[slot]
        features[_GOAL] = towards[0]
        features[_GOAL + 1] = towards[0] - of_page
        features[_GOAL + 2] = towards[0] - best
        for at in range(1, 7):
            features[_GOAL + 2 + at] = towards[at]


@njit(cache=True, nogil=True, error_model="numpy")
def _neighbour_losses(tables, level, previous, latest, topic, features):
    """Mean loss and progress over a candidate's measured neighbours, and the share of them that are measured."""
    start, end = tables.near_starts[topic], tables.near_starts[topic + 1]
    step = max(1, -(-(end - start) // NEIGHBOURS))
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
        features[_LEARNING + 9] = loss / measured
        features[_LEARNING + 10] = progress / measured
        features[_LEARNING + 11] = measured / looked


@njit(cache=True, nogil=True, error_model="numpy")
def _learning_features(tables, aims, known, row, slots, filled, recent, ages, out):
    """What a curriculum knows of its candidates."""
    level, previous, latest = known.level[row], known.previous[row], known.state[row, 2]
    all_norm = _norm(known.learned_sum[row])
    recent_norm = _recent_norm(tables, known.learned[row], known.n_learned[row])
    similarity = aims.similarity[known.aim[row]]
    for slot in range(filled):
        topic, features = slots[slot], out[slot]
        links = known.links_to_learned[row, topic]
        _compare(tables, known, row, topic)
        features[_LEARNING] = np.float32(math.log1p(links)) / 5
        features[_LEARNING + 1] = links * tables.share[topic]
        features[_LEARNING + 2] = similarity[topic]
        features[_LEARNING + 3] = known.total_similarity[row, topic] / all_norm
        features[_LEARNING + 4] = recent[slot] / recent_norm
        features[_LEARNING + 5] = known.nearest_similarity[row, topic]
        if not math.isnan(level[topic]):
            features[_LEARNING + 6] = level[topic] - latest
            if not math.isnan(previous[topic]):
                features[_LEARNING + 7] = previous[topic] - level[topic]
            features[_LEARNING + 8] = 1.0
        _neighbour_losses(tables, level, previous, latest, topic, features)
        features[_LEARNING + 12] = ages[slot]
        features[_LEARNING + 13] = tables.coherence[topic]


@njit(cache=True, nogil=True, error_model="numpy")
def _show_path(tables, learned, n, out):
    """The topics learned last as pages of a walk, and once more the current one with its own links' targets."""
    out[:] = 0.0
    for row in range(PATH_ROWS):
        at = n - _PAGES + row if row < _PAGES else n - 1
        if at < 0:
            continue
        page = learned[at]
        before = at - 1 if row < _PAGES else at
        link = np.int64(-1)
        if row > 0 and before >= 0:
            link = link_position(tables.out_starts, tables.out, learned[before], page) if before < at else link
            out[row, PROJECTED:_ROW_TOPIC] = tables.outlook[learned[before]]
        out[row, :PROJECTED] = tables.projected[page]
        out[row, _ROW_TOPIC:_ROW_LINK] = tables.topics[page]
        out[row, _ROW_LINK:_ROW_TRANSITION] = tables.links[link]
        out[row, _ROW_TRANSITION:_ROW_STACK] = tables.transitions[link]
        out[row, _ROW_STACK] = np.float32(at >= n - STACK)
        for column in range(_ROW_STACK):
            out[row, column] = _clipped(out[row, column])


@njit(cache=True, nogil=True, error_model="numpy")
def _show_state(aims, known, row, n_topics, n_candidates, shown):
    """The state as a whole, and the goal."""
    first, before, latest, left = known.state[row]
    n, aim, overall = known.n_learned[row], known.aim[row], shown.overall[row]
    overall[0] = np.float32(aims.has_goal[aim])
    overall[1] = _clipped(latest / 10)
    overall[2] = _clipped(first - latest)
    overall[3] = _clipped((before - latest) * 10)
    overall[4] = left
    overall[5] = n / n_topics
    overall[6] = math.log1p(n) / 10
    overall[7] = math.log1p(n_candidates) / 10
    for column in range(PROJECTED):
        shown.goal[row, column] = _clipped(aims.vectors[aim, column])


@njit(cache=True, nogil=True, error_model="numpy")
def _walk_to_slots(tables, learned, n, slots, filled, slot_of, out):
    """All features of the walk; returns the sums of cosines to what was learned last."""
    page, links = learned[n - 1], np.full(filled, -1, dtype=np.int64)
    for slot in range(filled):
        slot_of[slots[slot]] = slot
    for at in range(tables.out_starts[page], tables.out_starts[page + 1]):
        if slot_of[tables.out[at]] >= 0:
            links[slot_of[tables.out[at]]] = at
    _static_features(tables, slots, filled, links, out)
    out[:filled, _PATH:] = 0.0
    _count_joined(tables, learned, n, slot_of, out)
    for slot in range(filled):
        slot_of[slots[slot]] = -1
    _click_features(tables, learned, n, slots, filled, links, out)
    depth = np.float32(math.log1p(min(n, SEEN)) / 2)
    for slot in range(filled):
        out[slot, _PATH + 16] = depth
        out[slot, _PATH + 17] = np.float32(tables.categories[slots[slot]] == tables.categories[learned[0]])
    return _similarity_features(tables, learned, n, slots, filled, out)


@njit(cache=True, nogil=True, error_model="numpy")
def observe_into(tables, aims, known, row, candidates, n, slot_of, pool, shown):
    """Observe one curriculum.

    Args:
        tables: The graph.
        aims: The aims of curricula.
        known: The curricula; what they remember of comparisons is brought up to date.
        row: Which of them.
        candidates: Its candidates in order of discovery, `[at least n]`.
        n: How many.
        slot_of: Minus one for each topic; so again afterwards.
        pool: Room for n numbers.
        shown: Where to.
    """
    count, out = shown.slots.shape[1], shown.candidates[row]
    chosen = np.empty(count, dtype=np.int64)
    filled = shortlist_into(tables, aims, known, row, candidates, n, count, pool, chosen)
    slots, ages = shown.slots[row], np.empty(filled, dtype=np.float32)
    slots[filled:] = -1
    for slot in range(filled):
        slots[slot] = candidates[chosen[slot]]
        ages[slot] = 1.0 - chosen[slot] / n
    _catch_up(tables, known, row)
    learned, n_learned = known.learned[row], known.n_learned[row]
    recent = _walk_to_slots(tables, learned, n_learned, slots, filled, slot_of, out)
    if aims.has_goal[known.aim[row]]:
        _goal_features(aims, known.aim[row], learned[n_learned - 1], slots, filled, out)
    _learning_features(tables, aims, known, row, slots, filled, recent, ages, out)
    for slot in range(filled):
        for column in range(_WIDTH):
            out[slot, column] = _clipped(out[slot, column])
        projected = tables.projected[slots[slot]]
        for column in range(PROJECTED):
            shown.topics[row, slot, column] = _clipped(projected[column])
    out[filled:] = 0.0
    shown.topics[row, filled:] = 0.0
    shown.mask[row, :filled] = 1
    shown.mask[row, filled:] = 0
    _show_path(tables, learned, n_learned, shown.path[row])
    _show_state(aims, known, row, len(tables.share), n, shown)
