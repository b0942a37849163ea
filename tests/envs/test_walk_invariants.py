"""What features of walks must not depend on, and what they must agree with, on random graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents.pretraining.batches import ClickBatches
from kgrl.envs import RabbitHoleEnv
from kgrl.envs.features.space import Observation, observation_space, observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph import TopicGraph
from kgrl.graph.relations import TopicRelations
from kgrl.graph.topic_graph import IntArray
from kgrl.traces import BACK, ClickTable, Trace
from kgrl.traces.click_counts import ClickCounts

few = settings(max_examples=20)
"""For what takes a whole random graph each."""


def wander(graph: TopicGraph, rng: np.random.Generator, steps: int) -> Trace:
    """A random walk with back clicks, and perhaps a target."""
    stack = [int(rng.choice(np.flatnonzero(np.diff(graph.indptr))))]
    walked = [stack[0]]
    for _ in range(steps):
        out = graph.out(stack[-1])
        if len(stack) > 1 and (not len(out) or rng.random() < 0.3):
            stack.pop()
            walked.append(BACK)
        elif len(out):
            stack.append(int(rng.choice(out)))
            walked.append(stack[-1])
    return Trace(tuple(walked), None if rng.random() < 0.3 else int(rng.integers(len(graph))))


def world(seed: int, topics: int = 12) -> tuple[WalkTables, ClickTable]:
    """A random graph with embeddings, categories, places and counts of some walks; and the clicks of others."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, topics, (2, 4 * topics))
    categories = rng.choice(["", "x", "y"], topics).tolist()
    graph = TopicGraph.from_links([f"topic {i}" for i in range(topics)], *ends, categories)
    graph = graph.with_places(rng.integers(-1, 200, graph.n_links).astype(np.int32))
    vectors = rng.normal(size=(topics, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0.0  # a topic without text
    walks = [wander(graph, rng, int(rng.integers(1, 25))) for _ in range(12)]
    counted = (ClickTable.from_traces(some, graph.titles) for some in (walks[:4], walks[4:8]))
    counts = tuple(ClickCounts.of(graph, clicks) for clicks in counted)
    relations = TopicRelations(graph, vectors)
    return WalkTables(relations, counts), ClickTable.from_traces(walks[8:], graph.titles)


def recorded(tables: WalkTables, clicks: ClickTable, seed: int = 0, *, with_goal: bool = True) -> ClickBatches:
    rng = np.random.default_rng(seed)
    goals = GoalTables.of_each_topic(tables) if with_goal else None
    return ClickBatches(tables, goals, clicks, rng.integers(0, len(tables.counts), len(clicks)).astype(np.int32))


def observe(batches: ClickBatches, rows: Sequence[int] | NDArray[np.int64]) -> Observation:
    at = np.asarray(rows, dtype=np.int64)
    return dict(batches.observe(at, np.full(len(at), batches.goals is not None))[0])


@few
@given(st.integers(0, 10_000))
def test_many_walks_at_once_are_each_seen_as_alone(seed: int) -> None:
    tables, clicks = world(seed)
    batches = recorded(tables, clicks, seed)
    together = observe(batches, range(len(clicks)))
    for row in range(0, len(clicks), 3):
        alone = observe(batches, [row])
        filled = alone["mask"].shape[1]
        for name, values in alone.items():
            same = together[name][row]
            same = same[:filled] if name in ("candidates", "topics", "mask") else same
            assert np.allclose(same, values[0], atol=1e-6), name
        for name in ("candidates", "topics", "mask"):
            assert not together[name][row, filled:].any()


@few
@given(st.integers(0, 10_000), st.data())
def test_permuting_slots_permutes_what_is_seen_of_candidates(seed: int, data: st.DataObject) -> None:
    tables, clicks = world(seed)
    goals = GoalTables.of_each_topic(tables)
    row = data.draw(st.integers(0, len(clicks) - 1))
    one = clicks.take(np.array([row]))
    out = tables.graph.out(int(one.page[0]))
    candidates = np.full(len(out) + 2, -1, dtype=np.int32)
    candidates[: len(out)] = out
    order = np.array(data.draw(st.permutations(range(len(candidates)))))
    walks = Walks(one.stack, one.seen, one.start, one.depth, one.target, np.zeros(1, dtype=np.int32))

    def seen(slots: IntArray) -> Observation:
        links = np.full(len(slots), -1, dtype=np.int64)
        links[slots >= 0] = tables.graph.positions(np.full((slots >= 0).sum(), one.page[0]), slots[slots >= 0])
        return observe_walks(tables, walks, slots[None], links[None], goals)

    before, after = seen(candidates), seen(candidates[order])
    for name in ("candidates", "topics", "mask"):
        assert np.allclose(before[name][0, order], after[name][0], atol=1e-6)
        assert not before[name][0, len(out) :].any()
    for name in ("path", "goal", "global"):
        assert np.array_equal(before[name], after[name])


@few
@given(st.integers(0, 10_000), st.booleans())
def test_observations_of_clicks_lie_in_their_space(seed: int, with_goal: bool) -> None:
    tables, clicks = world(seed)
    seen = observe(recorded(tables, clicks, seed, with_goal=with_goal), range(len(clicks)))
    space = observation_space(seen["mask"].shape[1])
    assert all({name: values[row] for name, values in seen.items()} in space for row in range(len(clicks)))
    has_goal = (clicks.target >= 0) & with_goal
    assert np.array_equal(seen["global"][:, 0] > 0, has_goal) and not seen["goal"][~has_goal].any()


@few
@given(st.integers(0, 10_000))
def test_goals_one_by_one_are_those_of_each_topic(seed: int) -> None:
    tables, _ = world(seed)
    singly = GoalTables.of(tables, [np.array([t], dtype=np.int32) for t in range(len(tables.graph))])
    for name, one, all_ in zip(GoalTables._fields, singly, GoalTables.of_each_topic(tables), strict=True):
        assert np.allclose(np.asarray(one, np.float32), np.asarray(all_, np.float32), atol=1e-3), name


@few
@given(st.integers(0, 10_000), st.booleans())
def test_a_recorded_click_is_seen_as_in_the_environment(seed: int, target: bool) -> None:
    tables, _ = world(seed)
    env = RabbitHoleEnv(tables.graph, tables.relations.embeddings, target=target, max_steps=18, slots=14)
    env._tables = WalkTables(tables.relations, tables.counts[:1])
    observation, info = env.reset(seed=seed)
    path, shown, over = [info["topic"]], [(observation, info)], False
    while not over:
        observation, _, terminated, truncated, info = env.step(int(info["action_mask"].argmax()))
        over = terminated or truncated
        path.append(info["topic"])
        shown.append((observation, info))
    trace = Trace(tuple(path), info["target"] if target else None)
    clicks = ClickTable.from_traces([trace], tables.graph.titles)
    goals = GoalTables.of_each_topic(env._tables)
    batches = ClickBatches(env._tables, goals, clicks, np.zeros(len(clicks), dtype=np.int32))
    for row, (observation, info) in enumerate(shown[:-1]):
        click = {name: values[0] for name, values in observe(batches, [row]).items()}
        filled = info["slot_topics"] >= 0
        order = np.argsort(info["slot_topics"][filled])
        for name in ("candidates", "topics", "mask"):
            assert np.allclose(observation[name][filled][order], click[name], atol=4e-3), name
        for name in ("path", "goal", "global"):
            assert np.allclose(observation[name], click[name], atol=1e-5), name
