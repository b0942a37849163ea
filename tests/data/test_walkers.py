"""Generated rabbit holes: what the knob does, what the model reads, and that walks are walks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.data.traces.walkers import EmbeddingWalker, ModelWalker, Walker, WalkSource
from kgrl.errors import SettingError
from kgrl.graph import TopicGraph
from kgrl.testing import TraceSourceContract
from kgrl.traces import BACK
from kgrl.traces.source import TraceSource

KNOB = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def graph() -> TopicGraph:
    """Two hundred topics with twelve links each, anywhere."""
    rng = np.random.default_rng(3)
    return TopicGraph.from_links(
        [f"t{i}" for i in range(200)], np.repeat(np.arange(200), 12), rng.integers(200, size=2400)
    )


@pytest.fixture(scope="module")
def embeddings(graph: TopicGraph) -> NDArray[np.float32]:
    rows = np.random.default_rng(4).normal(size=(len(graph), 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mean_distance(walker: EmbeddingWalker) -> float:
    """Mean cosine distance between a page and the link clicked on it."""
    clicks = [click for trace in WalkSource(walker, 40, 20) for click in trace.clicks()]
    ends = np.array([(click.stack[-1], click.chosen) for click in clicks])
    return float(1 - (walker.embeddings[ends[:, 0]] * walker.embeddings[ends[:, 1]]).sum(1).mean())


def return_rate(walker: Walker) -> float:
    """Share of steps that are back clicks."""
    steps = [step for trace in WalkSource(walker, 40, 20) for step in trace.steps[1:]]
    return float(np.mean(np.array(steps) == BACK))


class TestEmbeddingWalks(TraceSourceContract):
    @pytest.fixture(params=[0.0, 0.5, 1.0])
    def source(self, request: pytest.FixtureRequest, graph: TopicGraph, embeddings: NDArray[np.float32]) -> TraceSource:
        return WalkSource(EmbeddingWalker(graph, embeddings, request.param), 15, 30, seed=1)


class TestModelWalks(TraceSourceContract):
    @pytest.fixture
    def source(self, tiny_corpus: Corpus) -> TraceSource:
        return WalkSource(ModelWalker(tiny_corpus, by_length), 5, 12)


def by_length(context: str, titles: Sequence[str]) -> NDArray[np.float64]:
    """A scorer that likes short titles."""
    return -np.array([len(title) for title in titles], dtype=np.float64)


def test_the_knob_goes_from_near_to_far_and_from_returning_to_not(
    graph: TopicGraph, embeddings: NDArray[np.float32]
) -> None:
    walkers = [EmbeddingWalker(graph, embeddings, curiosity) for curiosity in KNOB]
    distances, returns = [mean_distance(w) for w in walkers], [return_rate(w) for w in walkers]
    assert np.all(np.diff(distances) > 0) and distances[-1] > distances[0] + 0.5
    assert np.all(np.diff(returns) < 0)


def test_in_the_middle_of_the_knob_likeness_does_not_count(graph: TopicGraph) -> None:
    """Embeddings of every kind give the same walk."""
    rng = np.random.default_rng(0)
    sources = [WalkSource(EmbeddingWalker(graph, rng.normal(size=(200, 4)), 0.5), 5, 20) for _ in range(2)]
    assert list(sources[0]) == list(sources[1])


def test_a_hunter_stays_near_all_it_has_opened() -> None:
    """Two links are as near to the current page; it takes the one that is like the page before."""
    graph = TopicGraph.from_links(["a", "b", "like a", "unlike a"], [0, 1, 1], [1, 2, 3])
    embeddings = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0, 0.6], [-0.8, 0, 0.6]])
    walks = [t for t in WalkSource(EmbeddingWalker(graph, embeddings, 0.1), 300, 3) if t.steps[:2] == (0, 1)]
    thirds = [t.steps[2] for t in walks if len(t.steps) > 2]
    assert thirds.count(2) > 5 * thirds.count(3) > 0


def test_seeds_make_the_draws_and_the_starts_are_the_same_for_every_walker(
    graph: TopicGraph, embeddings: NDArray[np.float32]
) -> None:
    hunter, busybody = (EmbeddingWalker(graph, embeddings, curiosity) for curiosity in (0, 1))
    walks = list(WalkSource(hunter, 10, 20, seed=1))
    assert walks != list(WalkSource(hunter, 10, 20, seed=2))
    assert walks[:4] == list(WalkSource(hunter, 4, 20, seed=1))
    assert [t.steps[0] for t in walks] == [t.steps[0] for t in WalkSource(busybody, 10, 20, seed=1)]


@given(
    links=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30),
    curiosity=st.floats(0, 1),
    length=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_walks_on_any_graph_open_no_page_twice_and_end_early_only_where_nothing_new_is_left(
    links: list[tuple[int, int]], curiosity: float, length: int, seed: int
) -> None:
    graph = TopicGraph.from_links("abcdefgh", [a for a, _ in links], [b for _, b in links])
    rng = np.random.default_rng(seed)
    trace = EmbeddingWalker(graph, rng.normal(size=(8, 3)), curiosity).walk(0, length, rng)
    trace.check(graph)
    opened = [step for step in trace.steps if step != BACK]
    assert len(set(opened)) == len(opened) and len(trace.steps) <= length
    if len(trace.steps) < length:
        assert trace.pages()[-1] == 0 and set(graph.out(0).tolist()) <= set(opened)


def test_a_model_reads_the_lead_and_the_latest_titles(tiny_corpus: Corpus) -> None:
    walker = ModelWalker(tiny_corpus, by_length, memory=3)
    titles = tiny_corpus.graph.titles
    context = walker.context(5, [1, 2, 3, 5, 4])
    assert context.startswith(tiny_corpus.of(5, Split.TRAIN).texts[0])
    assert context.endswith(f"- {titles[3]}\n- {titles[4]}\n- {titles[5]}\n- ")
    assert f"- {titles[2]}" not in context


def test_a_cold_model_takes_the_likeliest_title_and_a_hot_one_any(tiny_corpus: Corpus) -> None:
    def share_of_best(temperature: float) -> float:
        hits = []
        for trace in WalkSource(ModelWalker(tiny_corpus, by_length, temperature), 30, 8):
            for click in trace.clicks():
                new = set(tiny_corpus.graph.out(click.stack[-1]).tolist()) - set(click.seen)
                lengths = {topic: len(tiny_corpus.graph.titles[topic]) for topic in new}
                hits.append(lengths[click.chosen] == min(lengths.values()))
        return float(np.mean(hits))

    assert share_of_best(0.01) == 1
    assert share_of_best(100) < 0.8


def test_settings_out_of_range_are_refused(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    graph = tiny_corpus.graph
    for curiosity in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingError, match="curiosity"):
            EmbeddingWalker(graph, fake_embeddings, curiosity)
    with pytest.raises(SettingError, match="embeddings"):
        EmbeddingWalker(graph, fake_embeddings[1:], 0)
    for options in ({"temperature": 0.0}, {"memory": 0}):
        with pytest.raises(SettingError, match="temperature"):
            ModelWalker(tiny_corpus, by_length, **options)
    with pytest.raises(SettingError, match="step"):
        WalkSource(EmbeddingWalker(graph, fake_embeddings, 0), 1, 0)
    with pytest.raises(SettingError, match="no topic of the graph has a link"):
        WalkSource(EmbeddingWalker(TopicGraph.from_links(["a"], [], []), fake_embeddings[:1], 0), 1, 1)
