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

_SHORT = 8
"""Tokens of a short passage: of more topics than fill a lesson with such passages none has to be looked at."""


def with_review(state: CurriculumState, own: Passages, topics: IntArray, allowance: int) -> Passages:
    """Return a lesson's passages with those of other topics, which were read longest ago, between them.

    Args:
        state: The curriculum's state; its `config.review` is the share of the tokens that the others get.
        own: The lesson's own passages.
        topics: The lesson's own topics.
        allowance: Most tokens of the lesson.
    """
    others = _reviewed(state, topics, 1 + allowance // _SHORT)
    others = others[~np.isin(others, own.ids)]  # what retrieval found is read once
    ours, theirs = (state.learner.count_tokens(state.corpus.select(ids)) for ids in (own.ids, others))
    share = min(state.config.review, float(theirs.sum()) / allowance)
    if not share:  # nothing was read before
        return own
    # The place of each passage is where it begins in the lesson, if each part is spread over the whole of it.
    places = [(np.cumsum(ours) - ours) / (1 - share), (np.cumsum(theirs) - theirs) / share]
    ids, place = np.concatenate([own.ids, others]), np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return state.corpus.select(ids[order[place[order] < allowance]])


def _reviewed(state: CurriculumState, topics: IntArray, most: int) -> IntArray:
    """Return a passage of each of some topics that were read before and are not of the lesson, longest ago first.

    Of each topic it is the passage that was read least. How often a topic was read does not count: a nucleus that had
    to be known was read so often that intervals growing with each reading would leave it out for good.
    """
    needs = state.knowledge.due(state.tokens)
    needs[topics] = np.nan
    known = np.flatnonzero(~np.isnan(needs) & state.allowed)
    known = known[np.argsort(-needs[known], kind="stable")]
    found = []
    for topic in known[:most].tolist():
        passages = state.corpus.of(topic, Split.TRAIN).ids
        readings = state.readings[passages]
        at = int(np.argmin(readings))
        if not state.config.most_readings or readings[at] < state.config.most_readings:
            found.append(int(passages[at]))
    return np.array(found, dtype=np.int32)
