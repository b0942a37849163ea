"""Curricula by a fixed order, by category and by readers' clicks, on graphs small enough to check by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.agents.baselines.orders import EasyToHard, HardToEasy
from kgrl.curriculum import Curriculum
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.graph import Frontier, TopicGraph
from tests.support.views import make_view, picks


def step(topic: int, tokens: int) -> Expansion:
    return Expansion(1, topic, str(topic), (topic,), (), tokens, tokens, 100, 1.0)


def star(categories: list[str] | None = None) -> View:
    """0 is learned and linked with 1 to 4."""
    graph = TopicGraph.from_links([str(i) for i in range(5)], [0] * 4, [1, 2, 3, 4], categories)
    view = make_view([(0, 1), (0, 2), (0, 3), (0, 4)], [0])
    return dataclasses.replace(view, graph=graph, frontier=Frontier(graph, [0]), profile=LossProfile(5))


def test_dfs_takes_what_was_discovered_last() -> None:
    view = make_view([(5, 3), (5, 4), (1, 0), (1, 2), (1, 5)], [5, 1])
    assert picks("dfs", view) == {2: 200}


def test_least_loss_takes_the_smallest() -> None:
    assert picks("least-loss", star()) == {1: 200}  # the stub's losses are the topics' numbers


def test_stratified_goes_to_the_category_with_fewest_tokens() -> None:
    view = dataclasses.replace(star(["a", "a", "a", "b", "c"]), tokens=10)
    agent = make_agent("stratified")
    agent.reset(view)
    assert {agent.choose(view) for _ in range(50)} == {3, 4}
    agent.observe(step(3, 5))
    assert {agent.choose(view) for _ in range(50)} == {4}
    agent.observe(step(4, 20))
    assert {agent.choose(view) for _ in range(50)} == {3}
    agent.observe(step(3, 20))
    assert {agent.choose(view) for _ in range(50)} == {1, 2}


def paced_view(spent: int) -> View:
    vectors = np.eye(5, dtype=np.float32)
    losses = np.array([1.0, 4.0, 2.0, 3.0, 5.0], dtype=np.float32)
    return dataclasses.replace(star(), embeddings=vectors, tokens=spent, measure_initial=lambda topics: losses[topics])


def test_pacing_opens_easy_or_hard_topics_first() -> None:
    easy, hard = EasyToHard("linear"), HardToEasy("linear")
    assert picks(easy, paced_view(0)) == {2: 200}  # only topic 0 is open; 2 opens next
    assert set(picks(easy, paced_view(55))) == {2, 3}  # a share of .595 is open: 0, 2, 3
    assert picks(hard, paced_view(0)) == {4: 200}
    assert set(picks(hard, paced_view(100))) == {1, 2, 3, 4}


def test_logarithmic_pacing_is_ahead_of_linear_pacing() -> None:
    linear, logarithmic = EasyToHard(), EasyToHard("logarithmic")
    assert linear.open_share(0.5) == pytest.approx(0.55)
    assert logarithmic.open_share(0.5) == pytest.approx(0.1 + 0.9 * np.log(1 + (np.e - 1) / 2))
    with pytest.raises(ValueError, match="pacing"):
        HardToEasy("quick")  # type: ignore[arg-type]


def test_the_untrained_learner_is_measured_and_put_back(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    curriculum = make_tiny_curriculum()
    topics = np.flatnonzero(curriculum.state.trainable).astype(np.int32)
    untrained = curriculum.state.prober.losses(topics)
    curriculum.start()
    trained = curriculum.state.prober.losses(topics)
    np.testing.assert_array_equal(curriculum.view.measure_initial(topics), untrained)
    np.testing.assert_array_equal(curriculum.state.prober.losses(topics), trained)
    assert not np.array_equal(trained, untrained)


def test_markov_draws_by_in_degree_where_no_clicks_are_known() -> None:
    view = make_view([(0, 1), (0, 2), (3, 2), (4, 2)], [0])
    counts = picks("markov", view, 3_000)
    assert counts[1] / 3_000 == pytest.approx(2 / 6, abs=0.04)  # in-degrees 1 and 3, one added to each


def test_markov_follows_clicks() -> None:
    titles = ["Africa", "Asia", "Zebra crossing of nowhere"]
    graph = TopicGraph.from_links(titles, [0, 0], [1, 2])
    view = dataclasses.replace(make_view([(0, 1), (0, 2)], [0]), graph=graph, frontier=Frontier(graph, [0]))
    agent = make_agent("markov")
    agent.reset(view)
    agent._clicks = dataclasses.replace(agent._clicks, links=np.array([30.0, 0.0], dtype=np.float32))  # type: ignore[attr-defined]
    drawn = [agent.choose(view) for _ in range(2_000)]
    assert np.mean(np.equal(drawn, 1)) == pytest.approx(35 / 40, abs=0.03)
