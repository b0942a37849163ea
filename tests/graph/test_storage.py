"""Graphs in folders: what is opened is what was saved, nothing is read before it is looked at, damage is named."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.errors import DataError, MissingDataError, UnknownNameError
from kgrl.graph import Frontier, TopicGraph
from kgrl.graph.storage import StoredStrings, StoredTitles, pack_strings, pack_titles, read_arrays, write_arrays

titles = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=10)


@pytest.fixture
def graph() -> TopicGraph:
    links = [0, 0, 1, 3], [1, 2, 2, 0]
    return TopicGraph.from_links(["Logic", "Set", "Zahl", "Émile"], *links, ["Science", "", "Science", "People"])


@pytest.fixture
def folder(graph: TopicGraph, tmp_path: Path) -> Path:
    graph.save(tmp_path / "graph")
    return tmp_path / "graph"


@given(titles, st.data())
def test_an_opened_graph_is_the_saved_one(names: list[str], data: st.DataObject) -> None:
    number = st.integers(0, len(names) - 1)
    links = data.draw(st.lists(st.tuples(number, number), max_size=20)) if names else []
    categories = data.draw(st.lists(st.sampled_from(["", "b", "Ä"]), min_size=len(names), max_size=len(names)))
    graph = TopicGraph.from_links(names, [a for a, _ in links], [b for _, b in links], categories)
    with tempfile.TemporaryDirectory() as parent:
        graph.save(Path(parent) / "graph")
        opened = TopicGraph.open(Path(parent) / "graph")
        assert tuple(opened.titles) == graph.titles and tuple(opened.categories) == graph.categories
        assert [opened.index(title) for title in names] == list(range(len(names)))
        assert opened.category_names == graph.category_names
        for topic in range(len(names)):
            assert opened.titles[topic] == names[topic] and opened.categories[topic] == categories[topic]
            assert np.array_equal(opened.out(topic), graph.out(topic))
            assert np.array_equal(opened.neighbours(topic), graph.neighbours(topic))
        for name in graph.category_names:
            assert np.array_equal(opened.in_category(name), graph.in_category(name))
        again = TopicGraph(list(opened.titles), opened.indptr, opened.indices, list(opened.categories))
        assert opened.fingerprint == again.fingerprint == graph.fingerprint


def test_an_opened_graph_is_mapped_and_cannot_be_written_to(folder: Path) -> None:
    opened = TopicGraph.open(folder)
    for array in (opened.indptr, opened.indices, *opened.undirected):
        assert isinstance(array.base, np.memmap) and not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        opened.indices[0] = 1


def test_a_frontier_grows_on_an_opened_graph(graph: TopicGraph, folder: Path) -> None:
    opened, whole = Frontier(TopicGraph.open(folder), [3]), Frontier(graph, [3])
    for topic in (0, 2):
        assert opened.topics.tolist() == whole.topics.tolist()
        opened.solidify(topic)
        whole.solidify(topic)
    assert opened.topics.tolist() == whole.topics.tolist() == [1]


def test_places_of_links_are_kept(graph: TopicGraph, tmp_path: Path) -> None:
    graph.with_places(np.array([3, -1, 7, 0], dtype=np.int32)).save(tmp_path / "graph")
    opened = TopicGraph.open(tmp_path / "graph")
    assert opened.places is not None and opened.places.tolist() == [3, -1, 7, 0]
    assert opened.fingerprint == graph.fingerprint


def test_an_unknown_title_of_an_opened_graph_suggests_one_that_begins_alike(folder: Path) -> None:
    opened = TopicGraph.open(folder)
    with pytest.raises(UnknownNameError, match="did you mean 'Logic'"):
        opened.index("logik")
    with pytest.raises(UnknownNameError, match="unknown topic ''"):
        opened.index("")
    with pytest.raises(UnknownNameError, match="Known: People, Science"):
        opened.in_category("Sience")


def test_titles_with_the_same_hash_are_told_apart() -> None:
    arrays = pack_titles(["a", "b", "c"])
    hashes = np.full(3, arrays["title_hashes"][arrays["title_order"] == 1][0])  # as if all had the hash of "b"
    stored = StoredTitles(arrays["titles"], arrays["title_starts"], hashes, arrays["title_order"])
    assert stored.find("b") == 1 and stored.find("d") is None


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.slices(8))
def test_stored_strings_are_a_sequence(strings: list[str], part: slice) -> None:
    stored = StoredStrings(*pack_strings(strings))
    assert list(stored) == strings and stored[part] == tuple(strings[part])
    assert stored == strings and tuple(strings) == stored and stored == StoredStrings(*pack_strings(strings))
    assert stored != [*strings, "more"] and stored != ["other", *strings[1:]] and stored != "".join(strings)
    assert list(reversed(stored)) == strings[::-1] and all(string in stored for string in strings)
    assert [stored[i] for i in range(-len(strings), len(strings))] == strings * 2
    with pytest.raises(IndexError):
        stored[len(strings)]


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(graph: TopicGraph, folder: Path) -> None:
    with pytest.raises(FileExistsError, match="not an empty folder"):
        graph.save(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["graph"]
    TopicGraph.open(folder)


def _cut_short(folder: Path) -> None:
    path = folder / "both_indices.npy"
    path.write_bytes(path.read_bytes()[:-4])


def _change_a_link(folder: Path) -> None:
    path = folder / "indices.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\1\0\0\0")


def _raise_the_format(folder: Path) -> None:
    about = json.loads((folder / "graph.json").read_text())
    (folder / "graph.json").write_text(json.dumps({**about, "format": 99}))


def _point_outside(folder: Path) -> None:
    about = json.loads((folder / "graph.json").read_text())
    (folder / "graph.json").write_text(json.dumps({**about, "sha256": {"../secret": "0"}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_short, "both_indices.npy: not as it was written"),
        (_change_a_link, "indices.npy: not as it was written"),
        (_raise_the_format, "is of format 99, and this version of kgrl reads 1"),
        (_point_outside, "names files that are none of a stored topic graph"),
        (lambda folder: (folder / "titles.npy").unlink(), "titles.npy: missing from the stored topic graph"),
        (lambda folder: (folder / "graph.json").write_text("{}"), "is of format None"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(folder: Path, damage: object, message: str) -> None:
    damage(folder)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        TopicGraph.open(folder)


def test_a_file_cut_short_is_found_without_verifying(folder: Path) -> None:
    _cut_short(folder)
    with pytest.raises(DataError, match=r"both_indices\.npy: not a whole array"):
        TopicGraph.open(folder, verify=False)


def test_a_folder_without_a_graph_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"TopicGraph\.save"):
        TopicGraph.open(tmp_path)


def test_opening_does_not_read_the_links(tmp_path: Path) -> None:
    """A graph of 80 MB of links takes a tenth of that to open and to look at one topic."""
    n, rng = 20_000, np.random.default_rng(0)
    ends = rng.integers(n, size=(2, 8_000_000), dtype=np.int32)
    TopicGraph.from_links([str(i) for i in range(n)], *ends).save(tmp_path / "graph")
    script = (
        "import sys, psutil\nfrom pathlib import Path\nfrom kgrl.graph import TopicGraph\n"
        "def resident(): return psutil.Process().memory_info().rss // 1024\n"
        "before = resident()\ngraph = TopicGraph.open(Path(sys.argv[1]), verify=False)\n"
        "graph.neighbours(graph.index('7')).sum()\nprint(resident() - before)"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "graph"], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8_000  # KiB


def test_components_are_kept_and_computed_where_an_earlier_version_kept_none(graph: TopicGraph, tmp_path: Path) -> None:
    graph.save(tmp_path / "now")
    opened = TopicGraph.open(tmp_path / "now")
    assert "components" in vars(opened) and np.array_equal(opened.components, graph.components)
    arrays, about = read_arrays(tmp_path / "now", verify=True)
    del arrays["components"]
    write_arrays(tmp_path / "earlier", arrays, about)
    assert np.array_equal(TopicGraph.open(tmp_path / "earlier").components, graph.components)
