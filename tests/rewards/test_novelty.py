"""Novelty by cosines, by counts and by distillation: worked examples, and what repetition does."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.rewards import CountNovelty, Novelty, RandomNetworkDistillation, Reward, RewardContext, RewardError, as_reward
from kgrl.testing.samples import sample_context

R = TypeVar("R", bound=Reward)
NAMES = ["novelty", "count-novelty", "random-network-distillation"]

# East, north, north-east, west; 4 has no text.
DIRECTIONS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0], [0, 0]], dtype=np.float32)
GRAPH = TopicGraph.from_links(list("abcde"), [0, 1, 2, 3], [1, 2, 3, 4], ["x", "x", "y", "x", ""])


def _step(*topics: int) -> Expansion:
    return Expansion(1, topics[0], "", topics, (), 50, 50, 100, 3.2)


def _bound(reward: R, embeddings: NDArray[np.float32] = DIRECTIONS, graph: TopicGraph = GRAPH) -> R:
    reward.bind(RewardContext(graph, embeddings))
    return reward


def _unit(rows: int, seed: int, dimensions: int = 8) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(rows, dimensions))
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _chain(topics: int) -> TopicGraph:
    return TopicGraph.from_links([f"t{i}" for i in range(topics)], range(topics - 1), range(1, topics))


def test_novelty_is_one_less_the_largest_cosine() -> None:
    reward = _bound(Novelty())
    reward.begin(_step(0))
    assert reward(_step(1)) == 1  # at right angles to east
    assert reward(_step(2)) == pytest.approx(1 - 0.8)  # nearer to north than to east
    assert reward(_step(3)) == 1  # opposite to east, at right angles to north
    assert reward(_step(4)) == 1  # without text nothing is known to be near
    assert reward(_step(2)) == pytest.approx(0, abs=1e-6)


def test_what_is_opposite_to_all_that_is_learned_is_most_novel() -> None:
    reward = _bound(Novelty())
    reward.begin(_step(0))
    assert reward(_step(3)) == 2


def test_novelty_of_several_topics_is_their_mean_beside_what_was_learned_before() -> None:
    reward = _bound(Novelty())
    assert reward(_step(0, 2)) == 1  # nothing was learned
    reward.begin(_step(0))
    assert reward(_step(1, 2)) == pytest.approx((1 + 0.4) / 2)  # 2 is near 1, which was not learned yet


@given(seed=st.integers(0, 1_000), cuts=st.lists(st.integers(1, 99), max_size=6, unique=True).map(sorted))
def test_novelty_is_that_of_all_pairs(seed: int, cuts: list[int]) -> None:
    """Over more topics than there is room for at first, in expansions of any size."""
    embeddings = _unit(100, seed)
    order = np.random.default_rng(seed).permutation(100)
    reward, ends = _bound(Novelty(), embeddings, _chain(100)), [*cuts, 100]
    reward.begin(_step(*order[: ends[0]].tolist()))
    for start, end in pairwise(ends):
        learned, added = embeddings[order[:start]], embeddings[order[start:end]]
        expected = np.mean([1 - max(float(a @ b) for b in learned) for a in added])
        assert reward(_step(*order[start:end].tolist())) == pytest.approx(expected, abs=1e-5)


def test_counts_are_of_the_categorys_learned_topics() -> None:
    reward = _bound(CountNovelty())
    reward.begin(_step(0))
    assert reward(_step(1)) == pytest.approx(2**-0.5)  # the second of x
    assert reward(_step(2, 3)) == pytest.approx((1 + 3**-0.5) / 2)  # the first of y, the third of x
    assert reward(_step(4)) == 1  # topics without a category are a group too


def test_topics_of_one_expansion_count_one_after_another() -> None:
    assert _bound(CountNovelty())(_step(0, 1, 3)) == pytest.approx((1 + 2**-0.5 + 3**-0.5) / 3)


def test_groups_can_be_counted_in_place_of_categories() -> None:
    reward = _bound(CountNovelty(np.array([7, 0, 7, 0, 7])))
    reward.begin(_step(0))
    assert reward(_step(2)) == pytest.approx(2**-0.5)
    assert reward(_step(3)) == 1


def test_a_graph_without_categories_needs_groups() -> None:
    with pytest.raises(SettingError, match=r"groups=find_communities\(graph\)"):
        _bound(CountNovelty(), graph=_chain(5))
    assert _bound(CountNovelty(np.zeros(5, dtype=np.int32)), graph=_chain(5))(_step(3)) == 1


@pytest.mark.parametrize("groups", [[0, 1], [0, 0, 0, 0, -1]])
def test_there_is_one_group_from_0_for_each_topic(groups: list[int]) -> None:
    with pytest.raises(SettingError, match="one group from 0 for each topic"):
        _bound(CountNovelty(np.array(groups)))


def test_the_distillation_error_is_that_of_its_definition_and_of_its_steps() -> None:
    """The two networks are tanh(x A) B; the predictor takes four steps of 1/64 on half the squared error's gradient."""
    embeddings = _unit(6, 0)
    reward = _bound(RandomNetworkDistillation(seed=3), embeddings, _chain(6))
    a, b, c, d = (layer.astype(np.float64) for layer in (*reward._target, *reward._untaught))
    for topics in ([0, 1], [2], [0, 3]):
        x = embeddings[topics].astype(np.float64)
        wanted = np.tanh(x @ a) @ b
        assert reward(_step(*topics)) == pytest.approx(np.mean((np.tanh(x @ c) @ d - wanted) ** 2), rel=1e-3)
        for _ in range(4):
            c, d = (layer - _numerically(c, d, x, wanted, which) / 64 for which, layer in enumerate((c, d)))


def _numerically(
    c: NDArray[np.float64], d: NDArray[np.float64], x: NDArray[np.float64], wanted: NDArray[np.float64], which: int
) -> NDArray[np.float64]:
    """The gradient of the mean over topics of half the squared error, by finite differences, of one of the layers."""
    layers, step = [c.copy(), d.copy()], 1e-5
    gradient = np.zeros_like(layers[which])

    def loss() -> float:
        return float(0.5 * np.sum((np.tanh(x @ layers[0]) @ layers[1] - wanted) ** 2) / len(x))

    for place in np.ndindex(*gradient.shape):
        layers[which][place] += step
        above = loss()
        layers[which][place] -= 2 * step
        gradient[place] = (above - loss()) / (2 * step)
        layers[which][place] += step
    return gradient


@given(seed=st.integers(0, 50), size=st.integers(1, 8))
def test_the_distillation_error_falls_as_topics_repeat_and_stays_low(seed: int, size: int) -> None:
    reward = _bound(RandomNetworkDistillation(seed), _unit(20, 1), _chain(20))
    errors = [reward(_step(*range(size))) for _ in range(60)]
    assert all(later < earlier for earlier, later in pairwise(errors[:3]))
    assert max(errors[20:]) < errors[0] / 100


def test_what_is_like_learned_topics_has_a_lower_error_than_what_is_not() -> None:
    """One cluster is learned; of two equally many others the one beside it is less novel."""
    rng = np.random.default_rng(0)
    centres = np.repeat(_unit(2, 0, 16), [20, 10], axis=0)
    near_and_far = centres + 0.15 * rng.normal(size=centres.shape)
    embeddings = (near_and_far / np.linalg.norm(near_and_far, axis=1, keepdims=True)).astype(np.float32)
    errors = []
    for seed in range(5):
        reward = _bound(RandomNetworkDistillation(seed), embeddings, _chain(30))
        for topic in range(10):
            reward.learn([topic])
        errors.append([copy.deepcopy(reward)(_step(*others)) for others in (range(10, 20), range(20, 30))])
    near, far = np.mean(errors, axis=0)
    assert near < 0.7 * far


def test_the_seed_draws_the_networks() -> None:
    def values(seed: int) -> list[float]:
        reward = _bound(RandomNetworkDistillation(seed))
        return [reward(_step(topic)) for topic in (0, 1, 2, 0)]

    assert values(1) == values(1)
    assert values(1) != values(2)


@pytest.mark.parametrize("name", NAMES)
def test_a_reset_forgets_what_was_learned_and_begin_learns_the_nucleus(name: str) -> None:
    reward, fresh = as_reward(name), as_reward(name)
    _bound(reward), _bound(fresh)
    first = [reward(_step(0)), reward(_step(1, 2))]
    reward.reset()
    assert first == [reward(_step(0)), reward(_step(1, 2))]
    fresh.begin(_step(0))
    assert fresh(_step(1, 2)) == first[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_unbound_reward_says_what_to_do(name: str) -> None:
    reward = as_reward(name)
    reward.reset()
    for use in (reward, reward.begin):
        with pytest.raises(RewardError, match=rf"'{name}' reads (embeddings|graph): call bind"):
            use(_step(0))


def test_binding_again_begins_anew() -> None:
    """What one context's topics left behind says nothing in another."""
    for name in NAMES:
        reward = as_reward(name)
        _bound(reward).begin(_step(0, 1, 2))
        reward.bind(sample_context())
        again = as_reward(name)
        again.bind(sample_context())
        assert reward(_step(11, 3)) == again(_step(11, 3))
