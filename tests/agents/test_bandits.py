"""Bandits over arms: each formula on a case worked by hand, and what all of them keep."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents import make_agent
from kgrl.agents.bandits.arms import ArmBandit, Arms, RunningScale, payoff
from kgrl.agents.bandits.progress import LearningProgress, TeacherStudent, largest_chances
from kgrl.agents.bandits.published import DiscountedUCB, Exp3S, OnlineDataMixing, PrioritizedLevels, _shared
from kgrl.curriculum import Curriculum
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import View
from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import Frontier, TopicGraph
from tests.support.views import make_view

Make = Callable[..., Curriculum]

BANDITS: list[Callable[[], ArmBandit]] = [
    Exp3S,
    lambda: Exp3S(rate=1.0, beta=0.1),
    OnlineDataMixing,
    TeacherStudent,
    lambda: TeacherStudent("window"),
    lambda: TeacherStudent("sampling", window=3),
    DiscountedUCB,
    LearningProgress,
    PrioritizedLevels,
]
NAMES = ["exp3s", "exp3s-fast", "odm", "tscl", "tscl-window", "tscl-sampling", "d-ucb", "alp", "plr"]


def arms_view(sizes: Sequence[int]) -> View:
    """Topic 0 is learned and linked with all others, which are in categories of these sizes; 0 is in the first."""
    categories = ["a", *("abcdef"[arm] for arm, size in enumerate(sizes) for _ in range(size))]
    links = [(0, topic) for topic in range(1, len(categories))]
    view = make_view(links, [0])
    graph = TopicGraph.from_links([str(i) for i in range(len(categories))], *zip(*links, strict=True), categories)
    return dataclasses.replace(view, graph=graph, frontier=Frontier(graph, [0]), profile=LossProfile(len(graph)))


def pull(agent: ArmBandit, view: View, topic: int, reward: float, loss: float = 1.0) -> None:
    """Let an agent observe what a choice in this view led to; a thousand tokens, so that the payoff is the reward."""
    agent.remind(view)
    agent.observe(Expansion(1, topic, str(topic), (topic,), (), 1_000, 1_000, 9_000, loss, reward=reward))


def begun(agent: ArmBandit, view: View) -> ArmBandit:
    agent.reset(view)
    return agent


def chances(agent: ArmBandit, view: View) -> list[float]:
    """The chance of each arm that has candidates."""
    candidates, each = agent.preferences(view)
    arms = np.unique(np.array(view.graph.categories)[candidates], return_inverse=True)[1]
    return np.bincount(arms, weights=each).tolist()


def test_arms_are_categories_or_else_communities() -> None:
    ring = TopicGraph.from_networkx(nx.ring_of_cliques(3, 4))
    assert Arms(ring).of_topic.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    named = TopicGraph.from_links(["x", "y", "z"], [0], [1], ["b", "", "a"])
    assert Arms(named).of_topic.tolist() == [2, 0, 1]
    one_name = TopicGraph.from_links(["x", "y", "z"], [0], [1], ["b", "", "b"])
    assert Arms(one_name).count == 1
    assert Arms(TopicGraph.from_links(["x", "y"], [], [])).count == 1


def test_the_payoff_is_progress_per_thousand_tokens() -> None:
    step = Expansion(7, 0, "Logic", (0,), (), 500, 500, 1_000, 3.0)
    gained = Measurement((0,), (4.0,), (3.0,))
    assert payoff(dataclasses.replace(step, reward=-1.0, probes={"mean": gained})) == -2.0
    assert payoff(dataclasses.replace(step, probes={"target": gained})) == 2.0
    with pytest.raises(SettingError, match=r"expansion 7 \(Logic\).*give the curriculum a reward"):
        payoff(dataclasses.replace(step, probes={"self": gained}))


def test_payoffs_are_clipped_between_their_percentiles() -> None:
    # Of 0, 10 and 4 the 20th percentile is 1.6 and the 80th 7.6: (4 - 1.6) / 6 = 0.4.
    scale = RunningScale()
    assert [scale(0.0), scale(10.0), scale(4.0)] == pytest.approx([0.5, 1.0, 0.4])
    assert scale(-1e100) == 0.0


def test_exp3s_by_hand() -> None:
    view = arms_view([2, 3])
    agent = begun(Exp3S(rate=1.0, exploration=0.5), view)
    assert chances(agent, view) == pytest.approx([0.5, 0.5])
    # The first payoff is its own percentiles: r = 0. The second is the highest, r = 1 and r~ = 1 / 0.5 = 2; with
    # alpha = 1/2 both weights become log(e^2 / 2 + 1 / 2).
    pull(agent, view, 1, 1.0)
    pull(agent, view, 1, 3.0)
    assert chances(agent, view) == pytest.approx([0.5, 0.5])
    # alpha = 1/3: the weights are log(2/3 e^2 + 1/3) and log(2/3 + 1/3 e^2), so that pi is
    # 0.5 (2 e^2 + 1) / (3 e^2 + 3) + 0.25 = 0.5 * 0.62693 + 0.25.
    pull(agent, view, 1, 5.0)
    assert chances(agent, view) == pytest.approx([0.56347, 0.43653], abs=1e-5)


def test_exp3s_shares_weights_with_all_others() -> None:
    # Weights 1, 2, 3 and a half shared: 0.5 * 1 + 0.25 * (2 + 3) = 1.75, 0.5 * 2 + 0.25 * 4 = 2, 1.5 + 0.25 * 3 = 2.25.
    assert np.exp(_shared(np.log([1.0, 2.0, 3.0]), 0.5)) == pytest.approx([1.75, 2.0, 2.25])
    assert np.exp(_shared(np.log([1.0, 2.0, 3.0]), 1.0)) == pytest.approx([2.5, 2.0, 1.5])
    assert _shared(np.array([0.0, 5_000.0]), 0.5) == pytest.approx([4_999.30685, 4_999.30685])  # 5000 + log(1/2)


def test_exp3s_with_a_bonus_favours_the_less_likely() -> None:
    # w = (ln 9, 0), and e so small that pi = (0.9, 0.1). Equal payoffs: r = 0, and beta / pi is 0.1 / 0.9 and 1.
    view = arms_view([2, 2])
    agent = begun(Exp3S(rate=1.0, exploration=1e-9, beta=0.1), view)
    agent._weights, agent._pulls = np.log([9.0, 1.0]), 10**9  # type: ignore[attr-defined]
    pull(agent, view, 1, 1.0)
    odds = 9 * np.exp(0.1 / 0.9 - 1.0)
    assert chances(agent, view)[0] == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_odm_by_hand() -> None:
    # Pull 1: e = min(1/2, sqrt(ln 2 / 2) = 0.589) = 1/2, both alike. R_a = 0.5 * 3 / 0.5 = 3.
    # Pull 2: e_2 = sqrt(ln 2 / 4) = 0.41628; softmax(0.5 * 3, 0) = 0.81757; 0.16744 * 0.81757 + 0.41628 = 0.55317.
    view = arms_view([2, 3])
    agent = begun(OnlineDataMixing(smoothing=0.5), view)
    assert chances(agent, view) == pytest.approx([0.5, 0.5])
    pull(agent, view, 1, reward=-9.0, loss=3.0)
    assert chances(agent, view) == pytest.approx([0.55317, 0.44683], abs=1e-5)


def test_importance_weights_use_the_chance_of_the_pull_as_it_was() -> None:
    # Of three arms the third has no candidate: the chance was 1/2, not 1/3, and R_a = 0.5 * 3 / (1/2) = 3.
    view = arms_view([2, 3, 1])
    agent = begun(OnlineDataMixing(smoothing=0.5), view)
    without = dataclasses.replace(view, trainable=np.array([True] * 6 + [False]))
    assert chances(agent, without) == pytest.approx([0.5, 0.5])
    assert agent.choose(without) != 6
    agent.observe(Expansion(1, 1, "1", (1,), (), 10, 10, 100, 3.0))
    assert agent._losses.tolist() == pytest.approx([3.0, 0.0, 0.0])  # type: ignore[attr-defined]
    # e_2 = sqrt(ln 3 / 6) = 0.42790 > 1/3: still alike. What comes next is not from the view of before.
    agent.observe(Expansion(2, 6, "6", (6,), (), 10, 10, 100, 4.0))
    assert agent._losses[2] == pytest.approx(0.5 * 4.0 * 3)  # type: ignore[attr-defined]


def test_tscl_online_by_hand() -> None:
    # Q = 0.5 * 4 = 2 and 0.5 * -1 = -0.5; in units of the largest 1 and 1/4: e / (e + e^(1/4)) = 0.67918.
    view = arms_view([2, 2])
    agent = begun(TeacherStudent(alpha=0.5, temperature=1.0), view)
    assert chances(agent, view) == pytest.approx([0.5, 0.5])
    pull(agent, view, 1, 4.0)
    assert chances(agent, view) == pytest.approx([0.5, 0.5])  # the other one was never pulled
    pull(agent, view, 3, -1.0)
    assert chances(agent, view) == pytest.approx([0.67918, 0.32082], abs=1e-5)


def test_tscl_window_by_hand() -> None:
    # The last payoffs of the first arm are 2 and 3: scores 0, 2, 5, slope (5 - 0) / 2 = 2.5. The other's slope is 5.
    view = arms_view([2, 2])
    agent = begun(TeacherStudent("window", temperature=1.0, window=2), view)
    for reward in (1.0, 2.0, 3.0):
        pull(agent, view, 1, reward)
    pull(agent, view, 3, 5.0)
    assert chances(agent, view)[0] == pytest.approx(np.exp(0.5) / (np.exp(0.5) + np.e))


def test_tscl_sampling_by_hand() -> None:
    # The first draws 1 or -3, the others 2 and -2: it wins with its 3, and otherwise they share.
    view = arms_view([2, 2, 2])
    agent = begun(TeacherStudent("sampling", window=2), view)
    for topic, reward in ((1, 9.0), (1, 1.0), (1, -3.0), (3, 2.0)):
        pull(agent, view, topic, reward)
    assert chances(agent, view) == pytest.approx([0.0, 0.0, 1.0])
    pull(agent, view, 5, -2.0)
    assert chances(agent, view) == pytest.approx([0.5, 0.25, 0.25])


def test_chances_to_draw_the_largest_agree_with_drawing() -> None:
    draws = [np.array([1.0, 2.0, 2.0]), np.array([2.0, 0.0]), np.array([1.0, 1.0, 2.0, 3.0]), np.array([2.0])]
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.choice(numbers, 40_000) for numbers in draws])
    shares = drawn == drawn.max(axis=0)
    np.testing.assert_allclose(largest_chances(draws), (shares / shares.sum(axis=0)).mean(axis=1), atol=0.01)


def test_alp_by_hand() -> None:
    # Payoffs 1, 1, 2: the first two are r = 1/2, and begin both averages. Of the three the percentiles are 1 and 1.6,
    # so that 2 is r = 1: p_f = 0.75, p_s = 0.625.
    view = arms_view([2, 2])
    agents = [begun(LearningProgress(rate=0.5, focus=focus), view) for focus in (0.5, 0.1)]
    for agent in agents:
        for topic, reward in ((1, 1.0), (3, 1.0), (1, 2.0)):
            pull(agent, view, topic, reward)
    assert agents[0].scores().tolist() == pytest.approx([0.125, 0.0])  # type: ignore[attr-defined]  # f(p) = p
    # With h = 0.1, f(0.75) = 0.675 / 0.7 = 0.96429 and f(0.625) = 0.5625 / 0.6 = 0.9375.
    assert agents[1].scores().tolist() == pytest.approx([0.02679, 0.0], abs=1e-5)  # type: ignore[attr-defined]
    assert chances(agents[0], view) == pytest.approx([0.9, 0.1])  # 0.8 in proportion, 0.2 all alike


def test_d_ucb_by_hand() -> None:
    view = arms_view([2, 2])
    agent = begun(DiscountedUCB(width=1.0, discount=0.5), view)
    assert chances(agent, view) == [0.5, 0.5]
    pull(agent, view, 1, 1.0)
    assert chances(agent, view) == [0.0, 1.0]
    # Means 0.5 and 1, counts 0.5 and 1, ln 1.5 = 0.40547: 0.5 + sqrt(0.81093) = 1.40 and 1 + sqrt(0.40547) = 1.64.
    pull(agent, view, 3, 2.0)
    assert chances(agent, view) == [0.0, 1.0]
    # Counts 0.25 and 1.5, ln 1.75 = 0.55962: 0.5 + sqrt(2.23846) = 2.00 and 1 + sqrt(0.37308) = 1.61.
    pull(agent, view, 3, 2.0)
    assert chances(agent, view) == [1.0, 0.0]


def test_plr_by_hand() -> None:
    view = arms_view([2, 2, 2])
    agent = begun(PrioritizedLevels(temperature=1.0, staleness=0.5), view)
    pull(agent, view, 1, -3.0)
    assert chances(agent, view) == pytest.approx([1 / 3] * 3)  # two of three levels are new
    pull(agent, view, 3, 1.0)
    pull(agent, view, 5, 2.0)
    # Ranks 1, 3, 2: 6/11, 2/11, 3/11. Staleness 2, 1, 0: 2/3, 1/3, 0. Half of each.
    assert chances(agent, view) == pytest.approx([0.60606, 0.25758, 0.13636], abs=1e-5)


def long_run(agent: ArmBandit, outcome: Callable[[int, int], tuple[float, float]], pulls: int) -> list[int]:
    """How often each of three arms is pulled; `outcome` says reward and loss of an arm at its so-many-th pull."""
    view = arms_view([pulls] * 3)
    agent.reset(view)
    counts = [0, 0, 0]
    for _ in range(pulls):
        topic = agent.choose(view)
        arm = int(agent._arms.of_topic[topic])
        reward, loss = outcome(arm, counts[arm])
        counts[arm] += 1
        view.frontier.solidify(topic)
        agent.observe(Expansion(1, topic, str(topic), (topic,), (), 1_000, 1_000, 9_000, loss, reward=reward))
    return counts


@pytest.mark.parametrize(
    "agent",
    [
        Exp3S(rate=0.02),
        OnlineDataMixing(),
        TeacherStudent(),
        TeacherStudent("window"),
        TeacherStudent("sampling"),
        DiscountedUCB(width=0.3),
        PrioritizedLevels(),
    ],
    ids=["exp3s", "odm", "tscl", "tscl-window", "tscl-sampling", "d-ucb", "plr"],
)
def test_the_better_arm_is_pulled_most(agent: ArmBandit) -> None:
    noise = np.random.default_rng(1)

    def outcome(arm: int, _: int) -> tuple[float, float]:
        good = float(arm == 1)
        return good + noise.normal(0, 0.2), 1.0 + 9.0 * good

    counts = long_run(agent, outcome, 400)
    assert counts[1] > 1.5 * max(counts[0], counts[2])
    assert min(counts) > 0


def test_alp_goes_where_progress_changes() -> None:
    counts = long_run(LearningProgress(), lambda arm, n: (float(n // 10 % 2) if arm == 1 else 0.5, 1.0), 400)
    assert counts[1] > 1.5 * max(counts[0], counts[2])


@pytest.mark.parametrize("make", BANDITS, ids=NAMES)
@given(
    outcomes=st.lists(
        st.tuples(
            st.integers(1, 6),
            st.floats(-1e100, 1e100),
            st.floats(0, 1e6),
            st.lists(st.booleans(), min_size=3, max_size=3).filter(any),
        ),
        max_size=12,
    )
)
def test_chances_are_chances_whatever_the_payoffs(
    make: Callable[[], ArmBandit], outcomes: list[tuple[int, float, float, list[bool]]]
) -> None:
    view = arms_view([2, 2, 2])
    agent = begun(make(), view)
    for topic, reward, loss, available in outcomes:
        seen = dataclasses.replace(view, trainable=np.array([True, *np.repeat(available, 2)]))
        candidates, each = agent.preferences(seen)
        assert len(candidates) == 2 * sum(available)
        assert np.isfinite(each).all() and (each >= 0).all() and each.sum() == pytest.approx(1.0)
        assert agent.choose(seen) in candidates
        agent.observe(Expansion(1, topic, "", (topic,), (), 1_000, 1_000, 9_000, loss, reward=reward))


@pytest.mark.parametrize("make", BANDITS, ids=NAMES)
def test_preferences_are_the_frequencies_of_choices(make: Callable[[], ArmBandit]) -> None:
    view = arms_view([4, 1, 2])
    agent = begun(make(), view)
    for topic, reward in ((1, 1.0), (5, 0.2), (6, 0.5), (1, 0.1), (7, 0.4), (5, 0.6)):
        pull(agent, view, topic, reward)
    state = view.rng.bit_generator.state
    candidates, each = agent.preferences(view)
    assert view.rng.bit_generator.state == state
    drawn = [agent.choose(view) for _ in range(4_000)]
    shares = [drawn.count(topic) / len(drawn) for topic in candidates.tolist()]
    np.testing.assert_allclose(shares, each, atol=0.035)


@pytest.mark.parametrize("stages", [(), ("Craft", "Nature")], ids=["plain", "stages"])
@pytest.mark.parametrize("make", BANDITS, ids=NAMES)
def test_a_resumed_curriculum_goes_on_identically(
    make: Callable[[], ArmBandit], stages: tuple[str, ...], make_tiny_curriculum: Make
) -> None:
    whole, agent = list(make_tiny_curriculum(stages=stages).run(make())), make()
    curriculum, cut = make_tiny_curriculum(stages=stages), len(whole) // 2
    begun = list(itertools.islice(curriculum.run(agent), cut))
    state = curriculum.state.rng.bit_generator.state
    other = make()
    curriculum.resume(begun, other)
    # A stage has one arm, and so what is known of all shows in the chances among all.
    every = np.ones(other._arms.count, dtype=bool)
    assert other.chances(every).tolist() == agent.chances(every).tolist()
    curriculum.state.rng.bit_generator.state = state
    assert [*begun, *curriculum.run(other, resume=True)] == whole


def test_settings_out_of_range_are_named() -> None:
    for make in (
        lambda: Exp3S(rate=0.0),
        lambda: OnlineDataMixing(smoothing=1.5),
        lambda: DiscountedUCB(discount=float("nan")),
        lambda: PrioritizedLevels(temperature=-1.0),
        lambda: LearningProgress(focus=1.0),
        lambda: TeacherStudent("slow"),  # type: ignore[arg-type]
    ):
        with pytest.raises(SettingError, match="must be"):
            make()


@pytest.mark.parametrize("name", ["alp", "exp3s", "odm", "tscl", "d-ucb", "plr"])
def test_they_go_by_name(name: str) -> None:
    assert isinstance(make_agent(name), ArmBandit)
