"""The graph that a curriculum is shown as, against what the curriculum itself says."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import GraphInstance
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrl.curriculum import Curriculum
from kgrl.envs import CurriculumEnv, RabbitHoleEnv
from kgrl.envs.graph_observation import EDGE_FEATURES, NODE_FEATURES, GraphObservation
from kgrl.errors import SettingError

Make = Callable[..., Curriculum]


@pytest.fixture
def env(make_tiny_curriculum: Make) -> GraphObservation:
    return GraphObservation(CurriculumEnv(make_tiny_curriculum(goal="Nature"), slots=6), solid=5, frontier=4)


def column(graph: GraphInstance, name: str) -> np.ndarray:
    return graph.nodes[:, NODE_FEATURES.index(name)]


@pytest.mark.parametrize("slots", [4, 64])  # fewer and more than the frontier has topics
def test_environment_checker_passes(make_tiny_curriculum: Make, slots: int) -> None:
    env = GraphObservation(CurriculumEnv(make_tiny_curriculum(), slots=slots))
    with pytest.warns(UserWarning) as caught:  # every environment not made by gym.make is warned about
        check_env(env, skip_render_check=True)
    serious = [str(w.message) for w in caught if "spec" not in str(w.message) and "wrapper" not in str(w.message)]
    assert serious == []


@given(picks=st.lists(st.integers(0, 5), max_size=12), seed=st.integers(0, 1000))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_graph_shows_the_curriculum(env: GraphObservation, picks: list[int], seed: int) -> None:
    graph, info = env.reset(seed=seed)
    for pick in [*picks, None]:
        check_graph(env, graph, info["node_topics"], info["slot_topics"])
        if pick is None or not info["action_mask"].any():
            break
        topic = info["slot_topics"][pick]
        graph, _, terminated, truncated, info = env.step(np.int64(pick))
        assert info["topic"] == topic
        if terminated or truncated:
            check_graph(env, graph, info["node_topics"], info["slot_topics"])
            break


def check_graph(env: GraphObservation, graph: GraphInstance, padded: np.ndarray, slots: np.ndarray) -> None:
    topics = padded[: len(graph.nodes)]
    assert len(padded) == 6 + 5 + 4 and (topics >= 0).all() and (padded[len(topics) :] == -1).all()
    view = env.curriculum.view
    filled = slots[slots >= 0]
    solid, waiting = set(view.frontier.solid.tolist()), set(view.frontier.topics.tolist())
    assert graph in env.observation_space
    assert len(set(topics.tolist())) == len(topics) == len(graph.nodes) <= 6 + 5 + 4
    assert topics[: len(filled)].tolist() == filled.tolist()
    assert column(graph, "candidate").tolist() == [1.0] * len(filled) + [0.0] * (len(topics) - len(filled))
    assert column(graph, "solid").tolist() == [float(t in solid) for t in topics.tolist()]
    assert column(graph, "frontier").tolist() == [float(t in waiting) for t in topics.tolist()]
    shown = [t for t in topics.tolist() if t in solid]
    assert shown == view.frontier.solid.tolist()[::-1][:5]
    others = [t for t in topics[len(filled) :].tolist() if t in waiting]
    assert len(others) == min(4, len(waiting) - len(filled))
    goal = set(view.graph.in_category("Nature").tolist())
    assert column(graph, "goal").tolist() == [float(t in goal) for t in topics.tolist()]
    check_edges(env, graph, topics)


def check_edges(env: GraphObservation, graph: GraphInstance, topics: np.ndarray) -> None:
    view = env.curriculum.view
    seen = {}
    for (a, b), features in zip(graph.edge_links.tolist(), graph.edges, strict=True):
        seen[int(topics[a]), int(topics[b])] = dict(zip(EDGE_FEATURES, features.tolist(), strict=True))
    nodes = topics.tolist()
    assert seen.keys() == {(a, int(b)) for a in nodes for b in view.graph.neighbours(a) if b in nodes}
    assert len(seen) == len(graph.edges)
    for (a, b), features in seen.items():
        assert features["links"] == (b in view.graph.out(a)) and features["linked"] == (a in view.graph.out(b))
        assert features["similarity"] == pytest.approx(float(view.embeddings[a] @ view.embeddings[b]), abs=1e-5)


def test_losses_and_order_of_learning_are_told(env: GraphObservation) -> None:
    env.reset(seed=0)
    graph, _, _, _, info = env.step(np.int64(0))
    topics, profile = info["node_topics"][: len(graph.nodes)], env.curriculum.state.profile
    known = profile.measured[topics]
    assert known.any() and column(graph, "measured").tolist() == known.astype(float).tolist()
    np.testing.assert_allclose(column(graph, "loss")[known], profile.level[topics[known]] / 10, rtol=1e-6)
    assert not column(graph, "loss")[~known].any()
    recency = column(graph, "recency")[column(graph, "solid") == 1]
    assert recency[0] == 1.0 and (np.diff(recency) < 0).all() and (recency > 0).all()


def test_an_empty_slot_does_nothing_and_the_mask_says_so(make_tiny_curriculum: Make) -> None:
    env = GraphObservation(CurriculumEnv(make_tiny_curriculum(), slots=64))
    before, info = env.reset(seed=0)
    empty = int(np.flatnonzero(info["action_mask"] == 0)[0])
    after, reward, _, _, info = env.step(np.int64(empty))
    assert info["invalid_action"] and reward == 0.0
    for name in ("nodes", "edges", "edge_links"):
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_vectors_stack_infos_of_graphs_of_different_sizes(make_tiny_curriculum: Make) -> None:
    def make() -> GraphObservation:
        return GraphObservation(CurriculumEnv(make_tiny_curriculum(), slots=6))

    envs = gym.vector.SyncVectorEnv([make, make])
    envs.reset(seed=0)
    sizes = set()
    for actions in ([0, 5], [3, 2], [1, 4]):
        graphs, *_, info = envs.step(np.array(actions))
        sizes |= {len(graph.nodes) for graph in graphs}
        assert info["node_topics"].shape == (2, 6 + 128 + 64) and info["node_topics"].dtype == np.int32
    assert len(sizes) > 1


def test_it_can_be_made_over_other_wrappers(make_tiny_curriculum: Make) -> None:
    env = GraphObservation(gym.wrappers.TimeLimit(CurriculumEnv(make_tiny_curriculum(), slots=6), 1))
    env.reset(seed=0)
    *_, truncated, _ = env.step(np.int64(0))
    assert truncated


def test_other_environments_and_sizes_are_refused(
    make_tiny_curriculum: Make, fake_embeddings: np.ndarray, env: GraphObservation
) -> None:
    with pytest.raises(SettingError, match=r"only a curriculum .* not RabbitHoleEnv"):
        GraphObservation(RabbitHoleEnv(env.curriculum.corpus.graph, fake_embeddings))
    with pytest.raises(SettingError, match="solid must be at least 1"):
        GraphObservation(CurriculumEnv(make_tiny_curriculum()), solid=0)
