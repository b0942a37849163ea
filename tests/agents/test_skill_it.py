"""Skills weighed by measured transfer, on two categories that can be followed by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.agents.bandits.skill_it import SkillIt
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import Frontier, TopicGraph
from kgrl.graph.topic_graph import IntArray
from tests.support.views import make_view

Make = Callable[..., Curriculum]


def step(probes: dict[str, Measurement]) -> Expansion:
    return Expansion(1, 1, "1", (1,), (), 100, 100, 900, 1.0, probes=probes)


def two_skills() -> View:
    """0 is learned and linked with 1 to 5; 1 and 2 are of a, 3 to 5 of b. 1 and 3 are measured: 4 and 2 nats."""
    graph = TopicGraph.from_links([str(t) for t in range(6)], [0] * 5, range(1, 6), ["a"] * 3 + ["b"] * 3)
    view = make_view([(0, t) for t in range(1, 6)], [0])
    view.profile.update([1, 3], [4.0, 2.0])

    def teach_initial(taught: IntArray, measured: IntArray) -> np.ndarray:
        assert measured.tolist() == [1, 3]
        # From 8 nats each: teaching a takes 4 off a and 2 off b, teaching b 0 off a and 4 off b.
        return np.array([4.0, 6.0] if taught.max() < 3 else [8.0, 4.0], dtype=np.float32)

    return dataclasses.replace(
        view,
        graph=graph,
        frontier=Frontier(graph, [0]),
        measure_initial=lambda topics: np.full(len(topics), 8.0, dtype=np.float32),
        teach_initial=teach_initial,
    )


def test_transfer_is_the_share_of_the_loss_that_goes() -> None:
    agent = SkillIt()
    agent.reset(two_skills())
    np.testing.assert_allclose(agent._transfer, [[0.5, 0.25], [0.0, 0.5]])


def chance_of_a(agent: SkillIt, view: View) -> float:
    candidates, chances = agent.preferences(view)
    assert chances.sum() == pytest.approx(1) and candidates.tolist() == [1, 2, 3, 4, 5]
    assert np.ptp(chances[:2]) == np.ptp(chances[2:]) == 0
    return float(chances[:2].sum())


def test_chances_are_exponential_in_transfer_times_the_losses_of_the_window() -> None:
    view, agent = two_skills(), SkillIt(eta=0.5, window=2)
    agent.reset(view)
    # A l is .5 * 4 + .25 * 2 = 2.5 for a and .5 * 2 = 1 for b.
    assert chance_of_a(agent, view) == pytest.approx(1 / (1 + np.exp(-0.5 * 1.5)))
    agent.observe(step({"mean": Measurement((1, 3), (4.0, 2.0), (2.0, 2.0))}))
    # The losses of the window sum to 6 and 4: 4 for a, 2 for b.
    assert chance_of_a(agent, view) == pytest.approx(1 / (1 + np.exp(-0.5 * 2.0)))
    agent.observe(step({"mean": Measurement((1, 3), (2.0, 2.0), (0.0, 2.0))}))
    # The first losses have left the window: 2 and 4, so 2 for a and 2 for b.
    assert chance_of_a(agent, view) == pytest.approx(0.5)


def test_draws_follow_the_chances() -> None:
    view, agent = two_skills(), SkillIt(eta=0.5)
    agent.reset(view)
    drawn = np.array([agent.choose(view) for _ in range(3_000)])
    assert np.mean(drawn < 3) == pytest.approx(1 / (1 + np.exp(-0.75)), abs=0.03)


def test_skills_off_the_frontier_have_no_share() -> None:
    view, agent = two_skills(), SkillIt()
    agent.reset(view)
    only = dataclasses.replace(view, trainable=np.arange(6) >= 3)
    assert agent.preferences(only)[1] == pytest.approx([1 / 3] * 3)


def test_without_step_size_skills_are_drawn_uniformly() -> None:
    view, agent = two_skills(), SkillIt(eta=0.0)
    agent.reset(view)
    assert chance_of_a(agent, view) == pytest.approx(0.5)


def test_losses_that_are_not_measured_are_asked_for() -> None:
    agent = SkillIt()
    agent.reset(two_skills())
    with pytest.raises(SettingError, match="mean-prediction-gain"):
        agent.observe(step({"self": Measurement((1,), (4.0,), (3.0,))}))


def test_measuring_is_bounded_and_booked_and_leaves_the_learner_alone(make_tiny_curriculum: Make) -> None:
    curriculum, agent = make_tiny_curriculum(), SkillIt(taught=2, measured=1)
    curriculum.start()
    before = curriculum.learner.snapshot()
    agent.reset(curriculum.view)
    assert len(agent._topics) == 3 and agent._transfer.shape == (3, 3)
    np.testing.assert_array_equal(curriculum.learner.snapshot(), before)
    # Three lessons of an expansion each, and four measurements of three passages.
    assert 3 * 200 < curriculum.state.prober.tokens < 3 * 200 + 12 * 120
    assert (np.diag(agent._transfer) > 0).all()


def test_a_resumed_run_goes_on_identically(make_tiny_curriculum: Make) -> None:
    curriculum, agent = make_tiny_curriculum(budget_tokens=2_000), SkillIt(eta=2.0)
    steps, states = [], []
    for expansion in curriculum.run(agent):
        steps.append(expansion)
        states.append((curriculum.learner.snapshot(), curriculum.state.rng.bit_generator.state))
    for at in (1, 5):
        other, fresh = make_tiny_curriculum(budget_tokens=2_000), SkillIt(eta=2.0)
        other.resume(steps[:at], fresh)
        other.learner.restore(states[at - 1][0])
        other.state.rng.bit_generator.state = states[at - 1][1]
        assert list(other.run(fresh, resume=True)) == steps[at:]
    assert len(steps) > 6


@pytest.mark.parametrize("wrong", [{"eta": -1.0}, {"window": 0}, {"taught": 0}, {"measured": 0}])
def test_arguments_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        SkillIt(**wrong)  # type: ignore[arg-type]


def test_it_goes_by_its_name() -> None:
    assert isinstance(make_agent("skill-it"), SkillIt)
