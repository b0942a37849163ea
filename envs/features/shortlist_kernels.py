"""Shortlists, compiled: the candidates of a curriculum that get a slot, in random order."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from kgrl.system.kernels import inner_kernel
from kgrl.system.random_bits import mixed

__all__ = ["MOST_CANDIDATES", "shortlist_into"]

MOST_CANDIDATES = 4096
"""Frontier topics that compete for slots, drawn uniformly from a larger frontier."""


@inner_kernel
def _below(random, n):
    """Return a number below n from 64 random bits; its bias of some 2^-32 does not matter."""
    return np.int64((random >> np.uint64(32)) * np.uint64(n) >> np.uint64(32))


@inner_kernel
def _sift_down(scores, ties, members, count, at):
    """Restore a heap with its least member on top after the member at `at` was replaced."""
    while True:
        least = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < count and (
                scores[child] < scores[least] or (scores[child] == scores[least] and ties[child] < ties[least])
            ):
                least = child
        if least == at:
            return
        scores[at], scores[least] = scores[least], scores[at]
        ties[at], ties[least] = ties[least], ties[at]
        members[at], members[least] = members[least], members[at]
        at = least


@inner_kernel
def _take_best(values, factors, weighted, candidates, pool, n, count, draw, out, filled):
    """Move the `count` positions with the largest value from the pool to `out`; ties at random.

    Values are multiplied by factors if they are `weighted`.

    Returns:
        How many positions the pool has left.
    """
    scores, ties = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.uint64)
    members = np.empty(count, dtype=np.int64)
    for row in range(n):
        topic = candidates[pool[row]]
        score = values[topic] * factors[topic] if weighted else values[topic]
        if row >= count and score < scores[0]:
            continue
        tie = mixed(draw ^ np.uint64(topic))
        if row < count:
            scores[row], ties[row], members[row] = score, tie, row
            if row == count - 1:
                for at in range(count // 2 - 1, -1, -1):
                    _sift_down(scores, ties, members, count, at)
        elif score > scores[0] or tie > ties[0]:
            scores[0], ties[0], members[0] = score, tie, row
            _sift_down(scores, ties, members, count, 0)
    members.sort()
    for taken in range(count):
        out[filled + taken] = pool[members[taken]]
    kept = members[0]
    for taken in range(count):
        end = members[taken + 1] if taken + 1 < count else n
        for row in range(members[taken] + 1, end):
            pool[kept] = pool[row]
            kept += 1
    return n - count


@njit(cache=True, nogil=True, error_model="numpy")
def shortlist_into(tables, goals, known, row, candidates, n, slots, pool, out):
    """Choose which candidates get a slot, in random order; see `kgrl.envs.features.curriculum_features.shortlist`.

    Args:
        tables: The graph, a `GraphTables`.
        goals: The goals of curricula, a `GoalFeatures`.
        known: The curricula, a `LearnedState`.
        row: Which of them.
        candidates: Its candidates in order of discovery, `[at least n]`.
        n: How many.
        slots: Number of slots.
        pool: Room for as many numbers.
        out: The positions chosen, `[slots]`.

    Returns:
        How many were chosen.
    """
    draw = mixed(known.seed[row] ^ mixed(np.uint64(known.step[row])))
    if n <= slots:
        for at in range(n):
            out[at] = at
        filled = n
    else:
        for at in range(n):
            pool[at] = at
        left = n
        if n > MOST_CANDIDATES:
            for at in range(MOST_CANDIDATES):
                draw = mixed(draw)
                other = at + _below(draw, n - at)
                pool[at], pool[other] = pool[other], pool[at]
            left = MOST_CANDIDATES
        filled = slots // 2
        if filled:
            closure = known.links_to_solid[row]
            left = _take_best(closure, tables.share, True, candidates, pool, left, filled, mixed(draw), out, 0)
        near = slots // 4
        if near:
            similarity, random = goals.similarity[known.aim[row]], mixed(draw + np.uint64(1))
            left = _take_best(similarity, tables.share, False, candidates, pool, left, near, random, out, filled)
            filled += near
        while filled < slots:
            draw = mixed(draw)
            at = _below(draw, left)
            out[filled] = pool[at]
            left -= 1
            pool[at] = pool[left]
            filled += 1
    for at in range(filled - 1, 0, -1):
        draw = mixed(draw)
        other = _below(draw, at + 1)
        out[at], out[other] = out[other], out[at]
    return filled
