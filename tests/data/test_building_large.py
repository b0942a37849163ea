"""Corpora of many documents: what is kept of each is small, and what is found is what a search of all finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.building.clusters import cluster_centres, nearest_centres
from kgrl.data.building.hyperlinks import NumberOf
from kgrl.data.building.near import NearTopics
from kgrl.data.building.similar import LEAST_LINKS, joining_links, nearest_links
from kgrl.graph import TopicGraph
from kgrl.retrieval.base import FloatArray

NONE = np.empty(0, dtype=np.int32)


def clustered(n: int = 900, groups: int = 30) -> FloatArray:
    """Unit vectors around some directions; the last ten are zeros."""
    rng = np.random.default_rng(1)
    around = np.repeat(rng.normal(size=(groups, 16)), n // groups, axis=0)
    vectors = (around + 0.4 * rng.normal(size=around.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.concatenate([vectors[rng.permutation(len(vectors))], np.zeros((10, 16), dtype=np.float32)])


@pytest.fixture
def vectors() -> FloatArray:
    return clustered()


def found_by(near: NearTopics, topics: np.ndarray, k: int) -> dict[int, tuple[list[int], list[float]]]:
    return {
        topic: (others, scores)
        for rows, found, cosines in near.search(topics, k)
        for topic, others, scores in zip(rows.tolist(), found.tolist(), cosines.tolist(), strict=True)
    }


def test_topics_found_piece_by_piece_are_nearly_those_of_a_whole_search(vectors: FloatArray, tmp_path: Path) -> None:
    topics = np.flatnonzero(vectors.any(axis=1))
    whole = found_by(NearTopics(vectors, tmp_path), topics, 8)
    pieces = found_by(NearTopics(vectors, tmp_path, most_exact=100), topics, 8)
    assert pieces.keys() == whole.keys() == set(topics.tolist())
    assert np.mean([len({*pieces[t][0]} & {*whole[t][0]}) / 8 for t in whole]) > 0.9
    for topic, (others, scores) in pieces.items():
        assert others[0] == topic and len(set(others)) == 8 and scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, vectors[others] @ vectors[topic], atol=1e-5)


def test_of_few_candidates_the_rest_is_marked_as_none(vectors: FloatArray, tmp_path: Path) -> None:
    near = NearTopics(vectors[:120], tmp_path, most_exact=10)
    for _, (others, scores) in found_by(near, np.arange(0, 120, 7), 500).items():
        there = [other for other in others if other >= 0]
        assert len(others) == 500 and len(set(there)) == len(there) <= 120
        assert all(score == -np.inf for other, score in zip(others, scores, strict=True) if other < 0)


def test_links_of_many_topics_join_them_all(vectors: FloatArray, tmp_path: Path) -> None:
    near = NearTopics(vectors, tmp_path, most_exact=100)
    links = nearest_links(near, NONE, NONE)
    joins = joining_links(near, *links)
    ends = [np.concatenate(pair) for pair in zip(links, joins, strict=True)]
    graph = TopicGraph.from_links([str(n) for n in range(len(vectors))], *ends)
    parts = graph.components[vectors.any(axis=1)]
    assert len(np.unique(parts)) == 1 and graph.degree[:900].min() >= LEAST_LINKS
    assert not graph.degree[900:].any()  # topics without text


def test_one_cluster_that_holds_nearly_all_is_cut_into_pieces(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = np.full((2_000, 8), 1.0, dtype=np.float32) + 0.001 * rng.normal(size=(2_000, 8)).astype(np.float32)
    vectors[:3] = np.eye(8, dtype=np.float32)[:3]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = NearTopics(vectors, tmp_path, most_exact=100)
    assert np.diff(near._pieces.starts).max() <= 4 * int(np.sqrt(2_000))
    assert all(others[0] == topic for topic, (others, _) in found_by(near, np.arange(3), 4).items())


def test_every_row_is_in_the_cluster_of_its_nearest_centre(vectors: FloatArray) -> None:
    centres = cluster_centres(vectors[:900], 12)
    labels = nearest_centres(vectors[:900], centres)
    cosines = vectors[:900] @ centres.T
    np.testing.assert_allclose(cosines[np.arange(900), labels], cosines.max(axis=1), atol=1e-6)
    assert np.array_equal(cluster_centres(vectors[:900], 12), centres)


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9))), st.lists(st.text(max_size=3)))
def test_a_table_of_numbers_is_a_dictionary_that_keeps_the_first(rows: list[tuple[str, int]], asked: list[str]) -> None:
    table, known = NumberOf(), {}
    for text, number in rows:
        table.add(text, number)
        known.setdefault(text, number)
    for text in [*asked, *known]:
        assert table.get(text) == known.get(text)
