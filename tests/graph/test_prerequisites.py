"""Prerequisites: circles are found, graphs keep them, and the frontier asks for them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.graph import Frontier, TopicGraph
from kgrl.graph.circles import circle_text, circles
from kgrl.graph.prerequisites import Prerequisites

N = 10
TITLES = [f"t{i}" for i in range(N)]
numbers = st.integers(0, N - 1)
pairs = st.lists(st.tuples(numbers, numbers), max_size=25)
dags = pairs.map(lambda links: sorted({(min(link), max(link)) for link in links if link[0] != link[1]}))


def graph_of(links: list[tuple[int, int]], needed: list[tuple[int, int]]) -> TopicGraph:
    """A graph in which prerequisites are links, too; larger numbers need smaller ones."""
    both = [*links, *needed]
    graph = TopicGraph.from_links(TITLES, [a for a, _ in both], [b for _, b in both])
    return graph.with_prerequisites([a for a, _ in needed], [b for _, b in needed])


def frontier_by_definition(
    graph: TopicGraph, needed: set[tuple[int, int]], solid: set[int], roots: set[int]
) -> set[int]:
    """Topics linked with a solid one, roots, and what these need and so on, if all that they need is solid."""
    reached = roots | {int(near) for topic in solid for near in graph.neighbours(topic)}
    while wanted := {a for a, b in needed if b in reached} - reached:
        reached |= wanted
    return {topic for topic in reached - solid if all(a in solid for a, b in needed if b == topic)}


@given(pairs, dags, st.lists(st.integers(-N, N - 1), max_size=40), st.sets(numbers), st.sets(numbers), st.sets(numbers))
def test_the_frontier_is_what_the_definition_says(
    links: list[tuple[int, int]],
    needed: list[tuple[int, int]],
    changes: list[int],
    roots: set[int],
    exempt: set[int],
    without_text: set[int],
) -> None:
    """Whatever is learned (numbers from 0) and forgotten again (-1 - topic), on the frontier or not."""
    graph, solid = graph_of(links, needed), list[int]()
    available = ~np.isin(np.arange(N), sorted(without_text))
    asked = Prerequisites.asked(graph, np.array(sorted(exempt), dtype=np.int32), available)
    assert (asked is None) == (not needed)
    frontier = Frontier(graph, roots=sorted(roots), prerequisites=asked)
    counted = {(a, b) for a, b in needed if b not in exempt and a not in without_text}
    for change in (None, *changes):
        if change is not None and change >= 0:
            frontier.solidify(change)
            solid += [change] * (change not in solid)
        elif change is not None:
            frontier.forget(-1 - change)
            solid = [topic for topic in solid if topic != -1 - change]
        expected = frontier_by_definition(graph, counted, set(solid), roots)
        assert sorted(frontier.topics.tolist()) == sorted(expected) and len(frontier) == len(expected)
        assert all((topic in frontier) == (topic in expected) for topic in range(N))
        assert frontier.solid.tolist() == solid
        ready = [all(a in solid for a, b in counted if b == topic) for topic in range(N)]
        assert frontier.has_prerequisites.tolist() == ready


@given(pairs, dags, st.sets(numbers, min_size=1))
def test_a_curriculum_never_ends_for_want_of_a_prerequisite(
    links: list[tuple[int, int]], needed: list[tuple[int, int]], nucleus: set[int]
) -> None:
    """Whoever learns what is on the frontier learns all that is connected with the nucleus."""
    graph = graph_of(links, needed)
    asked = Prerequisites.asked(graph, np.array(sorted(nucleus), dtype=np.int32), np.ones(N, dtype=bool))
    frontier = Frontier(graph, sorted(nucleus), prerequisites=asked)
    while len(frontier):
        frontier.solidify(int(frontier.topics[-1]))
    parts = graph.components
    assert set(frontier.solid.tolist()) == {t for t in range(N) if parts[t] in parts[sorted(nucleus)]}


def test_topics_found_later_come_later() -> None:
    graph = graph_of([(0, 5), (0, 3)], [(1, 5), (2, 5)])
    frontier = Frontier(graph, [0], prerequisites=Prerequisites(N, *graph.prerequisites()))
    assert frontier.topics.tolist() == [1, 2, 3]  # 5 is linked, and needs 1 and 2, which are linked with nothing else
    frontier.solidify(2)
    assert frontier.topics.tolist() == [1, 3]
    frontier.solidify(1)
    assert frontier.topics.tolist() == [3, 5]
    frontier.forget(2)
    assert frontier.topics.tolist() == [3, 2]


@given(pairs)
def test_circles_are_all_that_keeps_a_graph_from_being_ordered(links: list[tuple[int, int]]) -> None:
    found = list(circles(links))
    closing = {(circle[-1], circle[0]) for circle in found}
    for circle in found:
        assert len(set(circle)) == len(circle)
        assert all(step in links for step in zip(circle, [*circle[1:], circle[0]], strict=True))
    assert bool(found) != nx.is_directed_acyclic_graph(nx.DiGraph(links))
    assert nx.is_directed_acyclic_graph(nx.DiGraph(set(links) - closing))


def test_a_long_chain_has_no_circle_and_a_long_circle_is_told_in_short() -> None:
    chain = [(i, i + 1) for i in range(50_000)]
    assert list(circles(chain)) == []
    (circle,) = circles([*chain, (50_000, 0)])
    text = circle_text([str(i) for i in range(50_001)], circle)
    assert text.startswith("'0' before '1'") and text.endswith("(49,989 more) before '0'") and len(text) < 300


@given(pairs, dags)
def test_prerequisites_are_kept_by_files_and_by_networkx(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[int, int]], needed: list[tuple[int, int]]
) -> None:
    graph = graph_of(links, needed)
    assert sorted(zip(*(ends.tolist() for ends in graph.prerequisites()), strict=True)) == needed
    folder = tmp_path_factory.mktemp("graph") / "stored"
    graph.save(folder)
    opened, again = TopicGraph.open(folder), TopicGraph.from_networkx(graph.to_networkx())
    for other in (opened, again, graph.with_places(np.zeros(graph.n_links, dtype=np.int32))):
        assert [ends.tolist() for ends in other.prerequisites()] == [ends.tolist() for ends in graph.prerequisites()]
    anew = TopicGraph(opened.titles, opened.indptr, opened.indices, opened.categories, None, opened.prerequisite)
    assert graph.fingerprint == opened.fingerprint == anew.fingerprint == again.fingerprint


def test_a_fingerprint_tells_kinds_and_graphs_without_any_keep_theirs() -> None:
    plain, both = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2]), {(0, 1), (1, 2)}
    assert plain.with_prerequisites([], []).fingerprint == plain.fingerprint
    made = {plain.with_prerequisites([a], [b]).fingerprint for a, b in both}
    assert len(made | {plain.fingerprint}) == 3
    assert plain.with_prerequisites([0], [1]).with_prerequisites([], []).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("needed", "message"),
    [
        ([(0, 1), (1, 2), (2, 0)], "circle: 'a' before 'b' before 'c' before 'a'"),
        ([(1, 0)], "'b' cannot be a prerequisite of 'a': no link leads"),
    ],
)
def test_bad_prerequisites_are_refused(needed: list[tuple[int, int]], message: str) -> None:
    graph = TopicGraph.from_links(["a", "b", "c"], [0, 1, 2], [1, 2, 0])
    with pytest.raises(ValueError, match=message):
        graph.with_prerequisites([a for a, _ in needed], [b for _, b in needed])
    with pytest.raises(ValueError, match="3 links need as many kinds, not 1"):
        TopicGraph(graph.titles, graph.indptr, graph.indices, prerequisite=np.ones(1, dtype=bool))
