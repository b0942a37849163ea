"""Counts of clicks: worked values, the way to another graph and back, and parts that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from kgrl.graph import TopicGraph
from kgrl.traces import BACK, ClickTable, Trace, TraceError
from kgrl.traces.click_counts import ClickCounts

LINKS = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 1), (3, 2))


def graph() -> TopicGraph:
    return TopicGraph.from_links("abcd", *zip(*LINKS, strict=True))


def count(*walks: tuple[int, ...], least_after: int = 1) -> ClickCounts:
    return ClickCounts.of(graph(), table(graph(), walks), least_after)


def table(graph: TopicGraph, walks: tuple[tuple[int, ...], ...]) -> ClickTable:
    return ClickTable.from_traces([Trace(walk) for walk in walks], graph.titles)


def looked_up(counts: ClickCounts) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Clicks on every link, and on all links of its page, after every page, by title; pairs of zeros left out."""
    titles, found = counts.graph.titles, {}
    for at, (page, target) in enumerate(zip(*counts.graph.links(), strict=True)):
        for previous in range(len(titles)):
            clicks, total = counts.after_page(np.array([previous]), np.array([page]), np.array([at]))
            if clicks.any():
                found[titles[previous], titles[page], titles[target]] = (float(clicks[0]), float(total[0]))
    return found


def on_links(counts: ClickCounts) -> dict[tuple[str, str], float]:
    """Clicks on every link that has some, by title."""
    titles, (sources, targets) = counts.graph.titles, counts.graph.links()
    ends = zip(sources.tolist(), targets.tolist(), counts.links.tolist(), strict=True)
    return {(titles[a], titles[b]): clicks for a, b, clicks in ends if clicks}


def test_clicks_by_hand() -> None:
    counts = count((0, 1, 2), (0, 1, 2), (0, 1, BACK, 2), (2, 1, 0))
    assert on_links(counts) == {("a", "b"): 3, ("b", "c"): 2, ("a", "c"): 1, ("c", "b"): 1, ("b", "a"): 1}
    assert looked_up(counts) == {("a", "b", "c"): (2, 2), ("c", "b", "a"): (1, 1)}


def test_clicks_of_a_context_add_up() -> None:
    counts = count((0, 1, 2), (0, 1, 2), (0, 1, 0))
    assert looked_up(counts) == {("a", "b", "c"): (2, 3), ("a", "b", "a"): (1, 3)}


def test_rare_clicks_after_a_page_are_left_out_on_request() -> None:
    counts = count((0, 1, 2), (0, 1, 2), (0, 1, 0), least_after=2)
    assert looked_up(counts) == {("a", "b", "c"): (2, 2)}
    assert on_links(counts) == {("a", "b"): 3, ("b", "c"): 2, ("b", "a"): 1}


def test_nothing_is_found_where_there_is_no_previous_page_or_no_link() -> None:
    counts = count((0, 1, 2))
    clicks, totals = counts.after_page(np.array([[-1], [0]]), np.array([[1], [1]]), np.array([[3, -1], [3, -1]]))
    assert clicks.tolist() == [[0, 0], [1, 0]] and totals.tolist() == [[0], [1]]
    assert not ClickCounts.none(graph()).after_page(np.array([0]), np.array([1]), np.array([3]))[0].any()


def test_a_click_that_is_no_link_is_an_error() -> None:
    with pytest.raises(TraceError, match="not a link"):
        count((0, 3))


def test_hidden_topics_and_pages_that_link_to_them_leave_no_trace() -> None:
    """a is hidden and b links to it; c and d have nothing to do with a."""
    counts = count((3, 2, 1), (0, 2, 1), (1, 2, 1), (0, 1, 2)).without(np.array([True, False, False, False]))
    assert on_links(counts) == {("d", "c"): 1, ("c", "b"): 3}
    assert looked_up(counts) == {("d", "c", "b"): (1, 1), ("b", "c", "b"): (1, 1)}
    nothing_hidden = count((0, 1, 2)).without(np.zeros(4, dtype=bool))
    assert looked_up(nothing_hidden) == looked_up(count((0, 1, 2)))


def test_pages_that_link_to_topics_without_counts_have_none() -> None:
    """On this graph c also links to x, of which nobody knows how often it was clicked."""
    other = TopicGraph.from_links("abcdx", *zip(*LINKS, (2, 4), strict=True))
    moved = ClickCounts.from_tensors(count((3, 2, 1), (0, 1, 2)).to_tensors(), other)
    assert on_links(moved) == {("d", "c"): 1, ("a", "b"): 1, ("b", "c"): 1}


def test_counts_go_by_title_to_another_graph() -> None:
    """There a is missing, x is new, the others have other numbers, and b does not link to c."""
    other = TopicGraph.from_links(["x", "d", "c", "b"], [2, 1, 1, 3, 0], [3, 2, 3, 1, 2])
    tensors = count((2, 1, 0), (3, 2, 1), (3, 2, 1), (1, 2, 1), (0, 1, 2)).to_tensors()
    moved = ClickCounts.from_tensors(tensors, other)
    assert on_links(moved) == {("d", "c"): 2, ("c", "b"): 4}
    assert looked_up(moved) == {("d", "c", "b"): (2, 2), ("b", "c", "b"): (1, 1)}


def test_counts_on_a_graph_of_strangers_are_zero() -> None:
    moved = ClickCounts.from_tensors(count((0, 1, 2)).to_tensors(), TopicGraph.from_links("xy", [0], [1]))
    assert not moved.links.any() and not looked_up(moved)


def test_saved_counts_go_up_to_255() -> None:
    tensors = count(*[(0, 1, 2)] * 300).to_tensors()
    moved = ClickCounts.from_tensors(tensors, graph())
    assert on_links(moved) == {("a", "b"): 255, ("b", "c"): 255}
    assert looked_up(moved) == {("a", "b", "c"): (255, 255)}


def test_topics_beyond_65535_keep_their_numbers() -> None:
    titles = [f"{i:05d}" for i in range(70_000)]
    large = TopicGraph.from_links(titles, [69_998, 69_999], [69_999, 0])
    counts = ClickCounts.of(large, table(large, ((69_998, 69_999, 0),)))
    again = ClickCounts.from_tensors(counts.to_tensors(), large)
    assert again.links.tolist() == [1, 1] and again.keys.tolist() == counts.keys.tolist()


def walks(rng: np.random.Generator, graph: TopicGraph, n: int) -> tuple[tuple[int, ...], ...]:
    """Random walks of up to six clicks."""
    made = []
    for _ in range(n):
        steps = [int(rng.integers(len(graph)))]
        while len(steps) < 7 and len(out := graph.out(steps[-1])):
            steps.append(int(rng.choice(out)))
        made.append(tuple(steps))
    return tuple(made)


def random_counts(seed: int) -> tuple[np.random.Generator, TopicGraph, ClickTable]:
    rng = np.random.default_rng(seed)
    made = TopicGraph.from_links([f"topic {i}" for i in range(7)], *rng.integers(0, 7, (2, 20)))
    return rng, made, table(made, walks(rng, made, 15))


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_there_and_back_on_renumbered_topics(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng, first, clicks = random_counts(seed)
    counts = ClickCounts.of(first, clicks)
    order: NDArray[np.int64] = rng.permutation(7)  # the new number of each topic
    sources, targets = first.links()
    titles = [first.titles[topic] for topic in np.argsort(order)]
    second = TopicGraph.from_links(titles, order[sources], order[targets])
    path: Path = tmp_path_factory.getbasetemp() / "counts.safetensors"
    save_file(counts.to_tensors(), path)
    moved = ClickCounts.from_tensors(dict(load_file(path)), second)
    assert on_links(moved) == on_links(counts) and looked_up(moved) == looked_up(counts)
    back = ClickCounts.from_tensors(moved.to_tensors(), first)
    for name in ("links", "keys", "after", "contexts", "totals"):
        assert np.array_equal(getattr(back, name), getattr(counts, name)), name


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_parts_add_up_to_the_whole(seed: int) -> None:
    rng, made, clicks = random_counts(seed)
    fold = rng.integers(0, 3, len(clicks))
    whole = ClickCounts.of(made, clicks)
    parts = [ClickCounts.of(made, clicks.take(fold == one)) for one in range(3)]
    assert np.array_equal(sum(part.links for part in parts), whole.links)
    previous, page = np.arange(7)[:, None], made.links()[0][None]
    link = np.broadcast_to(np.arange(made.n_links), (7, made.n_links))
    found = [part.after_page(previous, page, link) for part in parts]
    for one, total in enumerate(whole.after_page(previous, page, link)):
        assert np.array_equal(sum(part[one] for part in found), total)
