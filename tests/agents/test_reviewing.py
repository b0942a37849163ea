"""Agents that read the goal's text, the worst passages, or what is about to be forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.agents.baselines.reviewing import Spaced, WorstFirst
from kgrl.curriculum import Curriculum
from kgrl.errors import SettingError

Make = Callable[..., Curriculum]
AGAIN = {"most_readings": 0, "budget_tokens": 4_000}


def test_the_goal_s_text_comes_first_and_again(make_tiny_curriculum: Make) -> None:
    once = make_tiny_curriculum(None, goal="Craft", budget_tokens=10**6)
    topics = [once.corpus.topics[list(step.passages)] for step in list(once.run(make_agent("goal-iid")))[1:]]
    inside = np.isin(np.concatenate(topics), once.goal)
    assert inside[: inside.sum()].all() and not inside[inside.sum() :].any() and not inside.all()
    again = make_tiny_curriculum(None, goal="Craft", **AGAIN)
    steps = list(again.run(make_agent("goal-iid")))[1:]
    assert np.isin(again.corpus.topics[[i for step in steps for i in step.passages]], again.goal).all()


def test_the_worst_passages_are_read_and_all_in_a_review(make_tiny_curriculum: Make) -> None:
    agent = WorstFirst(share=0.3, review=3)
    curriculum = make_tiny_curriculum(None, **AGAIN)
    for step in curriculum.run(agent):
        if step.index < 12:
            continue
        view = curriculum.view
        order, readable = agent.choose(view.glance()), view.readable()
        assert sorted(order.tolist()) == readable.tolist()
        first = order[: round(0.3 * len(readable))]
        if view.index % 3:  # no passage that is left out was worse at its latest reading
            assert agent._losses[first].min() >= agent._losses[order[len(first) :]].max()
        else:
            assert view.readings[order].tolist() == sorted(view.readings[order].tolist())


def test_topics_that_fade_and_new_ones_take_turns(make_tiny_curriculum: Make) -> None:
    agent = Spaced(stability=100, growth=2, decay=1, level=0.5)
    curriculum = make_tiny_curriculum(None, **AGAIN)
    for _ in curriculum.run(agent):
        view = curriculum.view
        retained = agent.retention(view)
        if (retained < 0.5).sum() >= 2:
            break
    topic = int(np.nanargmin(retained))
    exposures, since = view.knowledge.exposures[topic], view.tokens - view.knowledge.last_read[topic]
    assert retained[topic] == pytest.approx(1 / (1 + since / (100 * 2 ** (exposures - 1))))
    order = list(dict.fromkeys(view.passage_topics[agent.choose(view.glance())].tolist()))
    assert np.isnan(retained).sum() >= 2 and order[0] == topic and retained[order[2]] == np.sort(retained)[1]
    assert np.isnan(retained[[order[1], order[3]]]).all() and order[1] in view.frontier


@pytest.mark.parametrize(
    "make",
    [
        lambda: WorstFirst(share=0),
        lambda: WorstFirst(review=0),
        lambda: Spaced(stability=0),
        lambda: Spaced(growth=0.5),
        lambda: Spaced(level=2),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(SettingError):
        make()
