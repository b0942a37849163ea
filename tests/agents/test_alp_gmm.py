"""Learning progress in embedding space, on picks few enough to follow by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.agents.bandits.alp_gmm import AlpGmm, Mixture, fit_mixture, principal_coordinates
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Measurement
from tests.support.views import make_view, picks

Make = Callable[..., Curriculum]


def step(topic: int, reward: float | None, tokens: int = 1_000) -> Expansion:
    return Expansion(1, topic, str(topic), (topic,), (), tokens, tokens, 9_000, 1.0, reward=reward)


def line() -> View:
    """0 is learned and linked with 1 to 6; 1 to 3 point one way, 4 to 6 the other."""
    vectors = {t: [1.0, 0.0] for t in range(4)} | {t: [0.0, 1.0] for t in range(4, 7)}
    return make_view([(0, t) for t in range(1, 7)], [0], vectors)


def test_alp_compares_with_the_nearest_earlier_pick() -> None:
    agent = AlpGmm()
    agent.reset(line())
    for topic, reward in [(1, 1.0), (4, 5.0), (2, 3.0), (5, 4.0), (3, 9.0)]:
        agent.observe(step(topic, reward))
    # Nothing is earlier than 1; 4 has only 1; 2 is like 1; 5 is like 4; 3 is like 1 and 2, and the earlier one counts.
    assert agent._alp == pytest.approx([0.0, 4.0, 2.0, 1.0, 8.0])


def test_payoff_is_progress_per_thousand_tokens() -> None:
    agent = AlpGmm()
    agent.reset(line())
    agent.observe(step(1, 1.0, tokens=500))
    gain = {"mean": Measurement((1,), (4.0,), (3.5,))}
    agent.observe(dataclasses.replace(step(2, None, tokens=250), probes=gain))
    assert agent._payoffs == pytest.approx([2.0, 2.0])
    with pytest.raises(SettingError, match="give the curriculum a reward"):
        agent.observe(step(3, None))


def test_choices_go_where_progress_is() -> None:
    view, agent = line(), AlpGmm(random=0.0, refit=6, k_max=2)
    agent.reset(view)
    # Topics 1 to 3 always pay 1; 4 to 6 pay now 0 and now 4: that is where something changes.
    for topic, reward in [(1, 1.0), (4, 1.0), (2, 1.0), (5, 5.0), (3, 1.0)]:
        agent.observe(step(topic, reward))
    assert {agent.choose(view) for _ in range(100)} == {1, 2, 3, 4, 5, 6}  # no fit yet
    agent.observe(step(6, 9.0))
    drawn = [agent.choose(view) for _ in range(100)]
    assert min(drawn) >= 4


def test_a_share_of_choices_is_uniform() -> None:
    counts = picks(AlpGmm(random=1.0), line(), 3_000)
    assert set(counts) == set(range(1, 7)) and min(counts.values()) > 400


def test_components_are_drawn_in_proportion_to_their_mean_progress() -> None:
    still = np.zeros((2, 2, 2))
    rng = np.random.default_rng(0)
    mixture = Mixture(np.array([[-1.0, 3.0], [1.0, 1.0]]), still)
    drawn = [float(mixture.draw(rng)[0]) for _ in range(2_000)]
    assert set(drawn) == {-1.0, 1.0}
    assert np.mean(np.equal(drawn, -1.0)) == pytest.approx(0.75, abs=0.04)
    idle = Mixture(np.array([[-1.0, 0.0], [1.0, 0.0]]), still)
    assert np.mean([float(idle.draw(rng)[0]) for _ in range(2_000)]) == pytest.approx(0.0, abs=0.08)


def test_points_are_drawn_with_the_components_spread() -> None:
    wide = Mixture(np.array([[5.0, 0.0, 1.0]]), np.diag([4.0, 0.25, 1.0])[None])
    points = np.array([wide.draw(np.random.default_rng(seed)) for seed in range(2_000)])
    assert points.mean(axis=0) == pytest.approx([5.0, 0.0], abs=0.2)
    assert points.std(axis=0) == pytest.approx([2.0, 0.5], rel=0.1)


def test_the_criterion_finds_how_many_heaps_there_are() -> None:
    rng = np.random.default_rng(0)
    heaps = np.repeat([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], 60, axis=0) + rng.normal(size=(180, 2))
    means = fit_mixture(heaps, 6).means
    assert {(round(x / 20), round(y / 20)) for x, y in means} == {(0, 0), (1, 0), (0, 1)}
    assert len(fit_mixture(np.zeros((3, 2)), 6).means) <= 3  # points that are all the same


def test_coordinates_have_unit_variance_and_no_more_dimensions_than_there_are() -> None:
    coordinates = principal_coordinates(np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32), 4)
    assert coordinates.shape == (50, 4)
    assert np.cov(coordinates.T, bias=True) == pytest.approx(np.eye(4), abs=1e-6)
    assert principal_coordinates(np.ones((5, 3), dtype=np.float32), 4).shape == (5, 0)


def test_a_resumed_run_goes_on_identically(make_tiny_curriculum: Make) -> None:
    curriculum, agent = make_tiny_curriculum(budget_tokens=3_000), AlpGmm(random=0.1, refit=3)
    steps, states = [], []
    for expansion in curriculum.run(agent):
        steps.append(expansion)
        states.append((curriculum.learner.snapshot(), curriculum.state.rng.bit_generator.state))
    other, fresh, at = make_tiny_curriculum(budget_tokens=3_000), AlpGmm(random=0.1, refit=3), 8
    other.resume(steps[:at], fresh)
    other.learner.restore(states[at - 1][0])
    other.state.rng.bit_generator.state = states[at - 1][1]
    assert list(other.run(fresh, resume=True)) == steps[at:]
    assert len(steps) > at + 2


@pytest.mark.parametrize("wrong", [{"random": 1.5}, {"refit": 1}, {"k_max": 1}, {"window": 0}, {"dimensions": 0}])
def test_arguments_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        AlpGmm(**wrong)  # type: ignore[arg-type]


def test_it_goes_by_its_name() -> None:
    assert isinstance(make_agent("alp-gmm"), AlpGmm)
