"""Compressibility against its definition, by hand and against a greedy search; compression progress adds up."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.rewards import CompressionProgress, RewardContext
from kgrl.rewards.compression import compressibility

Matrix = NDArray[np.float64]


def entropy_rate(links: Matrix, clusters: list[set[int]]) -> float:
    """S of a clustering: the entropy of the next cluster given this one, of a walk on an undirected network in bits.

    -sum_a pi_a sum_b P_ab log2 P_ab with pi_a = sum_{i in a} pi_i, P_ab = sum_{i in a} pi_i sum_{j in b} P_ij / pi_a.
    """
    degrees = links.sum(axis=1)
    visits = degrees / degrees.sum()
    steps = links / np.maximum(degrees, 1)[:, None]
    rate = 0.0
    for a in clusters:
        in_a = sum(visits[i] for i in a)
        for b in clusters:
            to_b = sum(visits[i] * steps[i, j] for i in a for j in b)
            if to_b > 0:
                rate -= to_b * np.log2(to_b / in_a)
    return rate


def matrix(graph: nx.Graph[int]) -> Matrix:
    links: Matrix = nx.to_numpy_array(graph, nodelist=range(len(graph)))
    return links


def of(graph: nx.Graph[int]) -> float:
    """What the package says of a graph with vertices from 0."""
    sources, targets = np.array(graph.edges, dtype=np.int32).reshape(-1, 2).T
    return compressibility(len(graph), np.ascontiguousarray(sources), np.ascontiguousarray(targets))


def growing(links: Matrix, by_share: bool) -> Iterator[list[set[int]]]:
    """The clusterings of one growing cluster, from N clusters to one, as the docstring of `compressibility` has it."""
    degrees = links.sum(axis=1)
    cluster: set[int] = set()
    others = set(range(len(links)))
    while others:
        into = {v: sum(links[v, u] for u in cluster) / (max(degrees[v], 1) if by_share else 1) for v in others}
        cluster = cluster | {max(into, key=lambda v: (into[v], degrees[v], -v))}
        others -= cluster
        yield [cluster, *({v} for v in others)]


def compressibility_by_definition(graph: nx.Graph[int]) -> float:
    links = matrix(graph)
    curves = np.array([[entropy_rate(links, c) for c in growing(links, share)] for share in (False, True)])
    curve = curves.min(axis=0)  # S(N) first, S(1) last
    return float(np.mean(curve[0] - curve))


def compressibility_by_merging(graph: nx.Graph[int]) -> float:
    """Lynn and Bassett's search in full: of all pairs of clusters, merge the one that leaves the lowest S(n)."""
    walks = matrix(graph)  # links between clusters, twice those within
    curve = [_rate(walks)]
    while len(walks) > 1:
        merged = [_merge(walks, a, b) for a in range(len(walks)) for b in range(a)]
        walks = min(merged, key=_rate)
        curve.append(_rate(walks))
    return float(np.mean(curve[0] - np.array(curve)))


def _merge(walks: Matrix, a: int, b: int) -> Matrix:
    joined = walks.copy()
    joined[b] += joined[a]
    joined[:, b] += joined[:, a]
    return np.delete(np.delete(joined, a, axis=0), a, axis=1)


def _rate(walks: Matrix) -> float:
    """`entropy_rate` of the links between clusters."""
    rows = np.broadcast_to(walks.sum(axis=1, keepdims=True), walks.shape)[walks > 0]
    links = walks[walks > 0]
    return float((links * np.log2(rows / links)).sum() / links.sum())


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> nx.Graph[int]:
    """A random graph with a link; isolated vertices and several components occur."""
    n = draw(st.integers(2, most))
    pairs = [(a, b) for a in range(n) for b in range(a)]
    graph: nx.Graph[int] = nx.empty_graph(n)
    graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True)))
    return graph


def test_entropy_rates_of_clusterings_by_hand() -> None:
    """A path 0-1-2-3: the ends step surely, the inner ones to either side."""
    path = matrix(nx.path_graph(4))
    assert entropy_rate(path, [{0}, {1}, {2}, {3}]) == pytest.approx(2 / 3)  # two thirds of the visits, 1 bit each
    assert entropy_rate(path, [{0, 1, 2, 3}]) == 0
    # Halves: 3 of 6 visits each, 1 in 3 steps crosses. Ends and inside: from inside it stays in 2 of 4 steps.
    assert entropy_rate(path, [{0, 1}, {2, 3}]) == pytest.approx(np.log2(3) - 2 / 3)
    assert entropy_rate(path, [{0, 3}, {1, 2}]) == pytest.approx(4 / 6)


@given(graphs(6), st.data())
def test_rates_from_links_between_clusters_are_those_of_the_walk(graph: nx.Graph[int], data: st.DataObject) -> None:
    links = matrix(graph)
    a, b = data.draw(st.lists(st.integers(0, len(graph) - 1), min_size=2, max_size=2, unique=True).map(sorted))
    clusters = [{a, b}, *({v} for v in range(len(graph)) if v not in (a, b))]
    assert _rate(_merge(links, b, a)) == pytest.approx(entropy_rate(links, clusters))


def test_compressibility_by_hand() -> None:
    assert of(nx.complete_graph(2)) == 0  # S(2) = S(1) = 0
    # S(3) = 1; two of three: the pair has 4 of 6 visits and leaves in half of its steps, S(2) = 2/3; S(1) = 0.
    assert of(nx.complete_graph(3)) == pytest.approx((0 + 1 / 3 + 1) / 3)
    # A path of three has S(3) = 1/2. Grown from the middle: 3 of 4 visits, leaving in 1 of 3 steps.
    assert of(nx.path_graph(3)) == pytest.approx((0 + 1 / 2 - 3 / 4 * (np.log2(3) - 2 / 3) + 1 / 2) / 3)
    assert compressibility_by_merging(nx.path_graph(3)) == pytest.approx(1 / 3)  # both ends together: S(2) = 0
    assert compressibility(4, np.empty(0, np.int32), np.empty(0, np.int32)) == 0


def test_cliques_are_more_compressible_than_topics_of_the_same_degree_linked_at_random() -> None:
    cliques, scattered = nx.connected_caveman_graph(3, 8), nx.random_regular_graph(7, 24, seed=0)
    assert scattered.number_of_edges() == cliques.number_of_edges()
    assert of(cliques) > of(scattered)
    assert compressibility_by_merging(cliques) > compressibility_by_merging(scattered)


@given(graphs())
def test_compressibility_is_that_of_its_definition(graph: nx.Graph[int]) -> None:
    assert of(graph) == pytest.approx(compressibility_by_definition(graph), abs=1e-9)


def random_graphs() -> Iterator[nx.Graph[int]]:
    """Forty graphs of 10 to 30 vertices: with hubs, with hubs and triangles, with near neighbours, with nothing."""
    sizes = np.random.default_rng(0).integers(10, 31, size=10)
    for seed, n in enumerate(sizes.tolist()):
        yield nx.barabasi_albert_graph(n, 2, seed=seed)
        yield nx.powerlaw_cluster_graph(n, 3, 0.6, seed=seed)
        yield nx.connected_watts_strogatz_graph(n, 4, 0.2, seed=seed)
        yield nx.gnm_random_graph(n, 3 * n, seed=seed)


def test_one_growing_cluster_comes_near_the_greedy_search() -> None:
    """The figures in the docstring of `compressibility`."""
    pairs = np.array([(of(graph), compressibility_by_merging(graph)) for graph in random_graphs()])
    grown, merged = pairs.T
    differences = np.abs(grown - merged) / merged
    assert spearmanr(grown, merged).statistic == pytest.approx(0.96, abs=0.02)
    assert np.mean(differences) == pytest.approx(0.05, abs=0.01)
    assert np.max(differences) < 0.25


def _step(*topics: int) -> Expansion:
    return Expansion(1, topics[0], "", topics, (), 50, 50, 100, 3.2)


def _bound(graph: nx.Graph[int]) -> CompressionProgress:
    reward = CompressionProgress()
    reward.bind(RewardContext(TopicGraph.from_networkx(graph), np.zeros((len(graph), 1), dtype=np.float32)))
    return reward


@given(graphs(14), st.data())
def test_rewards_add_up_to_the_difference_whatever_the_order(graph: nx.Graph[int], data: st.DataObject) -> None:
    first, *order = data.draw(st.permutations(range(len(graph))))
    learned = data.draw(st.integers(0, len(order)))
    size = data.draw(st.integers(1, 4))
    one_by_one, together, sorted_order = _bound(graph), _bound(graph), sorted(order[:learned])
    one_by_one.begin(_step(first))
    together.begin(_step(first))
    total = sum(one_by_one(_step(topic)) for topic in sorted_order)
    steps = [order[at : min(at + size, learned)] for at in range(0, learned, size)]
    assert sum(together(_step(*step)) for step in steps) == pytest.approx(total, abs=1e-9)
    subgraph = nx.relabel_nodes(graph.subgraph([first, *sorted_order]), _numbers([first, *sorted_order]))
    renumbered = nx.empty_graph(len(subgraph))
    renumbered.add_edges_from(subgraph.edges)
    assert total == pytest.approx(of(renumbered) if renumbered.number_of_edges() else 0, abs=1e-9)


def _numbers(topics: list[int]) -> dict[int, int]:
    return {topic: number for number, topic in enumerate(sorted(topics))}


def test_the_order_breaks_no_ties() -> None:
    """On a ring all topics are alike; whichever is learned first, the cluster grows from the same one."""
    ring, chord = nx.cycle_graph(12), (0, 5)
    ring.add_edge(*chord)
    values = set()
    for seed in range(8):
        reward = _bound(ring)
        reward.learn(np.random.default_rng(seed).permutation(12).tolist())
        values.add(round(reward.value(), 9))
    assert len(values) == 1


def test_learning_a_topic_twice_changes_nothing() -> None:
    reward = _bound(nx.complete_graph(4))
    reward.begin(_step(0, 1, 2))
    value = reward.value()
    assert reward(_step(2, 1)) == 0
    assert reward.value() == value
    assert reward(_step(2, 3, 3)) == pytest.approx(of(nx.complete_graph(4)) - of(nx.complete_graph(3)))


def test_a_topic_without_links_makes_the_mean_run_over_one_more() -> None:
    """N grows by one, S(n) stays: C of a triangle and a lone topic is (0 + 1/3 + 1 + 1) / 4."""
    graph = nx.complete_graph(3)
    graph.add_node(3)
    reward = _bound(graph)
    assert reward(_step(0, 1, 2)) == pytest.approx(4 / 9)
    assert reward(_step(3)) == pytest.approx((1 / 3 + 2) / 4 - 4 / 9)
    reward.reset()
    assert reward.value() == 0
