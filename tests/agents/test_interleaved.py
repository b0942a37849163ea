"""Interleaving: whose topics are read, in which order, and that the agent inside is asked and told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.agents.base import BaseAgent
from kgrl.agents.baselines.passages import Interleaved
from kgrl.benchmark.folder import described
from kgrl.corpus import Split
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import Agent, PassageAgent, View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.runs.choices import noting
from kgrl.testing import AgentContract

Make = Callable[..., Curriculum]


class Sure(BaseAgent):
    """Likes the candidate with the greatest number best, each e to the 15 times as much as the next."""

    def __init__(self) -> None:
        self.seen: list[Expansion] = []

    def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
        candidates = np.sort(view.candidates)
        chances = np.exp(15.0 * np.arange(-len(candidates), 0))
        return candidates, chances / chances.sum()

    def choose(self, view: View) -> int:
        return int(view.candidates.max())

    def observe(self, expansion: Expansion) -> None:
        self.seen.append(expansion)


class TestContract(AgentContract):
    """Both agents that are registered."""

    @pytest.fixture(params=["interleaved", "random-interleaved"])
    def agent(self, request: pytest.FixtureRequest) -> Agent:
        return make_agent(request.param)


@pytest.mark.parametrize("name", ["interleaved", "random-interleaved"])
def test_it_goes_on_where_the_frontier_is_read_up(make_tiny_curriculum: Make, name: str) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=100_000)
    read = [passage for step in curriculum.run(noting(make_agent(name))) for passage in step.passages]
    assert sorted(read) == np.flatnonzero(curriculum.corpus.splits == Split.TRAIN).tolist()


@pytest.mark.parametrize("topics", [1, 2, 3])
def test_topics_take_turns(make_tiny_curriculum: Make, topics: int) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    view = curriculum.view
    candidates = sorted(view.candidates.tolist(), reverse=True)
    waiting = {topic: [i for i in view.readable().tolist() if view.passage_topics[i] == topic] for topic in candidates}
    expected = []
    for begin in range(0, len(candidates), topics):
        group = candidates[begin : begin + topics]
        while any(waiting[topic] for topic in group):
            expected += [waiting[topic].pop(0) for topic in group if waiting[topic]]
    chosen = Interleaved(Sure(), topics=topics).choose(view)
    assert chosen[: len(expected)].tolist() == expected
    assert sorted(chosen.tolist()) == view.readable().tolist()


def test_the_first_topic_is_drawn_as_the_agent_would(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    view, agent = curriculum.view, make_agent("random-interleaved")
    firsts = [int(view.passage_topics[agent.choose(view)[0]]) for _ in range(2_000)]
    counts = np.array([firsts.count(topic) for topic in view.candidates.tolist()])
    share = 2_000 / len(counts)
    assert np.abs(counts - share).max() < 6 * np.sqrt(share)


def test_a_high_temperature_draws_uniformly(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    view, hot = curriculum.view, Interleaved(Sure(), temperature=1e6)
    firsts = {int(view.passage_topics[hot.choose(view)[0]]) for _ in range(500)}
    assert firsts == set(view.candidates.tolist())
    np.testing.assert_allclose(hot.preferences(view)[1], 1 / len(firsts), rtol=1e-3)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"topics": 0}])
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="not"):
        Interleaved(Sure(), **wrong)  # type: ignore[arg-type]


def test_a_lesson_is_about_more_topics_than_one_of_the_agent_alone(make_tiny_curriculum: Make) -> None:
    def topics(agent: Agent) -> float:
        steps = list(make_tiny_curriculum(budget_tokens=2_000, neighbourhood=1).run(agent))
        return float(np.mean([len(step.neighbourhood) for step in steps[1:]]))

    assert topics(Interleaved(Sure())) > topics(Sure())


def test_the_agent_inside_is_told_what_came_of_it(make_tiny_curriculum: Make) -> None:
    inside = Sure()
    steps = list(make_tiny_curriculum(budget_tokens=1_000).run(Interleaved(inside)))
    assert inside.seen == steps[1:]


def test_runs_note_its_preferences(make_tiny_curriculum: Make) -> None:
    agent = noting(Interleaved(Sure()))
    assert isinstance(agent, PassageAgent)
    plain = list(make_tiny_curriculum(budget_tokens=1_000).run(Interleaved(Sure())))
    noted = list(make_tiny_curriculum(budget_tokens=1_000).run(agent))
    assert [step.passages for step in noted] == [step.passages for step in plain]
    assert agent.choice is not None and agent.choice.topic == noted[-1].topic == agent.choice.topics[0]  # type: ignore[attr-defined]


def test_a_folder_knows_it_by_what_is_inside() -> None:
    ours, control = described(make_agent("interleaved")), described(make_agent("random-interleaved"))
    assert ours["topics"] == control["topics"] == 8
    assert ours["agent"] == described(make_agent("ppo")) and control["agent"] == {"class": "RandomFrontier"}
