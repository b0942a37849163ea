"""Review: what a lesson reads of topics that were read before, beside what was picked.

Similar topics in one block interfere with one another most (Yao et al. 2026, arXiv 2601.03570), and what is not read
again fades. So a lesson that reviews puts passages of other topics, which were read long ago, between those of the
picked topic and its neighbourhood.
"""

from __future__ import annotations

import numpy as np

from kgrl.corpus import Passages, Split
from kgrl.curriculum.state import CurriculumState
from kgrl.graph.topic_graph import IntArray

__all__ = ["with_review"]

_AT_ONCE = 32
"""Topics that are looked at before their tokens are counted: a part of a lesson is filled by a few."""


def with_review(state: CurriculumState, own: Passages, topics: IntArray, allowance: int) -> Passages:
    """Return a lesson's passages with those of other topics, which were read longest ago, between them.

    Args:
        state: The curriculum's state; its `config.review` is the share of the tokens that the others get.
        own: The lesson's own passages.
        topics: The lesson's own topics.
        allowance: Most tokens of the lesson.
    """
    # A token more than their share: what comes after that has its place behind the lesson's end.
    others = _reviewed(state, own, topics, 1 + state.config.review * allowance)
    ours, theirs = (state.learner.count_tokens(state.corpus.select(ids)) for ids in (own.ids, others))
    share = min(state.config.review, float(theirs.sum()) / allowance)
    if not share:  # nothing was read before
        return own
    # The place of each passage is where it begins in the lesson, if each part is spread over the whole of it.
    places = [(np.cumsum(ours) - ours) / (1 - share), (np.cumsum(theirs) - theirs) / share]
    ids, place = np.concatenate([own.ids, others]), np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return state.corpus.select(ids[order[place[order] < allowance]])


def _reviewed(state: CurriculumState, own: Passages, topics: IntArray, enough: float) -> IntArray:
    """Return a passage of each of some topics that were read before and are not of the lesson, longest ago first.

    There are so many that they have `enough` tokens, if that many topics were read. Passages of the lesson are left
    out, since what retrieval found is read once.

    Of each topic it is the passage that was read least. How often a topic was read does not count: a nucleus that had
    to be known was read so often that intervals growing with each reading would leave it out for good.
    """
    needs = state.knowledge.due(state.tokens)
    needs[topics] = np.nan
    known = np.flatnonzero(~np.isnan(needs) & state.allowed)
    known = known[np.argsort(-needs[known], kind="stable")]
    found, tokens = np.empty(0, dtype=np.int32), 0
    for first in range(0, len(known), _AT_ONCE):
        least = np.array([_least_read(state, topic) for topic in known[first : first + _AT_ONCE].tolist()])
        more = least[(least >= 0) & ~np.isin(least, own.ids)].astype(np.int32)
        tokens += int(state.learner.count_tokens(state.corpus.select(more)).sum())
        found = np.append(found, more)
        if tokens >= enough:
            break
    return found


def _least_read(state: CurriculumState, topic: int) -> int:
    """Return the topic's passage that was read least, -1 if each was read as often as it may be."""
    passages, most = state.corpus.ids_of(topic, Split.TRAIN), state.config.most_readings
    readings = state.readings[passages]
    at = int(np.argmin(readings))
    return int(passages[at]) if not most or readings[at] < most else -1
