"""Indexes of each kind: what they find, how they grow, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError, UnknownNameError
from kgrl.retrieval import Bm25Retriever, FaissRetriever, reciprocal_rank_fusion
from kgrl.retrieval.faiss_retriever import IndexKind, kind_for
from kgrl.testing import RetrieverContract

KINDS = get_args(IndexKind)


def near_together(rows: int, dimensions: int = 32, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors in clusters, as passages are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, rows // 20), dimensions))
    found = centres[rng.integers(len(centres), size=rows)] + 0.7 * rng.normal(size=(rows, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> IndexKind:
    found: IndexKind = request.param
    return found


class TestEveryKind(RetrieverContract):
    """Each keeps the contract."""

    @pytest.fixture
    def retriever(self, kind: IndexKind) -> FaissRetriever:
        return FaissRetriever(np.arange(3_000)[::-1], near_together(3_000), kind)

    @pytest.fixture
    def queries(self) -> NDArray[np.float32]:
        return near_together(3_000)[:9]


def test_most_of_the_nearest_are_found(kind: IndexKind) -> None:
    vectors, queries = near_together(6_000), near_together(6_000)[::100]
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    ids, scores = FaissRetriever(np.arange(6_000), vectors, kind).search(queries, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(ids.tolist(), exact.tolist(), strict=True)]
    assert np.mean(shared) >= (1.0 if kind == "flat" else 0.95)
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=2e-3)


def test_what_is_added_later_is_found(kind: IndexKind, tmp_path: Path) -> None:
    vectors = near_together(2_000)
    retriever = FaissRetriever(np.arange(1_500), vectors[:1_500], kind)
    retriever.add(np.arange(1_500, 2_000), vectors[1_500:])
    assert len(retriever) == 2_000
    assert (retriever.search(vectors[1_500:], 1)[0][:, 0] == np.arange(1_500, 2_000)).mean() > 0.98
    retriever.save(tmp_path / "index")
    retriever.add(np.array([9_999]), vectors[:1])
    retriever.save(tmp_path / "index")  # in place of the one before
    assert len(FaissRetriever.open(tmp_path / "index")) == 2_001
    with pytest.raises(KgrlError, match="passage 7 is in the index already"):
        retriever.add(np.array([7]), vectors[:1])
    with pytest.raises(ValueError, match="2 ids need vectors"):
        retriever.add(np.array([1, 2]), vectors[:1])


@given(parts=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_pieces_are_the_same_as_all_at_once(parts: list[int]) -> None:
    vectors, total = near_together(sum(parts)), sum(parts)
    whole, pieces = FaissRetriever(np.arange(total), vectors), FaissRetriever(np.arange(parts[0]), vectors[: parts[0]])
    for first, count in zip(np.cumsum(parts)[:-1], parts[1:], strict=True):
        pieces.add(np.arange(first, first + count), vectors[first : first + count])
    for one, other in zip(whole.search(vectors, 5), pieces.search(vectors, 5), strict=True):
        assert np.array_equal(one, other)


def test_what_is_opened_finds_the_same_under_the_same_ids(kind: IndexKind, tmp_path: Path) -> None:
    vectors, ids = near_together(3_000), np.random.default_rng(1).permutation(10_000)[:3_000]
    retriever = FaissRetriever(ids, vectors, kind)
    retriever.save(tmp_path / "index", "mini")
    opened = FaissRetriever.open(tmp_path / "index", "mini")
    for one, other in zip(retriever.search(vectors[:50], 7), opened.search(vectors[:50], 7), strict=True):
        assert np.array_equal(one, other)
    assert (opened.kind, len(opened)) == (kind, 3_000)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    FaissRetriever(np.arange(5), near_together(5)).save(tmp_path / "index", "mini")
    FaissRetriever.open(tmp_path / "index")
    with pytest.raises(SettingError, match=r"built with the encoder mini, and queries are made with maxi.*--rebuild"):
        FaissRetriever.open(tmp_path / "index", "maxi")


def test_damage_is_named_with_the_way_out(kind: IndexKind, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(MissingDataError, match="holds no index"):
        FaissRetriever.open(folder)
    FaissRetriever(np.arange(500), near_together(500), kind).save(folder)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=rf"{file.name}: .*`kgrl research index \.\.\. --rebuild`"):
            FaissRetriever.open(folder)
        if file.name != "meta.json":
            file.write_bytes(b"\0" * len(whole))
            with pytest.raises(DataError, match="--rebuild"):
                FaissRetriever.open(folder).search(near_together(500)[:1], 1)
        file.write_bytes(whole)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "version": 99}))
    with pytest.raises(DataError, match="version 99 of an index"):
        FaissRetriever.open(folder)


@pytest.mark.parametrize("rows", [0, 1, 15])
def test_too_few_to_learn_codes_from_are_all_compared(
    rows: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = near_together(40)
    retriever = FaissRetriever(np.arange(rows), vectors[:rows], "ivfpq")
    assert retriever.kind == "flat" and f"{rows} vectors are too few" in caplog.text
    retriever.add(np.arange(rows, 40), vectors[rows:])
    retriever.save(tmp_path / "index")
    opened = FaissRetriever.open(tmp_path / "index")
    assert opened.search(vectors, 1)[0][:, 0].tolist() == list(range(40))


@pytest.mark.parametrize("dimensions", [1, 2, 15, 17, 32])
def test_vectors_of_any_width_have_codes(dimensions: int) -> None:
    vectors = near_together(600, dimensions)
    scores = FaissRetriever(np.arange(600), vectors, "ivfpq").search(vectors[:50], 1)[1]
    np.testing.assert_allclose(scores, 1, atol=5e-3)


@pytest.mark.parametrize(
    "ids", [[2**31], [0, 2**40], [-1], [0, -5], [0.0], [True]], ids=["31 bits", "64 bits", "-1", "-5", "float", "bool"]
)
def test_ids_that_would_become_others_are_refused(kind: IndexKind, ids: list[float]) -> None:
    retriever = FaissRetriever(np.array([2**31 - 1]), near_together(1), kind)
    with pytest.raises(SettingError, match="whole numbers from 0 to 2,147,483,647, not"):
        retriever.add(np.array(ids), near_together(len(ids)))
    assert retriever.search(near_together(1), 1)[0].tolist() == [[2**31 - 1]]


def test_searches_that_make_no_sense_are_refused(kind: IndexKind) -> None:
    retriever = FaissRetriever(np.arange(40), near_together(40), kind)
    assert retriever.search(near_together(2), np.int64(3))[0].shape == (2, 3)  # type: ignore[arg-type]
    for queries in (near_together(2, 16), near_together(1)[0]):
        with pytest.raises(SettingError, match="both must be made by the same encoder"):
            retriever.search(queries, 3)
    for k in (0, -1):
        with pytest.raises(SettingError, match="for 1 passage at least"):
            retriever.search(near_together(2), k)
    broken = near_together(2)
    broken[1, 3] = np.nan
    with pytest.raises(SettingError, match="NaN or an infinity"):
        retriever.add(np.array([40, 41]), broken)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["meta.json", "ids.npy", "vectors.npy"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=4)
)
def test_bytes_that_changed_are_named_or_do_no_harm(tmp_path: Path, name: str, place: int, other: bytes) -> None:
    folder = tmp_path / "index"
    if not folder.exists():
        FaissRetriever(np.arange(40), near_together(40), "ivfpq").save(folder, "mini")
    whole = (folder / name).read_bytes()
    place %= len(whole)
    (folder / name).write_bytes((whole[:place] + other + whole[place + len(other) :])[: len(whole)])
    try:
        FaissRetriever.open(folder).search(near_together(3), 5)
    except KgrlError as error:
        assert str(folder) in str(error)
    finally:
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize(
    "entry", [{"colour": 1}, {"rows": "40"}, {"rows": 41}, {"dimensions": 9}, {"kind": "hash"}, {"encoder": None}]
)
def test_a_description_that_does_not_fit_is_named(tmp_path: Path, entry: dict[str, object]) -> None:
    FaissRetriever(np.arange(40), near_together(40)).save(tmp_path / "index")
    meta = tmp_path / "index" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), **entry}))
    with pytest.raises(DataError, match="--rebuild"):
        FaissRetriever.open(tmp_path / "index")


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="holds something that is not an index"):
        FaissRetriever(np.arange(5), near_together(5)).save(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_the_kind_follows_the_size() -> None:
    assert [kind_for(rows) for rows in (1, 50_000, 50_001, 250_000, 250_001)] == [
        "flat",
        "flat",
        "hnsw",
        "hnsw",
        "ivfpq",
    ]
    with pytest.raises(UnknownNameError, match="unknown index 'ivfqp'; did you mean 'ivfpq'"):
        FaissRetriever(np.arange(5), near_together(5), "ivfqp")  # type: ignore[arg-type]


def test_words_find_names_and_say_what_is_missing() -> None:
    texts = [f"Passage {n} speaks of Topic{n} and of rivers." for n in range(50)]
    ids, scores = Bm25Retriever(texts, np.arange(100, 150, dtype=np.int32)).search(["Topic7", "nothing of it"], 60)
    assert ids.shape == scores.shape == (2, 60)
    assert ids[0, 0] == 107 and (ids[0, 1:] == -1).all()
    assert (np.diff(scores[0]) <= 0).all()


rankings = st.lists(st.permutations(range(12)).map(lambda order: order[:8]), min_size=1, max_size=4)


@given(rankings)
@example([[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 7, 4, 5, 6, 3], [0, 1, 2, 7, 4, 5, 6, 3]])
def test_fusion_does_not_depend_on_the_order_of_rankings(orders: list[list[int]]) -> None:
    one = reciprocal_rank_fusion([np.array([order]) for order in orders], 12)
    other = reciprocal_rank_fusion([np.array([order]) for order in orders[::-1]], 12)
    assert np.array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1], rtol=1e-6)
    assert set(one[0][0].tolist()) - {-1} == {passage for order in orders for passage in order}


def test_what_all_rank_first_is_first() -> None:
    ids, scores = reciprocal_rank_fusion([np.array([[4, 1, 2]]), np.array([[4, 3, -1]])], 2)
    assert ids.tolist() == [[4, 1]]
    np.testing.assert_allclose(scores, [[2 / 61, 1 / 62]], rtol=1e-6)


def test_search_by_words_of_nothing_and_in_nothing() -> None:
    pytest.importorskip("bm25s")
    for texts in ([], ["", "!!!"]):
        ids, scores = Bm25Retriever(texts).search(["rivers", ""], 3)
        assert ids.tolist() == [[-1] * 3] * 2 and not scores.any()
    assert Bm25Retriever(["Rivers carry water."]).search([], 3)[0].shape == (0, 3)
    with pytest.raises(SettingError, match="not 0"):
        Bm25Retriever(["Rivers carry water."]).search(["rivers"], 0)
