"""The topic graph and its frontier, against direct definitions."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.errors import UnknownNameError
from kgrl.graph import Frontier, TopicGraph
from tests.support.html_page import Page

N = 12
ends = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=40)


def graph_of(links: list[tuple[int, int]]) -> TopicGraph:
    titles = [f"t{i}" for i in range(N)]
    return TopicGraph.from_links(titles, [a for a, _ in links], [b for _, b in links], ["even", "odd"] * (N // 2))


@given(ends)
def test_rows_hold_each_link_once_and_no_self_links(links: list[tuple[int, int]]) -> None:
    graph = graph_of(links)
    wanted = {(a, b) for a, b in links if a != b}
    assert {(a, int(b)) for a in range(N) for b in graph.out(a)} == wanted
    assert graph.n_links == len(wanted)
    for topic in range(N):
        near = {b for a, b in wanted if a == topic} | {a for a, b in wanted if b == topic}
        assert graph.neighbours(topic).tolist() == sorted(near)
        assert graph.degree[topic] == len(near)


@given(ends)
def test_networkx_round_trip_keeps_everything(links: list[tuple[int, int]]) -> None:
    graph = graph_of(links)
    again = TopicGraph.from_networkx(graph.to_networkx())
    assert again.fingerprint == graph.fingerprint


@given(ends, st.permutations(range(N)))
def test_frontier_is_what_the_definition_says(links: list[tuple[int, int]], order: list[int]) -> None:
    graph = graph_of(links)
    frontier = Frontier(graph)
    for count, topic in enumerate(order, 1):
        frontier.solidify(topic)
        learned = set(order[:count])
        expected = {v for v in range(N) if v not in learned and learned & set(graph.neighbours(v).tolist())}
        assert set(frontier.topics.tolist()) == expected
        assert len(frontier) == len(expected)
        for v in range(N):
            assert frontier.links_to_solid[v] == len(learned & set(graph.neighbours(v).tolist()))
    assert frontier.solid.tolist() == list(order)


def test_frontier_is_in_order_of_discovery() -> None:
    graph = TopicGraph.from_links(list("abcde"), [0, 0, 1], [3, 1, 2])
    frontier = Frontier(graph, [0])
    assert frontier.topics.tolist() == [1, 3]
    frontier.solidify(1)
    assert frontier.topics.tolist() == [3, 2]


def test_frontier_views_cannot_be_written() -> None:
    frontier = Frontier(graph_of([(0, 1)]), [0])
    with pytest.raises(ValueError, match="read-only"):
        frontier.is_solid[1] = True
    with pytest.raises(ValueError, match="read-only"):
        frontier.links_to_solid[1] = 0


def test_components_ignore_direction() -> None:
    graph = graph_of([(0, 1), (2, 1), (3, 4)])
    undirected = nx.Graph([(0, 1), (2, 1), (3, 4)])
    undirected.add_nodes_from(range(N))
    assert len(set(graph.components.tolist())) == nx.number_connected_components(undirected)
    assert graph.components[0] == graph.components[2] != graph.components[3]


def test_fingerprint_tells_graphs_apart() -> None:
    assert graph_of([(0, 1)]).fingerprint == graph_of([(0, 1)]).fingerprint
    assert graph_of([(0, 1)]).fingerprint != graph_of([(1, 0)]).fingerprint


def test_unknown_title_and_category_suggest_the_nearest() -> None:
    graph = graph_of([])
    with pytest.raises(UnknownNameError, match="did you mean 't1'"):
        graph.index("T1")
    with pytest.raises(UnknownNameError, match="Known: even, odd"):
        graph.in_category("evn")
    assert graph.in_category("odd").tolist() == list(range(1, N, 2))


@pytest.mark.parametrize(
    ("titles", "sources", "targets", "message"),
    [(["a", "a"], [], [], "two topics"), (["a"], [0], [1], "outside the 1 topics"), (["a"], [-1], [0], "outside")],
)
def test_bad_graphs_are_refused(titles: list[str], sources: list[int], targets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopicGraph.from_links(titles, sources, targets)


def test_learning_costs_the_topic_s_links_not_the_graph() -> None:
    """The frontier after one step holds exactly the neighbours, though the graph is large."""
    n = 200_000
    graph = TopicGraph.from_links([str(i) for i in range(n)], np.arange(n - 1), np.arange(1, n))
    frontier = Frontier(graph, [n // 2])
    assert sorted(frontier.topics.tolist()) == [n // 2 - 1, n // 2 + 1]


@given(ends, st.lists(st.integers(-N, N - 1), max_size=40), st.sets(st.integers(0, N - 1)))
def test_the_frontier_is_what_is_linked_with_the_learned_or_a_root_and_not_learned(
    links: list[tuple[int, int]], changes: list[int], roots: set[int]
) -> None:
    """Whatever is learned (numbers from 0) and forgotten again (-1 - topic)."""
    graph, learned = graph_of(links), list[int]()
    frontier = Frontier(graph, roots=sorted(roots))
    for change in changes:
        if change >= 0:
            frontier.solidify(change)
            learned += [change] * (change not in learned)
        else:
            frontier.forget(-1 - change)
            learned = [topic for topic in learned if topic != -1 - change]
        near = {int(v) for topic in learned for v in graph.neighbours(topic)}
        expected = (near | roots) - set(learned)
        assert frontier.solid.tolist() == learned
        assert sorted(frontier.topics.tolist()) == sorted(expected) and len(frontier) == len(expected)
        assert all((topic in frontier) == (topic in expected) for topic in range(N))
        counts = [len(set(graph.neighbours(topic).tolist()) & set(learned)) for topic in range(N)]
        assert frontier.links_to_solid.tolist() == counts


@given(ends, st.permutations(range(N)), st.integers(1, N), st.integers(0, 2**32))
def test_a_sample_of_the_frontier_is_some_of_it_in_order(
    links: list[tuple[int, int]], order: list[int], most: int, seed: int
) -> None:
    frontier, allowed = Frontier(graph_of(links)), np.arange(N) % 3 > 0
    for topic in order:
        frontier.solidify(topic)
        # Drawn first: it must not need what was learned to be tidied away by a look at the whole.
        sample = frontier.sample(most, np.random.default_rng(seed), allowed).tolist()
        whole = [v for v in frontier.topics.tolist() if allowed[v]]
        assert sample == [v for v in whole if v in set(sample)]
        assert len(sample) <= most and bool(sample) == bool(whole)
        assert sample == whole or len(frontier.topics) > most


def test_every_topic_has_the_same_chance_to_be_sampled() -> None:
    """Whatever was learned, and though 60 is no multiple of 7."""
    frontier = Frontier(TopicGraph.from_links([str(i) for i in range(61)], [0] * 60, range(1, 61)), [0])
    for topic in range(1, 41, 2):
        frontier.solidify(topic)
    rng = np.random.default_rng(0)
    drawn = np.bincount(np.concatenate([frontier.sample(7, rng) for _ in range(20_000)]), minlength=61)
    left = np.setdiff1d(np.arange(1, 61), np.arange(1, 41, 2))
    assert drawn.sum() == drawn[left].sum()
    np.testing.assert_allclose(drawn[left], 20_000 * 7 / 60, rtol=0.1)  # four standard deviations


def test_what_was_looked_at_does_not_change_when_more_is_learned() -> None:
    graph = TopicGraph.from_links(
        [str(i) for i in range(300)], [0] * 150 + [1] * 149, [*range(1, 151), *range(151, 300)]
    )
    frontier = Frontier(graph, [0])
    topics, learned = frontier.topics, frontier.solid
    before = topics.tolist(), learned.tolist()
    for topic in range(1, 100):
        frontier.solidify(topic)
    assert (topics.tolist(), learned.tolist()) == before
    assert frontier.topics.tolist() == list(range(100, 300)) and frontier.solid.tolist() == list(range(100))


def test_membership_is_that_of_the_frontier() -> None:
    frontier = Frontier(graph_of([(0, 1), (1, 2)]), [0])
    assert 1 in frontier and np.int32(1) in frontier
    assert 0 not in frontier and 2 not in frontier and -1 not in frontier and N not in frontier


def test_self_links_and_repeats_in_any_integer_type_are_dropped() -> None:
    for kind in (np.int8, np.uint16, np.int64):
        graph = TopicGraph.from_links(list("abc"), np.array([2, 0, 0, 1], kind), np.array([0, 2, 2, 1], kind))
        assert graph.indptr.tolist() == [0, 1, 1, 2] and graph.indices.tolist() == [2, 0]
        assert (graph.indptr.dtype, graph.indices.dtype) == (np.int64, np.int32)


def test_the_fingerprint_stays_what_it_was() -> None:
    """Caches and records are keyed by it."""
    graph = TopicGraph.from_links(["a", "b"], [0], [1], ["x", ""])
    digest = hashlib.sha256(b"a\0b\0x\0")
    digest.update(np.array([0, 1, 1], dtype=np.int64).tobytes() + np.array([1], dtype=np.int32).tobytes())
    assert graph.fingerprint == digest.hexdigest()


HOSTILE = "<script>alert(1)</script>"


def test_a_notebook_shows_figures_and_hostile_titles_as_text() -> None:
    n = 100
    titles, categories = [f"{HOSTILE}{i}" for i in range(n)], [f"<img src=x onerror=alert({i % 20})>" for i in range(n)]
    graph = TopicGraph.from_links(titles, [0] * 50, range(1, 51), categories)
    page = Page(graph._repr_html_())
    assert {tag for tag, _ in page.elements} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert f"{HOSTILE}0" in page.text and f"{HOSTILE}99" not in page.text
    assert "topics100" in page.text and "topics without links49" in page.text
    assert [tag for tag, _ in page.elements].count("tr") < 30
    assert repr(graph) == "TopicGraph(100 topics, 50 links)"
    assert "topics0" in Page(TopicGraph.from_links([], [], [])._repr_html_()).text


def test_showing_a_frontier_changes_no_draw() -> None:
    graph = TopicGraph.from_links([str(i) for i in range(100)], [0] * 60, range(1, 61))
    shown, silent = Frontier(graph, [0]), Frontier(graph, [0])
    for topic in range(1, 20):
        shown.solidify(topic)
        silent.solidify(topic)
        assert repr(shown) == f"Frontier({topic + 1} topics solid, {60 - topic} on the frontier)"
        assert len(shown.topics) == 60 - topic
    draws = [frontier.sample(8, np.random.default_rng(3)).tolist() for frontier in (shown, silent)]
    assert draws[0] == draws[1]


def test_a_title_is_found_in_either_spelling(tmp_path: Path) -> None:
    graph = TopicGraph.from_links(["Évora", "Mars", "Ngày"], [0, 1], [1, 2])
    graph.save(tmp_path / "graph")
    for found in (graph, TopicGraph.open(tmp_path / "graph")):
        for form in ("NFC", "NFD"):
            assert found.index(unicodedata.normalize(form, "Évora")) == 0
            assert found.index(unicodedata.normalize(form, "Ngày")) == 2
        with pytest.raises(UnknownNameError, match="topic"):
            found.index("Mrs")


@pytest.mark.parametrize("missing", [{}, {"category": None}, {"category": float("nan")}, {"category": ""}])
def test_a_node_of_networkx_without_a_category_has_none(missing: dict[str, object]) -> None:
    nodes = nx.DiGraph()
    nodes.add_node("Logic", category="Philosophy")
    nodes.add_node("Set", **missing)
    assert TopicGraph.from_networkx(nodes).categories == ("Philosophy", "")
