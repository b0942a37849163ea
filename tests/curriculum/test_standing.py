"""Standing: what is read, solid and faded follows from records alone, as the curriculum itself had it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kgrl.agents import make_agent
from kgrl.curriculum import Curriculum
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.standing import Standing
from kgrl.expansion import Expansion, Probed
from kgrl.graph import TopicGraph
from tests.curriculum.test_knowledge import KNOWING

Make = Callable[..., Curriculum]
READING: dict[str, Any] = {"budget_tokens": 1_500}


def standing_of(curriculum: Curriculum) -> Standing:
    corpus, nucleus = curriculum.corpus, curriculum.nucleus.tolist()
    return Standing(corpus.graph, corpus.topics, Mastery.of(curriculum.config.mastery), nucleus)


@pytest.mark.parametrize("settings", [READING, KNOWING])
@pytest.mark.parametrize("agent", ["random", "iid"])
def test_records_alone_tell_what_the_curriculum_knew(
    settings: dict[str, Any], agent: str, make_tiny_curriculum: Make
) -> None:
    """At every step, and without a learner that counts tokens."""
    curriculum = make_tiny_curriculum(None, **settings)
    steps = curriculum.start()
    agent_, told = make_agent(agent), standing_of(curriculum)
    for step in steps:
        told.replay(step)
    agent_.reset(curriculum.view)
    for step in curriculum.run(agent_, resume=True):
        told.replay(step)
        assert_array_equal(told.frontier.solid, curriculum.state.frontier.solid)
        assert told.point(step.tokens_total) == curriculum.state.standing.point(step.tokens_total)
    if agent == "random":
        assert told.n_faded > 0 or told.mastery.by_reading
    assert_array_equal(told.frontier.solid, curriculum.state.frontier.solid)
    assert_array_equal(told.frontier.topics, curriculum.state.frontier.topics)
    assert_array_equal(told.knowledge.gap, curriculum.state.knowledge.gap)
    assert_array_equal(told.readings, curriculum.state.readings)
    assert told.n_read == (curriculum.state.knowledge.exposures > 0).sum()
    assert told.point(7) == curriculum.state.standing.point(7)


def told(topic: int, loss: float, passage: int, index: int) -> Expansion:
    """A lesson on one topic, after which it and an unread topic are tested."""
    tested = Probed((topic, 2), (loss, 5.0))
    total = 10 * (index + 1)
    return Expansion(index, topic, "abc"[topic], (topic,), (passage,), 10, total, 99, 5.0, losses=(5.0,), tested=tested)


def test_what_fades_is_counted_until_it_is_solid_again() -> None:
    graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2])
    standing = Standing(graph, np.arange(3, dtype=np.int32), Mastery.of("gap:1"), [0])
    points = []
    for index, (topic, loss) in enumerate([(0, 3.0), (1, 3.0), (0, 9.0), (0, 0.0), (0, 0.0)]):
        standing.replay(told(topic, loss, topic, index))
        points.append(standing.point(10 * (index + 1)))
    assert [(p.read, p.solid, p.faded) for p in points] == [(1, 1, 0), (2, 2, 0), (2, 1, 1), (2, 2, 0), (2, 2, 0)]
    assert standing.was_solid.tolist() == [True, True, False]
    assert repr(standing) == "Standing(2 topics read, Frontier(2 topics solid, 1 on the frontier))"


def test_a_resumed_curriculum_knows_where_a_nucleus_ended_that_was_read_up(make_tiny_curriculum: Make) -> None:
    """Its text may end before its share of the budget; what follows was the agent's choice."""
    settings = {"mastery": "gap:99", "most_readings": 1, "nucleus_share": 1.0, "budget_tokens": 3_000}
    whole = make_tiny_curriculum(None, **settings)
    nucleus = whole.start()
    assert whole.state.nucleated and nucleus[-1].tokens_total < 1_000
    steps = list(whole.run(make_agent("iid")))
    assert len(steps) > len(nucleus) + 2

    class Counting:
        frontier_only, observed = False, 0

        def reset(self, view: Any) -> None:
            self.began = view.index

        def observe(self, expansion: Expansion) -> None:
            self.observed += 1

    resumed, agent = make_tiny_curriculum(None, **settings), Counting()
    resumed.resume(steps, agent)  # type: ignore[arg-type]
    assert (agent.began, agent.observed) == (len(nucleus), len(steps) - len(nucleus))
