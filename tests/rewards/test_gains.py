"""Rewards that compare a loss with an expectation: courses of them, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.rewards import RewardContext, RewardError, as_reward, rewards
from kgrl.rewards.progress import AbsoluteLearningProgress, ForgettingPenalty, FrontierSurprise

# a - b - c in a row, and d - e apart from them
GRAPH = TopicGraph.from_links(["a", "b", "c", "d", "e"], [0, 1, 3], [1, 2, 4])
A, B, C, D, E = range(5)


def step(index: int, *topics: int, **probes: dict[int, tuple[float, float]]) -> Expansion:
    """An expansion into topics; probes give (before, after) by topic."""
    measured = {
        name: Measurement(tuple(losses), *map(tuple, zip(*losses.values(), strict=True)))
        for name, losses in probes.items()
    }
    return Expansion(index, topics[0], "?", topics, topics, 10, 10 * (index + 1), 100, 3.0, measured)


def test_absolute_learning_progress_is_the_distance_to_the_mean_of_what_came_before() -> None:
    """With a rate of 1/2: gains 1.0, 0.5, 0.75 meet averages none, 1.0, 0.75."""
    reward = AbsoluteLearningProgress(rate=0.5)
    reward.begin(step(0, A, self={A: (9.0, 5.0)}))
    found = [reward(step(i, B, self={B: (4.0, 4.0 - gain)})) for i, gain in enumerate([1.0, 0.5, 0.75], start=1)]
    assert found == pytest.approx([1.0, 0.5, 0.0])


def test_frontier_surprise_falls_back_on_all_that_is_known_and_then_on_nothing() -> None:
    """d's neighbours are unknown: a at 3 and b at 2 predict 2.5 for it; and nothing is known at first."""
    reward = FrontierSurprise()
    reward.bind(RewardContext(GRAPH, np.eye(5, dtype=np.float32)))
    reward.begin(step(0, A))  # nothing measured
    assert reward(step(1, A, self={A: (4.0, 3.0)})) == 0
    assert reward(step(2, B, self={B: (5.0, 2.0)})) == pytest.approx(2.0)
    assert reward(step(3, D, self={D: (4.0, 3.5)})) == pytest.approx(1.5)
    assert reward(step(4, C, self={C: (1.0, 1.0)})) == pytest.approx(-1.0)  # b alone, at 2


def test_topics_whose_text_was_not_reached_predict_nothing() -> None:
    """c was measured with b's neighbourhood, and no passage of it was read: only b is learned."""
    reward = FrontierSurprise()
    reward.bind(RewardContext(GRAPH, np.eye(5, dtype=np.float32)))
    reward.begin(step(0, B, self={B: (5.0, 4.0), C: (9.0, 8.0)}))
    assert reward(step(1, C, self={C: (8.0, 7.0)})) == pytest.approx(4.0)


def test_forgetting_is_counted_from_the_best_ever_and_only_of_what_was_learned_before() -> None:
    """a: 3 at best; 3.5 and then 3.2 are 0.5 and 0.2 above. b rises while it is learned, which is no forgetting yet."""
    reward = ForgettingPenalty()
    reward.begin(step(0, A, mean={A: (5.0, 3.0), B: (5.0, 4.5)}))
    assert reward(step(1, B, mean={A: (3.0, 3.5), B: (4.5, 4.75)})) == pytest.approx(-0.5)
    assert reward(step(2, C, mean={A: (3.5, 3.2), B: (4.75, 4.6)})) == pytest.approx(-0.2 - 0.1)
    assert reward(step(3, D, mean={A: (3.2, 2.0), B: (4.6, 4.0)})) == 0


@pytest.mark.parametrize("name", ["prediction-gain", "reducible-loss", "gradient-prediction-gain", "flop-cost"])
def test_a_measure_that_was_not_taken_is_named(name: str) -> None:
    with pytest.raises(RewardError, match=rf"'{name}' reads the measure '.*', but expansion 1 measured nothing"):
        as_reward(name)(step(1, A, self={A: (4.0, 3.0)}))


@pytest.mark.parametrize("name", list(rewards))
def test_every_reward_says_what_it_is(name: str) -> None:
    """Unit, range or source: something to look a number up by."""
    text = type(rewards.make(name)).__doc__ or ""
    assert "Unit" in text and "Range" in text
