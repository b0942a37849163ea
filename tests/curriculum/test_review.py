"""Lessons with review: what is read again, how much of it, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents import make_agent
from kgrl.corpus import Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.knowledge import Knowledge
from kgrl.errors import SettingError
from kgrl.expansion import Expansion

Make = Callable[..., Curriculum]
AGAIN = {"most_readings": 0, "budget_tokens": 3_000, "expansion_tokens": 200}


def reviewed(curriculum: Curriculum, step: Expansion) -> list[int]:
    """The passages of a lesson that are of no topic of its own, by retrieval or by review."""
    topics = curriculum.corpus.topics[list(step.passages)]
    return [p for p, t in zip(step.passages, topics, strict=True) if t not in step.neighbourhood]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 500)), min_size=2, max_size=12))
def test_what_was_read_longer_ago_is_more_in_need(read: list[tuple[int, int]]) -> None:
    knowledge = Knowledge(len(read) + 1)
    knowledge.exposures[:-1], knowledge.last_read[:-1] = np.array(read).T
    needs, growing = knowledge.due(500), knowledge.due(500, growth=1.5)
    assert np.isnan(needs[-1]) and (needs[:-1] >= 0).all()
    for i, (often, last) in enumerate(read):
        for j, (other_often, other_last) in enumerate(read):
            if last <= other_last:
                assert needs[i] >= needs[j] and (often > other_often or growing[i] >= growing[j])


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_share_of_each_lesson_reviews(share: float, make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None, review=share, **AGAIN)
    shares = []
    for step in curriculum.run(make_agent("random")):
        tokens = curriculum.learner.count_tokens(curriculum.corpus.select(np.array(step.passages)))
        other = np.isin(step.passages, reviewed(curriculum, step))
        if step.index > 3 and step.tokens == 200:
            shares.append(tokens[other].sum() / tokens.sum())
    assert len(shares) > 3 and all(part > 0.5 * share for part in shares)


def test_review_begins_with_what_is_most_in_need(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None, review=0.4, **AGAIN)
    steps = curriculum.run(make_agent("random"))
    for _ in range(5):
        next(steps)
    state = curriculum.state
    lesson = curriculum.teacher.lesson(int(state.frontier.topics[0]))
    needs = state.knowledge.due(state.tokens)
    needs[lesson.neighbourhood] = np.nan
    most = np.flatnonzero(needs == np.nanmax(needs))
    first = [t for t in lesson.passages.topics.tolist() if t not in lesson.neighbourhood]
    assert set(first) & set(most.tolist())
    assert (state.corpus.splits[lesson.passages.ids] == Split.TRAIN).all()


def test_what_is_reviewed_lies_between_what_is_new(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None, review=0.5, **AGAIN)
    steps = [step for step in curriculum.run(make_agent("random")) if step.index > 3 and step.tokens == 200]
    mixed = [np.isin(step.passages, reviewed(curriculum, step)).astype(int) for step in steps]
    turns = [int(np.abs(np.diff(kinds)).sum()) for kinds in mixed]
    assert np.mean(turns) > 2


def test_the_first_lesson_has_nothing_to_review(make_tiny_curriculum: Make) -> None:
    with_, without = (make_tiny_curriculum(None, review=share, **AGAIN).start() for share in (0.4, 0.0))
    assert [step.passages for step in with_] == [step.passages for step in without]


def test_passages_are_not_read_more_often_than_they_may_be(make_tiny_curriculum: Make) -> None:
    settings = {**AGAIN, "most_readings": 2, "budget_tokens": 10**6}
    curriculum = make_tiny_curriculum(None, review=0.5, **settings)
    for step in curriculum.run(make_agent("random")):
        assert len(set(step.passages)) == len(step.passages)
    assert curriculum.state.readings.max() <= 2


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(SettingError, match="review"):
        CurriculumConfig(review=share)
