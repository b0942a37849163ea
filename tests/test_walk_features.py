"""Features of walks: worked values, and what they must not depend on."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, log, log1p, radians

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents.click_batches import ClickBatches
from kgrl.builtin import PROJECTED
from kgrl.click_counts import ClickCounts
from kgrl.envs import RabbitHoleEnv
from kgrl.envs.features import CLIP, FEATURES, PATH_ROWS, Observation, describe, observation_space
from kgrl.envs.walk_features import GOAL_FEATURES, WALK_FEATURES, GoalTables, Walks, walk_features
from kgrl.envs.walk_tables import LINK_FEATURES, TOPIC_FEATURES, TRANSITION_FEATURES, WalkTables
from kgrl.graph import IntArray, TopicGraph
from kgrl.nucleus import pagerank
from kgrl.relations import TopicRelations
from kgrl.traces import BACK, STACK, ClickTable, Trace

ANGLES = (0, 50, 90, 120, 180, 270)  # degrees: topics are directions in the plane
LINKS = ((5, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3), (1, 4), (2, 4), (3, 1), (3, 4), (4, 0))
PLACES = {(1, 2): 7, (1, 3): 0, (1, 4): 30}
READ = [Trace((0, 1, 2)), Trace((0, 1, 2)), Trace((0, 1, 3))]
HERE = Trace((5, 0, 1, 3, BACK, 2))
"""The walk of the worked values: the last click is made on 1, behind which are 0 and 5; 3 was left."""
CANDIDATES = (0, 2, 3, 4)
few = settings(max_examples=20)
"""For what takes a whole random graph each."""


def plane(angles: Sequence[float]) -> NDArray[np.float32]:
    return np.array([(np.cos(np.radians(a)), np.sin(np.radians(a))) for a in angles], dtype=np.float32)


def cosine(*angles: float) -> float:
    return cos(radians(angles[0] - angles[1]))


@pytest.fixture(scope="module")
def tables() -> WalkTables:
    graph = TopicGraph.from_links("abcdef", *zip(*LINKS, strict=True), categories=["y", "y", "x", "y", "", "x"])
    graph = graph.with_places(np.array([PLACES.get(link, -1) for link in sorted(LINKS)], dtype=np.int32))
    counts = ClickCounts.of(graph, ClickTable.from_traces(READ, graph.titles))
    return WalkTables(TopicRelations(graph, plane(ANGLES)), (counts,))


def last_click(tables: WalkTables, trace: Trace, goal: int = -1) -> tuple[Walks, IntArray, NDArray[np.int64]]:
    """The walk before a trace's last click, and the links of its page."""
    clicks = ClickTable.from_traces([trace], tables.graph.titles).take(np.array([-1]))
    walks = Walks(
        clicks.stack, clicks.seen, clicks.start, clicks.depth, np.array([goal], np.int32), np.zeros(1, dtype=np.int32)
    )
    candidates = tables.graph.out(int(clicks.page[0]))
    links = tables.graph.positions(np.full(len(candidates), clicks.page[0]), candidates)
    return walks, candidates[None], links[None]


@pytest.fixture(scope="module")
def seen(tables: WalkTables) -> dict[int, dict[str, float]]:
    """The features of each candidate of the worked walk, with topic 4 as the goal."""
    goals = GoalTables.of(tables, [np.array([4], dtype=np.int32)])
    rows = walk_features(tables, *last_click(tables, HERE, 0), goals)[0]
    return {t: dict(zip(WALK_FEATURES, row.tolist(), strict=True)) for t, row in zip(CANDIDATES, rows, strict=True)}


def expect(seen: dict[int, dict[str, float]], **columns: Sequence[float]) -> None:
    """Compare columns, one value for each of the candidates 0, 2, 3 and 4."""
    for name, values in columns.items():
        assert [seen[topic][name] for topic in CANDIDATES] == pytest.approx(list(values), abs=1e-5), name


def test_topics_by_hand(seen: dict[int, dict[str, float]], tables: WalkTables) -> None:
    expect(
        seen,
        linked=[1, 1, 1, 1],
        log_in_degree=[log(4) / 5, log(3) / 5, log(2) / 5, log(4) / 5],
        log_out_degree=[log(3) / 5, log(2) / 5, log(3) / 5, log(2) / 5],
        log_degree=[log(5) / 5, log(4) / 5, log(3) / 5, log(5) / 5],
        log_pagerank=[log(6 * pagerank(tables.graph)[topic]) / 5 for topic in CANDIDATES],
    )


def test_links_by_hand(seen: dict[int, dict[str, float]]) -> None:
    """Neighbours are 0: 1 2 4 5, 1: 0 2 3 4, 2: 0 1 4, 3: 1 4, 4: 0 1 2 3."""
    expect(
        seen,
        linked_back=[1, 0, 1, 0],
        log_common=[log(3) / 4, log(3) / 4, log(2) / 4, log(4) / 4],
        log_adamic_adar=[
            log1p(1 / log(3) + 1 / log(4)) / 3,
            log1p(2 / log(4)) / 3,
            log1p(1 / log(4)) / 3,
            log1p(1 / log(4) + 1 / log(3) + 1 / log(2)) / 3,
        ],
        overlap=[4 * 2 / 6, 4 * 2 / 5, 4 * 1 / 5, 4 * 3 / 5],
        similarity=[cosine(50, 0), cosine(50, 90), cosine(50, 120), cosine(50, 180)],
        similarity_rank=[1 / 3, 0, 2 / 3, 1],
        in_degree_rank=[0, 2 / 3, 1, 1 / 3],
        same_category=[1, 0, 1, 0],
        log_page_links=[log(5) / 5] * 4,
    )


def test_places_by_hand(seen: dict[int, dict[str, float]]) -> None:
    expect(
        seen,
        mentioned=[0, 1, 1, 1],
        log_order=[0, log(2) / 4, 0, log(3) / 4],
        log_place=[1, log(8) / log(20_001), 0, log(31) / log(20_001)],
        place_rank=[1, 1 / 3, 0, 2 / 3],
    )


def test_transitions_by_hand(seen: dict[int, dict[str, float]]) -> None:
    """Page 0 has 3 clicks on 2 links, page 1 has 3 on 4; so 2 was expected 3/2 + 3/4 times, 0, 3 and 4 each 3/4."""
    lift = [1 / 1.75, 3 / 3.25, 2 / 1.75, 1 / 1.75]
    by_lift = [one / sum(lift) for one in lift]
    shares = [(clicks + 10 * one) / 13 for clicks, one in zip([0, 2, 1, 0], by_lift, strict=True)]
    expect(
        seen,
        log_clicks=[0, log(3) / 3, log(2) / 3, 0],
        log_click_share=[log(4 * share) / 3 for share in shares],
        click_rank=[1 / 3, 1, 1 / 2, 1 / 4],
        log_page_clicks=[log(4) / 6] * 4,
        lift=[log(one) / 2 for one in lift],
        log_target_clicks=[0, log(3) / 5, log(2) / 5, 0],
        log_lift_share=[log(4 * one) / 3 for one in by_lift],
    )


def test_paths_by_hand(seen: dict[int, dict[str, float]]) -> None:
    to_page, to_previous, to_start = ([cosine(ANGLES[p], ANGLES[c]) for c in CANDIDATES] for p in (1, 0, 5))
    expect(
        seen,
        log_clicks_after=[0, log(3) / 2, log(2) / 2, 0],
        click_share_after=[0, 2 / 6, 1 / 6, 0],
        log_page_clicks_after=[log(4) / 3] * 4,
        previous_similarity=to_previous,
        nearest_similarity=[1, 0, -0.2, 0],
        approach=[a - b for a, b in zip(to_page, to_previous, strict=True)],
        start_similarity=to_start,
        departure=[a - b for a, b in zip(to_page, to_start, strict=True)],
        joined_previous=[0, 1, 0, 1],
        joined_stack=[1 / 3, 1 / 3, 0, 1 / 3],
        on_stack=[1, 0, 0, 0],
        left=[0, 0, 1, 0],
        left_similarity=[0, cosine(120, 90), 1, cosine(120, 180)],
        joined_left=[0, 0, 0, 1 / 3],
        passed_over=[1 / 3, 1 / 3, 0, 1 / 3],
        log_pages_left=[log(2) / 2] * 4,
        log_depth=[log(4) / 2] * 4,
        start_category=[0, 1, 0, 0],
        page_outlook=[np.mean([cosine(ANGLES[t], ANGLES[c]) for t in CANDIDATES]) for c in CANDIDATES],
        previous_outlook=[np.mean([cosine(ANGLES[t], ANGLES[c]) for t in (1, 2)]) for c in CANDIDATES],
    )


def test_goals_by_hand(seen: dict[int, dict[str, float]]) -> None:
    similarity = [cosine(180, ANGLES[c]) for c in CANDIDATES]
    expect(
        seen,
        goal_similarity=similarity,
        goal_approach=[one - cosine(180, 50) for one in similarity],
        goal_gap=[one - 1 for one in similarity],
        links_to_goal=[0, 1, 1, 0],
        goal_links_back=[1, 0, 0, 0],
        log_goal_common=[log(3) / 4, log(3) / 4, log(2) / 4, log(5) / 4],
        log_goal_paths=[log(3) / 3, 0, log(2) / 3, 0],
        goal_category=[0, 0, 0, 1],
        is_goal=[0, 0, 0, 1],
    )


def test_a_goal_may_be_several_topics(tables: WalkTables) -> None:
    goals = GoalTables.of(tables, [np.array([2, 3], dtype=np.int32)])
    assert goals.inside[0].tolist() == [False, False, True, True, False, False]
    assert goals.to_goal[0].tolist() == [True, True, False, False, False, False]
    assert goals.from_goal[0].tolist() == [False, True, False, False, True, False]
    assert goals.category[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.0, 0.5]
    assert goals.paths[0].tolist() == [2, 1, 0, 2, 1, 1]
    assert goals.similarity[0].tolist() == pytest.approx([cosine(105, angle) for angle in ANGLES], abs=1e-5)


def test_without_a_goal_its_features_are_zero(tables: WalkTables) -> None:
    rows = walk_features(tables, *last_click(tables, HERE))[0]
    assert not rows[:, -len(GOAL_FEATURES) :].any()


def test_without_counts_transitions_are_zero(tables: WalkTables) -> None:
    blank = WalkTables(tables.relations, (ClickCounts.none(tables.graph),))
    rows = walk_features(blank, *last_click(blank, HERE))[0]
    at = WALK_FEATURES.index(TRANSITION_FEATURES[0])
    assert not rows[:, at : at + len(TRANSITION_FEATURES) + 3].any()


def test_a_candidate_that_the_page_does_not_link_to_has_no_link_features(tables: WalkTables) -> None:
    walks, _, _ = last_click(tables, HERE)
    rows = walk_features(tables, walks, np.array([[5]], dtype=np.int32), np.array([[-1]]))[0]
    named = dict(zip(WALK_FEATURES, rows[0].tolist(), strict=True))
    last = {name for name in LINK_FEATURES if name.endswith("_rank") or name == "log_place"}
    assert {name: named[name] for name in last} == dict.fromkeys(last, 1.0)
    assert not any(named[name] for name in {"linked", *LINK_FEATURES, *TRANSITION_FEATURES} - last)
    assert named["on_stack"] == 1 and named["start_similarity"] == pytest.approx(1)


def test_on_the_first_page_nothing_is_known_of_a_previous_one(tables: WalkTables) -> None:
    rows = walk_features(tables, *last_click(tables, Trace((1, 2))))[0]
    named = {name: rows[:, at].tolist() for at, name in enumerate(WALK_FEATURES)}
    for name in ("previous_similarity", "joined_previous", "joined_stack", "previous_outlook", "log_clicks_after"):
        assert not any(named[name]), name
    assert named["nearest_similarity"] == pytest.approx([-0.2] * 4)
    assert named["approach"] == named["similarity"]


def chain(n: int) -> WalkTables:
    """A graph in which each topic links to the next."""
    graph = TopicGraph.from_links([str(i) for i in range(n)], range(n - 1), range(1, n))
    return WalkTables(TopicRelations(graph, plane(np.arange(n) * 7.0)), (ClickCounts.none(graph),))


@pytest.mark.parametrize("back", [0, 1, 2])
def test_pages_deep_on_the_stack_are_not_taken_for_left_ones(back: int) -> None:
    """Of a stack only the last 10 pages are kept, of the pages opened the last 12."""
    deep = chain(STACK + 6)
    walked = (*range(STACK + 5), *[BACK] * back)
    rows = walk_features(deep, *last_click(deep, Trace((*walked, STACK + 5 - back))))[0]
    named = dict(zip(WALK_FEATURES, rows[0].tolist(), strict=True))
    assert named["log_pages_left"] == pytest.approx(log(1 + back) / 2)
    assert named["left"] == float(back > 0)
    assert named["joined_left"] == pytest.approx(float(back > 1) / 3)


def test_a_reader_who_never_went_back_is_the_same_read_from_a_trace(tables: WalkTables) -> None:
    for path in ((1,), (5, 0, 1), (0, 1, 0, 1, 3, 1, 2, 4, 0, 1, 3, 4, 0, 1)):
        recorded, _, _ = last_click(tables, Trace((*path, int(tables.graph.out(path[-1])[0]))))
        for mine, read in zip(Walks.forward(path, aimed=False), recorded, strict=True):
            assert np.array_equal(mine, read)


def test_path_rows_by_hand(tables: WalkTables) -> None:
    """The reader of the worked values: 5, 0, 1 and 3 were opened, 3 was left, 1 is the current page."""
    path = describe(tables, *last_click(tables, HERE))["path"][0]
    assert not path[: PATH_ROWS - 5].any()
    pages, ways = [5, 0, 1, 3, 1], [(5, 0), (0, 1), (1, 3)]
    widths = np.cumsum([PROJECTED, PROJECTED, len(TOPIC_FEATURES), len(LINK_FEATURES), len(TRANSITION_FEATURES)])
    embedded, offered, topics, links, transitions, stays = np.split(path[-5:], widths, axis=1)
    assert np.allclose(embedded, np.clip(tables.projected[pages], -CLIP, CLIP))
    assert not offered[0].any()
    assert np.allclose(offered[1:], np.clip(tables.outlook[[5, 0, 1, 1]], -CLIP, CLIP))
    assert np.allclose(topics, tables.topics[pages])
    at = [-1, *tables.graph.positions(*np.transpose(ways)), -1]
    assert np.allclose(links, tables.links[at]) and np.allclose(transitions, tables.transitions[0][at])
    assert stays.ravel().tolist() == [1, 1, 1, 0, 1]


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


def world(seed: int, topics: int = 12, *, keep_all: bool = False) -> tuple[WalkTables, ClickTable]:
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
    relations = TopicRelations(graph, vectors, keep_all=keep_all)
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
        return describe(tables, walks, slots[None], links[None], goals)

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
def test_relations_that_are_kept_are_those_computed(seed: int) -> None:
    (kept, clicks), (computed, _) = world(seed, keep_all=True), world(seed)
    seen = observe(recorded(kept, clicks), range(len(clicks)))
    for name, values in observe(recorded(computed, clicks), range(len(clicks))).items():
        if name != "candidates":
            assert np.allclose(values, seen[name], atol=2e-3), name
    # Ranks of near ties may differ: half precision cannot tell them apart.
    steady = [at for at, name in enumerate(FEATURES) if name != "similarity_rank"]
    difference = observe(recorded(computed, clicks), range(len(clicks)))["candidates"] - seen["candidates"]
    assert np.abs(difference[..., steady]).max() < 4e-3


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
