"""Features of a walk, compiled: the candidates as seen from its path, and the pages of the path itself.

A recorded reader, `kgrl/RabbitHole-v0` and a curriculum, whose path is the topics it learned last, are all described
here, so a feature of the path is written in one place. `kgrl.envs.features.names` says what the columns mean.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kgrl.builtin import PROJECTED
from kgrl.envs.features.arrays import Path
from kgrl.envs.features.names import (
    CLIP,
    COLUMN,
    LINK_FEATURES,
    PATH_FEATURES,
    PATH_ROWS,
    TOPIC_FEATURES,
    TOPIC_GOAL_FEATURES,
    TRANSITION_FEATURES,
    WALK_FEATURES,
)
from kgrl.system.kernels import inner_kernel
from kgrl.traces.trace import SEEN, STACK

__all__ = [
    "clipped",
    "describe_candidates",
    "describe_goal",
    "describe_path",
    "describe_walks",
    "dot",
    "link_positions",
    "products",
]

# Where blocks of columns begin that are copied whole: in `candidates`, ...
_TOPIC = WALK_FEATURES.index(TOPIC_FEATURES[0])
_LINK = WALK_FEATURES.index(LINK_FEATURES[0])
_TRANSITION = WALK_FEATURES.index(TRANSITION_FEATURES[0])
_PATH = WALK_FEATURES.index(PATH_FEATURES[0])
_TOWARDS = tuple(WALK_FEATURES.index(name) for name in TOPIC_GOAL_FEATURES)
_GOAL_SIMILARITY = TOPIC_GOAL_FEATURES.index("goal_similarity")

# ... and in the rows of `path`.
_ROW_TOPIC = 2 * PROJECTED
_ROW_LINK = _ROW_TOPIC + len(TOPIC_FEATURES)
_ROW_TRANSITION = _ROW_LINK + len(LINK_FEATURES)
_ROW_STACK = _ROW_TRANSITION + len(TRANSITION_FEATURES)

_CLIP = np.float32(CLIP)
_THIRD = np.float32(1 / 3)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def dot(left, right):
    """Return the product of two vectors, both `[dimensions]`."""
    total = np.float32(0)
    for at in range(len(left)):
        total += left[at] * right[at]
    return total


@njit(cache=True, nogil=True, inline="always")
def clipped(value):
    """Return a number as observations hold it."""
    return np.float32(min(max(value, -_CLIP), _CLIP))


@inner_kernel
def look_up(keys, values, wanted):
    """Return the value of a key, among ascending ones; 0 where it is not there."""
    at = np.searchsorted(keys, wanted)
    return values[at] if at < len(keys) and keys[at] == wanted else np.float32(0)


@inner_kernel
def _link_position(starts, targets, source, target):
    """Return the position of a link, -1 where there is none."""
    row = targets[starts[source] : starts[source + 1]]
    at = np.searchsorted(row, target)
    return starts[source] + at if at < len(row) and row[at] == target else -1


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _four_dots(vector, first, second, third, fourth, out):
    """Write the products of a vector with four others, which is twice as fast as one after the other."""
    one, two, three, four = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for at in range(len(vector)):
        one += vector[at] * first[at]
        two += vector[at] * second[at]
        three += vector[at] * third[at]
        four += vector[at] * fourth[at]
    out[0], out[1], out[2], out[3] = one, two, three, four


@inner_kernel
def products(left, pages, right, topics, n):
    """Return the products of pages' vectors with those of topics, float32 `[pages, at least n]`.

    A product does not depend on the topics beside it: four are always made at once, and the last topic fills up.

    Args:
        left: Vectors of pages, `[any, dimensions]`.
        pages: The pages.
        right: Vectors of topics, `[any, dimensions]`.
        topics: The topics, `[at least n]`.
        n: How many there are.
    """
    out, last = np.empty((len(pages), n + 3), dtype=np.float32), n - 1
    for slot in range(0, n, 4):
        first, second = right[topics[slot]], right[topics[min(slot + 1, last)]]
        third, fourth = right[topics[min(slot + 2, last)]], right[topics[min(slot + 3, last)]]
        for at in range(len(pages)):
            _four_dots(left[pages[at]], first, second, third, fourth, out[at, slot : slot + 4])
    return out


@inner_kernel
def link_positions(tables, page, slot_of, links):
    """Write the position of the page's link to each candidate; what is not linked stays as it is.

    Args:
        tables: The graph.
        page: The current page.
        slot_of: The slot of each candidate, -1 for other topics, `[topics]`.
        links: Where to, `[slots]`.
    """
    for at in range(tables.out_starts[page], tables.out_starts[page + 1]):
        if slot_of[tables.out[at]] >= 0:
            links[slot_of[tables.out[at]]] = at


@inner_kernel
def _write_links(tables, slots, n, links, out):
    """Write what depends on the current page alone: from `linked` to the transitions."""
    for slot in range(n):
        topic, link, features = slots[slot], links[slot], out[slot]
        features[COLUMN.linked] = np.float32(link >= 0)
        features[_TOPIC:_LINK] = tables.topics[topic]
        features[_LINK:_TRANSITION] = tables.links[link]
        features[_TRANSITION:_PATH] = tables.transitions[link]


@inner_kernel
def _count_joined(tables, page, slot_of, column, out):
    """Add a third to a column of the candidates that are linked with a page, in either direction."""
    for at in range(tables.near_starts[page], tables.near_starts[page + 1]):
        slot = slot_of[tables.near[at]]
        if slot >= 0:
            out[slot, column] += _THIRD


@inner_kernel
def _write_joined(tables, path, slot_of, out):
    """Write how candidates are linked with the pages of the path, and which of those they are."""
    last = len(path.stack) - 1
    for at in range(last):
        _count_joined(tables, path.stack[at], slot_of, COLUMN.joined_stack, out)
    if last > 0:
        previous = path.stack[last - 1]
        for at in range(tables.near_starts[previous], tables.near_starts[previous + 1]):
            if slot_of[tables.near[at]] >= 0:
                out[slot_of[tables.near[at]], COLUMN.joined_previous] = 1.0
    for page in path.stack:
        if slot_of[page] >= 0:
            out[slot_of[page], COLUMN.on_stack] = 1.0
    for page in path.left:
        _count_joined(tables, page, slot_of, COLUMN.joined_left, out)
        if slot_of[page] >= 0:
            out[slot_of[page], COLUMN.left] = 1.0
    for page in path.seen:
        if page == path.stack[last]:
            continue
        for at in range(tables.out_starts[page], tables.out_starts[page + 1]):
            slot = slot_of[tables.out[at]]
            if slot >= 0:
                out[slot, COLUMN.passed_over] += _THIRD


@inner_kernel
def _write_clicks(tables, stack, filled, links, out):
    """Write what readers clicked on this page after the previous one."""
    if len(stack) < 2 or not len(tables.contexts):
        return
    page, previous = np.int64(stack[-1]), np.int64(stack[-2])
    all_clicks = look_up(tables.contexts, tables.totals, previous * (len(tables.out_starts) - 1) + page)
    if all_clicks == 0:
        return
    for slot in range(filled):
        out[slot, COLUMN.log_page_clicks_after] = np.float32(math.log1p(all_clicks)) / 3
        if links[slot] >= 0:
            clicks = look_up(tables.keys, tables.after, previous * len(tables.out) + links[slot])
            out[slot, COLUMN.log_clicks_after] = np.float32(math.log1p(clicks)) / 2
            out[slot, COLUMN.click_share_after] = clicks / (3 + all_clicks)


@inner_kernel
def _write_left_similarity(tables, left, slots, filled, out):
    """Write the largest cosine of candidates to a page that was left."""
    cosines = products(tables.embeddings, left, tables.embeddings, slots, filled)
    for at in range(len(left)):
        for slot in range(filled):
            out[slot, COLUMN.left_similarity] = max(out[slot, COLUMN.left_similarity], cosines[at, slot])


@inner_kernel
def _write_similarities(tables, path, slots, filled, out):
    """Write cosines to the pages of the path and to their links' targets.

    Returns:
        Cosines of the pages on the stack, and of the first page, to the candidates, float32 `[pages + 1, at least
        filled]`.
    """
    n = len(path.stack)
    pages = np.empty(n + 1, dtype=np.int32)
    pages[:n], pages[n] = path.stack, path.start
    cosines = products(tables.embeddings, pages, tables.embeddings, slots, filled)
    outlooks = products(tables.mean_targets, path.stack, tables.embeddings, slots, filled)
    for slot in range(filled):
        features, nearest = out[slot], np.float32(-0.2)
        intent, latest = np.float32(0), np.float32(0)
        for at in range(n - 1):
            nearest = max(nearest, cosines[at, slot])
            # To what was clicked, less that to what was on offer.
            latest = cosines[at + 1, slot] - outlooks[at, slot]
            intent += latest
        here, to_start = cosines[n - 1, slot], cosines[n, slot]
        if n > 1:
            features[COLUMN.previous_similarity] = cosines[n - 2, slot]
            features[COLUMN.previous_outlook] = outlooks[n - 2, slot]
        features[COLUMN.nearest_similarity] = nearest
        features[COLUMN.approach] = here - features[COLUMN.previous_similarity]
        features[COLUMN.start_similarity] = to_start
        features[COLUMN.departure] = here - to_start
        features[COLUMN.page_outlook] = outlooks[n - 1, slot]
        features[COLUMN.intent] = intent
        features[COLUMN.last_intent] = latest
    return cosines


@inner_kernel
def describe_candidates(tables, path, slots, filled, links, slot_of, out):
    """Write the features of candidates that do not depend on a goal; columns after those of the path become 0.

    Args:
        tables: The graph.
        path: The way to the current page.
        slots: The candidates' topics, `[at least filled]`.
        filled: How many there are.
        links: Position of the page's link to each, -1 where there is none, `[filled]`.
        slot_of: The slot of each candidate, -1 for other topics, `[topics]`.
        out: Where to, `[at least filled, features]`.

    Returns:
        Cosines of the pages on the stack, and of the first page, to the candidates, float32 `[pages + 1, at least
        filled]`.
    """
    _write_links(tables, slots, filled, links, out)
    out[:filled, _PATH:] = 0.0
    _write_joined(tables, path, slot_of, out)
    _write_clicks(tables, path.stack, filled, links, out)
    depth, left = np.float32(math.log1p(path.depth) / 2), np.float32(math.log1p(len(path.left)) / 2)
    for slot in range(filled):
        out[slot, COLUMN.log_depth] = depth
        out[slot, COLUMN.log_pages_left] = left
        out[slot, COLUMN.start_category] = np.float32(tables.categories[slots[slot]] == tables.categories[path.start])
    _write_left_similarity(tables, path.left, slots, filled, out)
    return _write_similarities(tables, path, slots, filled, out)


@inner_kernel
def describe_goal(towards, of_page, filled, out):
    """Write the features of candidates towards a goal.

    Args:
        towards: What candidates have to do with it, in the order of `TOPIC_GOAL_FEATURES`, `[filled, 7]`.
        of_page: The page's cosine to the goal.
        filled: How many candidates there are.
        out: Where to, `[at least filled, features]`.
    """
    best = np.float32(-1)
    for slot in range(filled):
        best = max(best, towards[slot, _GOAL_SIMILARITY])
    for slot in range(filled):
        features = out[slot]
        for at in range(len(_TOWARDS)):
            features[_TOWARDS[at]] = towards[slot, at]
        features[COLUMN.goal_approach] = towards[slot, _GOAL_SIMILARITY] - of_page
        features[COLUMN.goal_gap] = towards[slot, _GOAL_SIMILARITY] - best


@inner_kernel
def _describe_page(tables, path, page, before, out):
    """Write one row of `path`; `before` is the page whose links were on offer, -1 for none."""
    link = np.int64(-1)
    if before >= 0:
        link = _link_position(tables.out_starts, tables.out, before, page)
        out[PROJECTED:_ROW_TOPIC] = tables.outlook[before]
    out[:PROJECTED] = tables.projected[page]
    out[_ROW_TOPIC:_ROW_LINK] = tables.topics[page]
    out[_ROW_LINK:_ROW_TRANSITION] = tables.links[link]
    out[_ROW_TRANSITION:_ROW_STACK] = tables.transitions[link]
    for other in path.stack:
        if other == page:
            out[_ROW_STACK] = 1.0
    for column in range(_ROW_STACK):
        out[column] = clipped(out[column])


@inner_kernel
def describe_path(tables, path, out):
    """Write the pages opened last, and once more the current one with its own links' targets.

    Args:
        tables: The graph.
        path: The way to the current page.
        out: Where to, `[PATH_ROWS, PATH_WIDTH]`.
    """
    out[:] = 0.0
    first = PATH_ROWS - 1 - len(path.seen)
    for at in range(len(path.seen)):
        before = path.seen[at - 1] if at > 0 else np.int32(-1)
        _describe_page(tables, path, path.seen[at], before, out[first + at])
    current = path.stack[-1]
    _describe_page(tables, path, current, current, out[PATH_ROWS - 1])


@inner_kernel
def _recorded(pages):
    """Return the pages of a right-aligned row, which is padded with -1."""
    first = 0
    while pages[first] < 0:
        first += 1
    return pages[first:]


@inner_kernel
def _pages_left(stack, seen, depth):
    """Return the pages that were opened and left by a back click, int32 `[pages]`.

    Of a deep stack only the last pages are known; what was opened before the lowest of them may be on the stack still.
    """
    first = 0
    if depth > STACK:
        for at in range(len(seen)):
            if seen[at] == stack[0]:
                first = at + 1
    left, n = np.empty(SEEN, dtype=np.int32), 0
    for page in seen[first:]:
        stays = False
        for other in stack:
            stays |= other == page
        if not stays:
            left[n] = page
            n += 1
    return left[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def describe_walks(tables, rows, walks, candidates, links, towards, of_page, out, path_out):
    """Describe the candidates and the paths of some readers.

    Args:
        tables: The graph.
        rows: Which readers, `[n]`.
        walks: The readers, see `kgrl.envs.features.walk_features.Walks`; all arrays int32.
        candidates: The candidates of each, -1 where a slot is empty, int32 `[walks, slots]`.
        links: Position of the page's link to each, -1 where there is none, `[walks, slots]`.
        towards: What candidates have to do with the goal, `[walks, slots, 7]`; without rows where nobody has one.
        of_page: The cosine of each reader's page to the goal, `[walks]`; likewise.
        out: Where features of candidates go to, `[walks, slots, features]`; rows of empty slots are left as they are.
        path_out: Where rows of the path go to, `[walks, PATH_ROWS, PATH_WIDTH]`.
    """
    width = candidates.shape[1]
    slot_of = np.full(len(tables.share), np.int16(-1), dtype=np.int16)
    topics, places, at = np.empty(width, dtype=np.int32), np.empty(width, dtype=np.int64), np.empty(width, np.int64)
    features, related = np.empty((width, out.shape[2]), dtype=np.float32), np.empty((width, len(_TOWARDS)), np.float32)
    for row in rows:
        filled = 0
        for slot in range(width):
            topic = candidates[row, slot]
            if topic >= 0:
                topics[filled], places[filled], at[filled] = topic, links[row, slot], slot
                slot_of[topic] = filled
                filled += 1
        stack, seen = _recorded(walks.stack[row]), _recorded(walks.seen[row])
        left = _pages_left(stack, seen, walks.depth[row])
        path = Path(stack, seen, left, np.int64(walks.start[row]), np.int64(walks.depth[row]))
        describe_candidates(tables, path, topics, filled, places, slot_of, features)
        if walks.goal[row] >= 0 and len(towards):
            for slot in range(filled):
                related[slot] = towards[row, at[slot]]
            describe_goal(related, of_page[row], filled, features)
        for slot in range(filled):
            out[row, at[slot]] = features[slot]
            slot_of[topics[slot]] = -1
        describe_path(tables, path, path_out[row])
