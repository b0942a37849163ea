"""The clickstream: counts by hand, walks in proportion, files that are damaged, lines that are nonsense."""

from __future__ import annotations

import gzip
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kgrl.data.wikimedia.clickstream import ClickstreamWalks, read_clickstream
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.testing import TraceSourceContract
from kgrl.traces.source import TraceSource

ROWS = [
    ("other-search", "Set_theory", "external", 100),
    ("other-empty", "Émile_Zola", "external", 20),
    ("Set_theory", "Logic", "link", 30),
    ("Set_theory", "Émile_Zola", "link", 10),
    ("Émile_Zola", "Set_theory", "link", 15),
    ("Logic", "Set_theory", "link", 5),  # no link of the graph
    ("Set_theory", "Mars", "link", 12),  # Mars is no topic
    ("other-search", "Mars", "external", 12),
    ("Logic", "Émile_Zola", "other", 11),
    ("Set_theory", "Logic", "link", 3),  # the pair again
]


@pytest.fixture
def graph() -> TopicGraph:
    return TopicGraph.from_links(["Set theory", "Logic", "Émile Zola"], [0, 0, 2], [1, 2, 0])


def write(path: Path, rows: list[tuple[object, ...]]) -> Path:
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "clicks.tsv.gz", list(ROWS))


class TestWalksAreASource(TraceSourceContract):
    @pytest.fixture
    def source(self, file: Path, graph: TopicGraph) -> TraceSource:
        return ClickstreamWalks(read_clickstream(file, graph), 20)


def test_counts_are_those_of_the_graphs_links(file: Path, graph: TopicGraph) -> None:
    read = read_clickstream(file, graph)
    assert read.transitions.toarray().tolist() == [[0, 33, 10], [0, 0, 0], [15, 0, 0]]
    assert read.entries.tolist() == [100, 0, 20]
    assert read.unused == {"from outside": 3, "unknown topic": 1, "no link of the graph": 1, "no click on a link": 1}
    assert (read.tally.kept, read.tally.skipped.total()) == (10, 0)


def test_a_plain_file_reads_like_a_gzipped_one(file: Path, graph: TopicGraph, tmp_path: Path) -> None:
    plain = tmp_path / "clicks.tsv"
    plain.write_bytes(gzip.decompress(file.read_bytes()))
    assert np.array_equal(read_clickstream(plain, graph).counts, read_clickstream(file, graph).counts)


def test_more_clicks_than_are_looked_up_at_a_time(
    graph: TopicGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgrl.data.wikimedia.clickstream._CHUNK", 3)
    assert read_clickstream(write(tmp_path / "f.gz", list(ROWS) * 7), graph).counts.tolist() == [231, 70, 105]


def test_walks_follow_the_counts(file: Path, graph: TopicGraph) -> None:
    walks = list(ClickstreamWalks(read_clickstream(file, graph), 4000, seed=1))
    moves = Counter(move for walk in walks for move in pairwise(walk.steps))
    assert set(moves) == {(0, 1), (0, 2), (2, 0)}
    assert moves[0, 1] / (moves[0, 1] + moves[0, 2]) == pytest.approx(33 / 43, abs=0.03)
    # Entered 100 and 20 times; of those who arrive, 43 of 115 and 15 of 30 click on.
    starts = Counter(walk.steps[0] for walk in walks)
    assert starts[0] / len(walks) == pytest.approx((100 * 43 / 115) / (100 * 43 / 115 + 20 * 15 / 30), abs=0.03)
    assert all(len(walk.steps) > 1 for walk in walks)
    at_zola = [walk for walk in walks if walk.steps[:2] == (0, 2)]
    assert np.mean([len(walk.steps) > 2 for walk in at_zola]) == pytest.approx(0.5, abs=0.06)


def test_without_entries_walks_start_where_clicks_are(graph: TopicGraph, tmp_path: Path) -> None:
    file = write(tmp_path / "f.gz", [("Émile_Zola", "Set_theory", "link", 15)])
    assert {walk.steps for walk in ClickstreamWalks(read_clickstream(file, graph), 5)} == {(2, 0)}


def test_the_longest_walk(graph: TopicGraph, tmp_path: Path) -> None:
    rows = [("Set_theory", "Émile_Zola", "link", 10), ("Émile_Zola", "Set_theory", "link", 10)]
    walks = ClickstreamWalks(read_clickstream(write(tmp_path / "f.gz", rows), graph), 3, length=7)
    assert {len(walk.steps) for walk in walks} == {8}


def test_seeds(file: Path, graph: TopicGraph) -> None:
    read = read_clickstream(file, graph)
    assert list(ClickstreamWalks(read, 20, seed=1)) != list(ClickstreamWalks(read, 20, seed=2))


def peak_of_reading(path: Path, graph: TopicGraph, repeats: int) -> int:
    """Bytes that reading takes at most, with titles that differ so that nothing can be kept by accident."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for n in range(repeats):
            file.write(f"Set_theory\tLogic\tlink\t{n}\nOther_{n}\tArticle_{n}\tlink\t{n}\n")
    tracemalloc.start()
    try:
        read_clickstream(path, graph)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(graph: TopicGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.data.wikimedia.clickstream._CHUNK", 1000)
    small, large = (peak_of_reading(tmp_path / f"{n}.gz", graph, n) for n in (5_000, 50_000))
    assert large < 1.1 * small + 50_000
    assert large < 2_000_000


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_file_cut_off_in_the_middle_is_reported(graph: TopicGraph, tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = [("Set_theory", "Logic", "link", n) for n in rng.integers(10, 10**9, 3000)]
    whole = write(tmp_path / "f.gz", rows)
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"f\.gz:\d+: good up to this line, then cut off") as caught:
        read_clickstream(whole, graph)
    assert caught.value.line is not None and caught.value.line <= len(rows)
    assert caught.value.line > share * len(rows) - 500  # what one buffer holds may be lost


def test_a_damaged_file_is_reported(file: Path, graph: TopicGraph) -> None:
    data = bytearray(file.read_bytes())
    data[30:40] = bytes(10)
    file.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"clicks\.tsv\.gz"):
        read_clickstream(file, graph)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Set_theory\tLogic\tlink", "not four fields"),
        ("\tLogic\tlink\t3", "not four fields"),
        ("", "not four fields"),
        ("x" * 10_000, "not four fields"),
        ("Set_theory\tLogic\tlinks\t3", "unknown type"),
        ("Set_theory\tLogic\tlink\tmany", "not a count"),
        ("Set_theory\tLogic\tlink\t-3", "not a count"),
        ("Set_theory\tLogic\tlink\t" + "9" * 40, "not a count"),
    ],
)
def test_malformed_rows_are_counted_up_to_five_percent(
    graph: TopicGraph, tmp_path: Path, row: str, reason: str
) -> None:
    file, good = tmp_path / "f.tsv", "Set_theory\tLogic\tlink\t1\n"
    file.write_text(good * 95 + f"{row}\n" * 5)
    read = read_clickstream(file, graph)
    assert read.tally.skipped == {reason: 5} and read.counts.sum() == 95
    file.write_text(good * 94 + f"{row}\n" * 5)
    with pytest.raises(DataError, match=f"more than 5%.*{reason}: 5"):
        read_clickstream(file, graph)


def test_no_file_and_no_match(graph: TopicGraph, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="nothing"):
        read_clickstream(tmp_path / "nothing.gz", graph)
    with pytest.raises(KgrlError, match="do the titles match"):
        ClickstreamWalks(read_clickstream(write(tmp_path / "f.gz", [("a", "b", "link", 1)]), graph), 1)
