"""The sampler of exercises: what it chooses, what it learns from, and that it resumes bit for bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrl.agents import BaseAgent, Exp3S, View
from kgrl.errors import DataError, SettingError, UnknownNameError
from kgrl.expansion import Expansion
from kgrl.integrations import Exercise, TopicSampler

AGENTS = ["alp", "d-ucb", "exp3s", "greedy-loss", "least-loss", "odm", "plr", "random", "stratified", "tscl"]
KINDS = ["sum", "product", "proof"]
EXERCISES = [Exercise(f"{kind} {i}", kind, i / 4) for kind in KINDS for i in range(4)]


class Watcher(BaseAgent):
    """The first candidate; keeps what it observed."""

    def __init__(self) -> None:
        self.seen: list[Expansion] = []

    def choose(self, view: View) -> int:
        return int(view.candidates[0])

    def observe(self, expansion: Expansion) -> None:
        self.seen.append(expansion)


Rounds = list[tuple[int, list[tuple[int, float]]]]

rate_lists = st.lists(st.tuples(st.integers(0, 11), st.sampled_from([0, 0.25, 0.3, 1])), max_size=4)
rounds = st.lists(st.tuples(st.integers(0, 5), rate_lists), max_size=8)


def go_on(sampler: TopicSampler, played: Rounds) -> list[list[str]]:
    """Play rounds of a sample and of results that need not belong to it; the names sampled."""
    drawn = []
    for size, results in played:
        if size:
            drawn.append([exercise.name for exercise in sampler.sample(size)])
        sampler.observe({EXERCISES[number].name: rate for number, rate in results})
    return drawn


@pytest.mark.parametrize("agent", AGENTS)
@settings(max_examples=12, deadline=None)
@given(before=rounds, after=rounds, seed=st.integers(0, 99))
def test_it_resumes_bit_for_bit_through_json(
    agent: str,
    before: Rounds,
    after: Rounds,
    seed: int,
) -> None:
    whole = TopicSampler(EXERCISES, agent, seed)
    go_on(whole, before)
    state = json.loads(json.dumps(whole.state_dict(), allow_nan=False))
    resumed = TopicSampler(EXERCISES, agent)
    go_on(resumed, after)  # what it did before is forgotten
    resumed.load_state_dict(state)
    assert resumed.chances() == whole.chances()
    assert go_on(resumed, after) == go_on(whole, after)
    assert resumed.state_dict() == whole.state_dict() and resumed.chances() == whole.chances()


@pytest.mark.parametrize("agent", AGENTS)
def test_a_sample_has_no_exercise_twice_and_reaches_all(agent: str) -> None:
    sampler = TopicSampler(EXERCISES, agent)
    assert {exercise.name for exercise in sampler.sample(12)} == {exercise.name for exercise in EXERCISES}
    with pytest.raises(SettingError, match="1 to 12"):
        sampler.sample(13)


def test_another_seed_samples_others() -> None:
    assert TopicSampler(EXERCISES, seed=1).sample(8) != TopicSampler(EXERCISES, seed=2).sample(8)


@given(st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_results_does_not_matter(order: list[int]) -> None:
    results = {EXERCISES[2 * i].name: i / 7 for i in range(6)}
    one, other = TopicSampler(EXERCISES, "exp3s"), TopicSampler(EXERCISES, "exp3s")
    one.observe(results)
    names = list(results)
    other.observe({names[i]: results[names[i]] for i in order})
    assert one.state_dict() == other.state_dict() and one.chances() == other.chances()


@pytest.mark.parametrize("agent", ["alp", "exp3s", "tscl", "plr", "d-ucb"])
def test_bandits_go_where_pass_rates_rise(agent: str) -> None:
    """Sums are passed more and more often; products never, and proofs always."""
    exercises = [Exercise(f"{kind} {i}", kind) for kind in KINDS for i in range(40)]
    sampler, rate = TopicSampler(exercises, agent), {"sum": 0.0, "product": 0.0, "proof": 1.0}
    counts = dict.fromkeys(KINDS, 0)
    for _ in range(60):
        batch = sampler.sample(8)
        sampler.observe({exercise.name: rate[exercise.category] for exercise in batch})
        for exercise in batch:
            counts[exercise.category] += 1
        rate["sum"] = min(1.0, rate["sum"] + 0.03 * sum(one.category == "sum" for one in batch) / 8)
    assert counts["sum"] > 1.5 * max(counts["product"], counts["proof"])


def test_rewards_are_rises_above_what_was_expected() -> None:
    watcher = Watcher()
    sampler = TopicSampler([Exercise("a", "x", 0.2), Exercise("b", "x", 0.6), Exercise("c", "y", 0.6)], watcher)
    sampler.observe({"a": 0.5})  # the first of its category; it fails 0.3 more than its difficulty says
    sampler.observe({"b": 0.25})  # expected to fail 0.6 + 0.3
    sampler.observe({"a": 0.75})  # failed 0.5 when it was tried last
    sampler.observe({"c": 1.0})  # of another category
    assert [step.reward for step in watcher.seen] == pytest.approx([0.0, 0.15, 0.25, 0.0])
    assert [step.train_loss for step in watcher.seen] == [0.5, 0.75, 0.25, 0.0]


def test_importance_weights_are_those_of_the_choice_however_late_the_result() -> None:
    """The second result comes after the first has moved the chances."""
    agent_seen: list[np.ndarray] = []

    class Seen(Exp3S):
        def learn(self, arm: int, expansion: Expansion, chances: np.ndarray) -> None:
            agent_seen.append(chances)
            super().learn(arm, expansion, chances)

    sampler = TopicSampler(EXERCISES, Seen(rate=2.0))
    for rate in (0.0, 0.5, 1.0):
        sampler.observe({exercise.name: rate for exercise in EXERCISES[1:4]})
    observed, before = len(agent_seen), sampler.chances()
    first, second = sampler.sample(2)
    sampler.observe({first.name: 1.0})
    assert sampler.chances() != before
    sampler.observe({second.name: 0.5})
    for chances in agent_seen[observed:]:
        np.testing.assert_array_equal(chances, list(before.values()))


def test_bands_of_difficulty_serve_where_there_are_no_categories() -> None:
    sampler = TopicSampler([Exercise(str(i), difficulty=i / 10) for i in range(10)])
    assert sampler.chances() == {f"difficulty {band} of 5": pytest.approx(0.2) for band in range(1, 6)}
    with pytest.raises(SettingError, match="nothing to choose between"):
        TopicSampler([Exercise("a"), Exercise("b")])
    assert len(TopicSampler([Exercise("a"), Exercise("b")], "random").sample(2)) == 2


def test_greedy_loss_takes_the_exercise_that_is_expected_to_fail_most() -> None:
    sampler = TopicSampler(EXERCISES, "greedy-loss")
    sampler.observe({"sum 3": 1.0, "product 3": 0.5, "proof 0": 0.0, "proof 3": 1.0})
    assert sampler.sample()[0].name == "proof 0"


def test_wrong_settings_and_results_are_named() -> None:
    with pytest.raises(SettingError, match="no exercises"):
        TopicSampler([])
    with pytest.raises(SettingError, match="two exercises have the name 'a'"):
        TopicSampler([Exercise("a", "x"), Exercise("a", "y")])
    with pytest.raises(SettingError, match="difficulty of 'a' must be from 0 to 1"):
        Exercise("a", difficulty=2)
    with pytest.raises(SettingError, match="'closure' cannot choose here"):
        TopicSampler(EXERCISES, "closure")
    with pytest.raises(UnknownNameError, match="did you mean 'exp3s'"):
        TopicSampler(EXERCISES, "exp3")
    sampler = TopicSampler(EXERCISES)
    state = sampler.state_dict()
    with pytest.raises(UnknownNameError, match="did you mean 'sum 1'"):
        sampler.observe({"sum 0": 1.0, "sum1": 0.5})
    with pytest.raises(SettingError, match="pass rate of 'sum 1' must be from 0 to 1, not nan"):
        sampler.observe({"sum 0": 1.0, "sum 1": math.nan})
    assert sampler.state_dict() == state


def test_states_of_other_samplers_are_refused() -> None:
    sampler = TopicSampler(EXERCISES, "exp3s")
    sampler.sample(3)
    state = sampler.state_dict()
    with pytest.raises(DataError, match="agent is 'Exp3S"):
        TopicSampler(EXERCISES, "alp").load_state_dict(state)
    with pytest.raises(DataError, match="exercises is"):
        TopicSampler(EXERCISES[1:], "exp3s").load_state_dict(state)
    with pytest.raises(DataError, match="other exercises"):
        sampler.load_state_dict({**state, "seed": 5})
    with pytest.raises(DataError, match="no exercise number 12"):
        sampler.load_state_dict({**state, "events": [{"results": [[12, 0.5]]}]})
    with pytest.raises(DataError, match="pass rate must be from 0 to 1"):
        sampler.load_state_dict({**state, "events": [{"results": [[1, 1.5]]}]})
    with pytest.raises(DataError, match="seed"):
        sampler.load_state_dict({**state, "seed": "one"})
