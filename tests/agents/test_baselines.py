"""Every baseline picks what its definition says, on graphs small enough to check by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kgrl.agents
from kgrl.agents import agents, make_agent
from kgrl.agents.base import reads_probes
from kgrl.agents.baselines.frontier import Closure, GreedyLoss, ScoringAgent
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import Agent, View
from kgrl.errors import UnknownNameError
from kgrl.graph.topic_graph import IntArray
from kgrl.runs.choices import Noting
from kgrl.testing import AgentContract
from tests.support.views import make_view, picks

Make = Callable[..., Curriculum]
CLONED = {"curiosity", "human"}
"""Policies that learned from clicks alone: losses disturb them."""


@pytest.fixture
def star() -> View:
    """0 is learned and linked with 1, 2 and 3; 3 leads to 4 and 5."""
    return make_view([(0, 1), (0, 2), (0, 3), (3, 4), (3, 5)], [0])


def test_random_is_uniform_over_the_frontier(star: View) -> None:
    counts = picks("random", star, 3_000)
    assert set(counts) == {1, 2, 3}
    assert all(900 < n < 1_100 for n in counts.values())


def test_random_global_reaches_beyond_the_frontier(star: View) -> None:
    counts = picks("random-global", star, 3_000)
    assert set(counts) == {1, 2, 3, 4, 5}
    assert all(500 < n < 700 for n in counts.values())
    without = dataclasses.replace(star, trainable=np.array([True, False, True, True, True, True]))
    assert set(picks("random-global", without)) == {2, 3, 4, 5}


def test_bfs_takes_what_was_discovered_first() -> None:
    view = make_view([(5, 3), (5, 4), (1, 0), (1, 2), (1, 5)], [5, 1])
    assert picks("bfs", view) == {3: 200}
    view.frontier.solidify(3)
    assert picks("bfs", view) == {4: 200}


def test_degree_takes_most_links(star: View) -> None:
    assert picks("degree", star) == {3: 200}


def test_ties_are_broken_at_random(star: View) -> None:
    class Even(ScoringAgent):
        def score(self, view: View, candidates: IntArray) -> np.ndarray:
            return np.where(candidates == 3, 0.0, 1.0)

    counts = picks(Even(), star, 1_000)
    assert set(counts) == {1, 2} and min(counts.values()) > 400


def test_pagerank_prefers_what_is_near_the_nucleus_over_what_is_linked_most() -> None:
    # 2 has more links, but they hang on a far hub; 1 is reached from the nucleus by three paths.
    links = [(0, 1), (0, 2), (0, 3), (0, 4), (3, 1), (4, 1), *((2, leaf) for leaf in range(5, 9))]
    view = make_view(links, [0])
    assert picks("degree", view) == {2: 200}
    view = make_view([*links, (0, 9)], [0, 3])
    assert picks("pagerank", view) == {1: 200}


def test_closure_weighs_learned_links_against_all_links() -> None:
    # 2 has both of its links learned; 3 has 2 of 4; 4 has 1 of 1.
    links = [(0, 2), (1, 2), (0, 3), (1, 3), (3, 5), (3, 6), (0, 4)]
    view = make_view(links, [0, 1])
    assert picks(Closure(c=1.0), view) == {2: 200}  # 2/3 beats 2/5 and 1/2
    assert set(picks(Closure(c=0.0), view)) == {2, 4}
    assert picks("closure", view) == {2: 200}  # 2/12 beats 2/14 and 1/11
    with pytest.raises(ValueError, match="-1"):
        Closure(c=-1)


def test_similarity_follows_the_goal_or_else_the_nucleus(star: View) -> None:
    vectors = {0: [1.0, 0.0], 1: [0.8, 0.6], 2: [0.6, 0.8], 3: [0.0, 1.0], 4: [0.0, 1.0]}
    view = make_view([(0, 1), (0, 2), (0, 3), (3, 4)], [0], vectors)
    assert picks("similarity", view) == {1: 200}
    assert picks("similarity", dataclasses.replace(view, goal=np.array([4], dtype=np.int32))) == {3: 200}


def test_greedy_loss_takes_the_largest_measured_loss(star: View) -> None:
    assert picks("greedy-loss", star) == {3: 200}
    asked: list[int] = []

    def measure(topics: IntArray) -> np.ndarray:
        asked.append(len(topics))
        return np.where(topics == 3, np.nan, 5.0 - topics).astype(np.float32)

    view = dataclasses.replace(star, measure=measure)
    assert picks("greedy-loss", view) == {1: 200}
    asked.clear()
    counts = picks(GreedyLoss(sample=1), view)
    assert set(asked) == {1} and {1, 2} <= set(counts)
    nothing = dataclasses.replace(star, measure=lambda topics: np.full(len(topics), np.nan, dtype=np.float32))
    assert set(picks("greedy-loss", nothing)) == {1, 2, 3}


def test_topics_without_text_are_never_picked(star: View) -> None:
    view = dataclasses.replace(star, trainable=np.array([True, True, True, False, True, True]))
    for name in agents:
        assert 3 not in picks(name, view, 20)


def test_an_unknown_agent_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'closure'"):
        make_agent("clozure")
    with pytest.raises(UnknownNameError):
        make_agent(tmp_path)


def test_an_agent_object_is_taken_as_it_is() -> None:
    agent = Closure()
    assert make_agent(agent) is agent
    assert isinstance(agent, Agent)


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        (Closure(c=1.0), "Closure(c=1.0)"),
        (kgrl.agents.RandomFrontier(), "RandomFrontier()"),
        (kgrl.agents.EasyToHard("logarithmic"), "EasyToHard(pacing='logarithmic', sample=256)"),
        (kgrl.agents.Exp3S(rate=0.1), "Exp3S(rate=0.1, exploration=0.05, beta=0.0)"),
        (kgrl.agents.CoherentPassages(0.3), "CoherentPassages(least=0.3)"),
        (
            Noting(kgrl.agents.Interleaved(Closure(), topics=2)),
            "Interleaved(agent=Closure(c=10.0), temperature=1.0, topics=2)",
        ),
    ],
)
def test_an_agent_is_shown_as_the_call_that_makes_it(agent: Agent, text: str) -> None:
    assert repr(agent) == text


@pytest.mark.parametrize("name", list(agents))
def test_every_agent_is_shown_on_one_short_line_and_has_its_class_in_the_front(name: str) -> None:
    agent = make_agent(name)
    shown = repr(agent)
    assert shown.startswith(f"{type(agent).__name__}(") and "\n" not in shown and len(shown) < 140
    assert getattr(kgrl.agents, type(agent).__name__) is type(agent)


@pytest.mark.parametrize("name", list(agents))
class TestContract(AgentContract):
    """Every registered agent keeps the contract."""

    @pytest.fixture
    def agent(self, name: str) -> Agent:
        return make_agent(name)

    @pytest.fixture
    def curriculum(self, make_tiny_curriculum: Make) -> Curriculum:
        return make_tiny_curriculum()


@pytest.mark.parametrize("name", sorted({name for name in agents if not reads_probes(make_agent(name))} - CLONED))
def test_an_agent_that_reads_no_probes_chooses_alike_without_them(name: str, make_tiny_curriculum: Make) -> None:
    chosen = [
        [step.passages for step in make_tiny_curriculum(reward=reward, budget_tokens=900).run(make_agent(name))]
        for reward in ("mean-prediction-gain", None)
    ]
    assert chosen[0] == chosen[1]


def test_an_agent_that_does_not_tell_is_measured_for_and_a_wrapper_reads_what_the_inner_one_reads() -> None:
    assert reads_probes(make_agent("tscl")) and reads_probes(make_agent("ppo"))
    assert not reads_probes(make_agent("curiosity")) and not reads_probes(make_agent("random-interleaved"))
    assert not reads_probes(Noting(make_agent("closure")))

    class Silent:
        """An agent of somebody else, without a base class."""

    assert reads_probes(Silent())  # type: ignore[arg-type]


def test_a_broken_contract_says_what_was_asked() -> None:
    with pytest.raises(AssertionError, match=r"isinstance\(.*Agent\)"):
        AgentContract().test_it_has_the_attributes_of_an_agent(object())  # type: ignore[arg-type]
