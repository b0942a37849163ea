"""Features of walks: worked values."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, log, log1p, radians

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.builtin import PROJECTED
from kgrl.envs.features.names import (
    CLIP,
    GOAL_FEATURES,
    LINK_FEATURES,
    PATH_ROWS,
    TOPIC_FEATURES,
    TRANSITION_FEATURES,
    WALK_FEATURES,
)
from kgrl.envs.features.space import observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks, walk_features
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.graph import TopicGraph
from kgrl.graph.nucleus import pagerank
from kgrl.graph.relations import TopicRelations
from kgrl.graph.topic_graph import IntArray
from kgrl.traces import BACK, STACK, ClickTable, Trace
from kgrl.traces.click_counts import ClickCounts

ANGLES = (0, 50, 90, 120, 180, 270)  # degrees: topics are directions in the plane
LINKS = ((5, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3), (1, 4), (2, 4), (3, 1), (3, 4), (4, 0))
PLACES = {(1, 2): 7, (1, 3): 0, (1, 4): 30}
READ = [Trace((0, 1, 2)), Trace((0, 1, 2)), Trace((0, 1, 3))]
HERE = Trace((5, 0, 1, 3, BACK, 2))
"""The walk of the worked values: the last click is made on 1, behind which are 0 and 5; 3 was left."""
CANDIDATES = (0, 2, 3, 4)


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
    rows = walk_features(tables, *last_click(tables, HERE, 0), goals)[0][0]
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
    rows = walk_features(tables, *last_click(tables, HERE))[0][0]
    assert not rows[:, -len(GOAL_FEATURES) :].any()


def test_without_counts_transitions_are_zero(tables: WalkTables) -> None:
    blank = WalkTables(tables.relations, (ClickCounts.none(tables.graph),))
    rows = walk_features(blank, *last_click(blank, HERE))[0][0]
    at = WALK_FEATURES.index(TRANSITION_FEATURES[0])
    assert not rows[:, at : at + len(TRANSITION_FEATURES) + 3].any()


def test_a_candidate_that_the_page_does_not_link_to_has_no_link_features(tables: WalkTables) -> None:
    walks, _, _ = last_click(tables, HERE)
    rows = walk_features(tables, walks, np.array([[5]], dtype=np.int32), np.array([[-1]]))[0][0]
    named = dict(zip(WALK_FEATURES, rows[0].tolist(), strict=True))
    last = {name for name in LINK_FEATURES if name.endswith("_rank") or name == "log_place"}
    assert {name: named[name] for name in last} == dict.fromkeys(last, 1.0)
    assert not any(named[name] for name in {"linked", *LINK_FEATURES, *TRANSITION_FEATURES} - last)
    assert named["on_stack"] == 1 and named["start_similarity"] == pytest.approx(1)


def test_on_the_first_page_nothing_is_known_of_a_previous_one(tables: WalkTables) -> None:
    rows = walk_features(tables, *last_click(tables, Trace((1, 2))))[0][0]
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
    rows = walk_features(deep, *last_click(deep, Trace((*walked, STACK + 5 - back))))[0][0]
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
    path = observe_walks(tables, *last_click(tables, HERE))["path"][0]
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
