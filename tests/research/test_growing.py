"""A curriculum on a corpus that grows: it goes on with what has arrived, and a record is enough to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import CurriculumConfig
from kgrl.curriculum.view import View
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.exam import Exam
from kgrl.graph.topic_graph import IntArray
from kgrl.learners import Learned, ScratchLearner
from kgrl.learners.plugins import Isolation
from kgrl.research import Arrival, Library
from kgrl.research.growing import GrowingCurriculum, Recorded, first_corpus
from kgrl.retrieval import INDEXED_PER_TOPIC
from kgrl.runs import Run
from tests.support.fake_learner import FakeLearner

_FIRST = 6
_CONFIG = CurriculumConfig(
    budget_tokens=3_000, expansion_tokens=150, neighbourhood=3, nucleus=("Number",), probe_topics=4
)


def arrivals_of(corpus: Corpus, embeddings: NDArray[np.float32]) -> dict[str, Arrival]:
    """Every topic of a corpus as it would arrive."""
    found = {}
    for topic, title in enumerate(corpus.graph.titles):
        ids = np.flatnonzero(corpus.topics == topic)
        embedded = len(corpus.ids_of(topic, Split.TRAIN)[:INDEXED_PER_TOPIC])
        found[title] = Arrival(
            title=title,
            category=corpus.graph.categories[topic],
            links=tuple(corpus.graph.titles[t] for t in corpus.graph.out(topic)),
            aliases=(),
            texts=tuple(corpus.texts[i] for i in ids),
            splits=tuple(corpus.splits[ids].tolist()),
            vectors=np.repeat(embeddings[topic][None], embedded, axis=0),
            fetched=1.0 + topic,
        )
    return found


class FakeSupply:
    """Brings a few of the wanted titles at every look."""

    def __init__(self, arrivals: dict[str, Arrival], at_once: int = 3, hopeless: Collection[str] = ()) -> None:
        self.arrivals, self.at_once, self._hopeless = dict(arrivals), at_once, hopeless
        self.wanted: list[list[str]] = []

    def want(self, titles: Sequence[str]) -> None:
        self.wanted.append(list(titles))

    def take(self, library: Library, index: int) -> int:
        ready = [t for t in (self.wanted[-1] if self.wanted else []) if t in self.arrivals and t not in library.numbers]
        library.add(self.arrivals[title] for title in ready[: self.at_once])
        return len(library)

    def hopeless(self) -> Collection[str]:
        return self._hopeless

    def busy(self) -> bool:
        return any(t in self.arrivals for t in (self.wanted[-1] if self.wanted else []))


class QuickSupply(FakeSupply):
    """Whose workers have always finished when it is asked whether they are busy: right after arrivals were taken."""

    def __init__(self, arrivals: dict[str, Arrival]) -> None:
        super().__init__(arrivals)
        self.ready: list[str] = []

    def take(self, library: Library, index: int) -> int:
        library.add(self.arrivals[title] for title in self.ready if title not in library.numbers)
        self.ready = []
        return len(library)

    def busy(self) -> bool:
        self.ready = [title for title in (self.wanted[-1] if self.wanted else []) if title in self.arrivals]
        return False


@pytest.fixture
def arrivals(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> dict[str, Arrival]:
    return arrivals_of(tiny_corpus, fake_embeddings)


MakeGrowing = Callable[..., GrowingCurriculum]


@pytest.fixture
def make_growing(arrivals: dict[str, Arrival], tmp_path: Path) -> MakeGrowing:
    def make(
        name: str = "pages.jsonl", supply: Any = None, first: int | None = None, **settings: Any
    ) -> GrowingCurriculum:
        library = Library(tmp_path / name)
        supply = FakeSupply(arrivals) if supply is None else supply
        corpus = library.corpus(first) if first else first_corpus(library, supply, _CONFIG.nucleus, _FIRST)
        learner = ScratchLearner(corpus, width=16, heads=2, vocabulary=300, layers=1)
        config = replace(_CONFIG, **settings)
        return GrowingCurriculum(corpus, learner, library, supply, "mean-prediction-gain", config)

    return make


def test_the_corpus_grows_and_what_has_a_number_keeps_it(make_growing: MakeGrowing) -> None:
    curriculum = make_growing()
    before = curriculum.corpus
    steps = list(curriculum.run(make_agent("closure")))
    after = curriculum.corpus
    assert len(after.graph) > len(before.graph)
    assert after.graph.titles[: len(before.graph)] == before.graph.titles
    assert list(after.texts[: len(before)]) == list(before.texts)
    assert np.array_equal(after.splits[: len(before)], before.splits)
    arrived = [step.arrived for step in steps]
    assert arrived == sorted(arrived) and arrived[0] == len(before.graph) and arrived[-1] == len(after.graph)
    assert any(topic >= len(before.graph) for step in steps for topic in step.neighbourhood)
    assert all(step.data_age > 1e9 for step in steps)  # the pages say that they were fetched in 1970


def test_what_arrives_between_two_looks_is_waited_for(arrivals: dict[str, Arrival], make_growing: MakeGrowing) -> None:
    curriculum = make_growing(supply=QuickSupply(arrivals))
    assert len(curriculum.corpus.graph) >= _FIRST
    steps = list(curriculum.run(make_agent("closure")))
    assert (steps[-1].arrived or 0) > _FIRST and steps[-1].tokens_total == _CONFIG.budget_tokens


@pytest.mark.parametrize("agent", ["closure", "random", "greedy-loss", "curiosity"])
def test_a_record_is_enough_to_repeat_a_run(make_growing: MakeGrowing, agent: str) -> None:
    steps = list(make_growing().run(make_agent(agent)))
    again = make_growing(supply=Recorded(steps), first=steps[0].arrived)
    assert list(again.run(make_agent(agent))) == steps


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(make_growing: MakeGrowing, tmp_path: Path) -> None:
    whole = make_growing()
    exam = Exam(whole.corpus, size=8)
    expected = Run(tmp_path / "whole", whole, make_agent("closure"), exam, {}).carry_out()

    class StopError(Exception):
        pass

    def stop(expansion: object, loss: object) -> None:
        if getattr(expansion, "index", 0) == 4:
            raise StopError

    recorded = Recorded(expected.expansions)
    first = expected.expansions[0].arrived
    folder = tmp_path / "parts"
    with pytest.raises(StopError):
        Run(folder, make_growing(supply=recorded, first=first), make_agent("closure"), exam, {}).carry_out(stop)
    again = Run(folder, make_growing(supply=recorded, first=first), make_agent("closure"), exam, {}).carry_out()
    assert again.expansions == expected.expansions
    assert again.curve == expected.curve


def test_pages_that_likely_choices_link_to_are_wanted_first(
    arrivals: dict[str, Arrival], make_growing: MakeGrowing
) -> None:
    supply = FakeSupply(arrivals, at_once=1)
    curriculum = make_growing(supply=supply)

    class Sure:
        frontier_only = True

        def __init__(self, topic: int) -> None:
            self.topic = topic

        def preferences(self, view: View) -> tuple[IntArray, NDArray[np.float64]]:
            return np.array([self.topic], dtype=np.int32), np.ones(1)

    curriculum.start()
    curriculum.expand(int(curriculum.view.candidates[0]))
    for likely in curriculum.view.candidates.tolist():
        wanted = curriculum.wanted(Sure(likely))  # type: ignore[arg-type]
        other = curriculum.wanted(make_agent("random"))
        links = [t for t in curriculum.library.links[likely] if t not in curriculum.library.numbers]
        assert set(links) <= set(wanted)
        assert all(wanted.index(title) <= other.index(title) for title in links)
    assert not set(wanted) & set(curriculum.library.numbers)


def test_no_more_is_wanted_than_is_read(arrivals: dict[str, Arrival], make_growing: MakeGrowing) -> None:
    supply = FakeSupply(arrivals, at_once=40)
    curriculum = make_growing(supply=supply)
    curriculum.ahead = 8
    for step in curriculum.run(make_agent("closure")):
        if step.index:
            assert len(supply.wanted[-1]) <= 8
            spare = len(curriculum.library) - curriculum.state.standing.n_read
            assert spare <= max(8, _FIRST) + 40  # what the nucleus waited for, and one look at what is there


KNOWING: dict[str, Any] = {"mastery": "gap:0.2", "most_readings": 0}
"""Some of the topics that are read are solid in the end."""


class Fading(FakeLearner):
    """Forgets half of what it read about every topic at each lesson, and can continue with a larger corpus."""

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        self.read /= 2
        return super().learn(passages, token_budget)

    def extend(self, corpus: Corpus) -> None:
        self.read = np.pad(self.read, (0, len(corpus.graph) - len(self.read)))

    def restore(self, snapshot: NDArray[np.float64]) -> None:
        super().restore(np.pad(snapshot, (0, len(self.read) - len(snapshot))))


@pytest.mark.parametrize("agent", ["closure", "nucleated", "iid", "spaced"])
def test_a_run_that_has_to_know_grows_and_its_record_repeats_it(make_growing: MakeGrowing, agent: str) -> None:
    whole = make_growing(**KNOWING)
    steps = list(whole.run(make_agent(agent)))
    assert (steps[-1].arrived or 0) > _FIRST and steps[-1].tokens_total == _CONFIG.budget_tokens
    assert 0 < len(whole.state.frontier.solid) < whole.state.standing.n_read
    again = make_growing(supply=Recorded(steps), first=steps[0].arrived, **KNOWING)
    assert list(again.run(make_agent(agent))) == steps
    assert np.array_equal(again.state.knowledge.gap, whole.state.knowledge.gap, equal_nan=True)


def test_the_frontier_of_a_growing_graph_is_what_is_linked_with_solid_topics(
    arrivals: dict[str, Arrival], tmp_path: Path
) -> None:
    """Forgotten topics return to it, and the nucleus is on it as long as it is not solid."""
    library, supply = Library(tmp_path / "pages.jsonl"), FakeSupply(arrivals)
    corpus = first_corpus(library, supply, _CONFIG.nucleus, _FIRST)
    config = replace(_CONFIG, mastery="gap:1.2", most_readings=0)
    curriculum = GrowingCurriculum(corpus, Fading(corpus), library, supply, None, config)
    nucleus, sizes, faded = set(curriculum.nucleus.tolist()), set[int](), set[int]()
    for _ in curriculum.run(make_agent("random")):
        standing, graph = curriculum.state.standing, curriculum.corpus.graph
        solid = set(standing.frontier.solid.tolist())
        near = {int(t) for topic in solid for t in graph.neighbours(topic)} | nucleus
        assert set(standing.frontier.topics.tolist()) == near - solid
        faded |= set(np.flatnonzero(standing.was_solid).tolist()) & set(standing.frontier.topics.tolist())
        sizes.add(len(graph))
    assert len(sizes) > 1 and len(faded) > 3


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_run_that_has_to_know_goes_on(make_growing: MakeGrowing, tmp_path: Path, after: int) -> None:
    """Also within a nucleus of several lessons, and right after it."""
    settings = {**KNOWING, "nucleus_share": 0.1}
    whole = make_growing(**settings)
    exam = Exam(whole.corpus, size=8)
    expected = Run(tmp_path / "whole", whole, make_agent("nucleated"), exam, {}).carry_out()
    assert [step.topic for step in expected.expansions[:2]] == whole.nucleus.tolist() * 2

    def part() -> Run:
        recorded = Recorded(expected.expansions)
        curriculum = make_growing(supply=recorded, first=expected.expansions[0].arrived, **settings)
        return Run(tmp_path / "parts", curriculum, make_agent("nucleated"), exam, {})

    class StopError(Exception):
        pass

    def stop(expansion: object, loss: object) -> None:
        if getattr(expansion, "index", 0) == after:
            raise StopError

    with pytest.raises(StopError):
        part().carry_out(stop)
    again = part().carry_out()
    assert again.expansions == expected.expansions and again.curve == expected.curve


def test_a_short_frontier_asks_for_more_if_solid_topics_link_to_it(
    arrivals: dict[str, Arrival], make_growing: MakeGrowing
) -> None:
    """Though there is stock enough; once they are forgotten, no more."""
    curriculum = make_growing(**KNOWING)
    curriculum.ahead, agent = 0, make_agent("random")
    curriculum.start()
    frontier = curriculum.state.frontier
    for topic in frontier.solid.tolist():
        frontier.forget(topic)
    assert not curriculum.wanted(agent)
    for topic in range(_FIRST):
        frontier.solidify(topic)
    assert len(curriculum.wanted(agent)) == curriculum.config.neighbourhood


def test_while_nothing_is_solid_the_stock_is_filled_and_no_more(
    arrivals: dict[str, Arrival], make_growing: MakeGrowing
) -> None:
    """More pages would not make the frontier larger, which is the nucleus alone."""
    curriculum = make_growing(mastery="gap:99", most_readings=0)
    curriculum.ahead = 10
    steps = list(curriculum.run(make_agent("random")))
    assert steps[-1].tokens_total == _CONFIG.budget_tokens and not len(curriculum.state.frontier.solid)
    assert {step.topic for step in steps} == set(curriculum.nucleus.tolist())
    assert len(curriculum.library) - curriculum.state.standing.n_read <= 10 + 3 < len(arrivals) - 10


def test_an_agent_with_something_to_read_does_not_wait_for_the_frontier(make_growing: MakeGrowing) -> None:
    class Busy(FakeSupply):
        def take(self, library: Library, index: int) -> int:
            return len(library)

        def busy(self) -> bool:
            pytest.fail("the curriculum waits")

    curriculum = make_growing()
    curriculum.supply = Busy({})
    curriculum.start()
    for topic in range(len(curriculum.corpus.graph)):
        curriculum.state.frontier.solidify(topic)
    assert curriculum.state.exhausted
    curriculum.prepare(make_agent("iid"))


def test_what_is_hopeless_is_not_wanted(arrivals: dict[str, Arrival], make_growing: MakeGrowing) -> None:
    hopeless = sorted(arrivals)[:20]
    supply = FakeSupply(arrivals, hopeless=[t for t in hopeless if t != "Number"])
    list(make_growing(supply=supply).run(make_agent("closure")))
    assert not {title for titles in supply.wanted for title in titles} & set(hopeless) - {"Number"}


def test_a_nucleus_that_is_not_to_be_had_is_named(arrivals: dict[str, Arrival], tmp_path: Path) -> None:
    library = Library(tmp_path / "pages.jsonl")
    with pytest.raises(KgrlError, match="'Nmber' will not arrive"):
        first_corpus(library, FakeSupply(arrivals, hopeless=["Nmber"]), ["Nmber"], 4)
    with pytest.raises(KgrlError, match=r"nothing has arrived for 0 s.*worker"):
        first_corpus(library, FakeSupply(arrivals), ["Elsewhere"], 4, patience=0.2)


def test_learners_that_cannot_grow_are_refused(
    arrivals: dict[str, Arrival], tmp_path: Path, make_tiny_curriculum: Callable[..., Any]
) -> None:
    library = Library(tmp_path / "pages.jsonl")
    supply = FakeSupply(arrivals)
    corpus = first_corpus(library, supply, ["Number"], _FIRST)
    with pytest.raises(SettingError, match="learner cannot continue"):
        GrowingCurriculum(corpus, make_tiny_curriculum().learner, library, supply)
    learner = ScratchLearner(
        corpus,
        width=16,
        heads=2,
        vocabulary=300,
        layers=1,
        plugins=[Isolation(np.eye(len(corpus.graph), dtype=np.float32))],
    )
    with pytest.raises(SettingError, match="isolation"):
        learner.extend(corpus)


def test_a_cut_line_is_dropped_and_a_spoilt_one_is_named(arrivals: dict[str, Arrival], tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    Library(path).add(list(arrivals.values())[:3])
    whole = path.read_bytes()
    path.write_bytes(whole + list(arrivals.values())[3].to_json().encode()[:200])
    assert len(Library(path)) == 3
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"texts"', b'"tests"', 1))
    with pytest.raises(DataError, match=r"pages.jsonl:1: not an arrival .* delete the file from line 1 on"):
        Library(path)


def test_a_title_arrives_once(arrivals: dict[str, Arrival], tmp_path: Path) -> None:
    library = Library(tmp_path / "pages.jsonl")
    library.add([arrivals["Number"]])
    with pytest.raises(ValueError, match="'Number' has arrived already"):
        library.add([arrivals["Number"]])


@given(order=st.permutations(range(12)))
def test_in_whatever_order_topics_arrive_the_links_are_those_among_them(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    links = {n: {(3 * n + 1) % 12, (5 * n + 2) % 12, (n + 1) % 12} - {n} for n in range(12)}
    library = Library(tmp_path_factory.mktemp("library") / "pages.jsonl")
    one = np.ones((1, 2), dtype=np.float32)
    for n in order:
        targets = tuple(f"alias {t}" if t % 3 == 0 else f"t{t}" for t in links[n])
        library.add([Arrival(f"t{n}", "", targets, (f"alias {n}",), (f"text {n}",), (0,), one, 0.0)])
    for count in range(1, 13):
        graph = library.corpus(count).graph
        present = order[:count]
        found = {(graph.titles[s], graph.titles[t]) for s in range(count) for t in graph.out(s)}
        assert found == {(f"t{s}", f"t{t}") for s in present for t in links[s] if t in present}


@pytest.mark.parametrize("joint", [True, False])
def test_a_first_corpus_joins_its_nucleus_if_it_can(joint: bool, tmp_path: Path) -> None:
    """Topics in between arrive late; of a nucleus that nothing joins four times the topics are waited for."""
    links = {f"Left {i}": [f"Left {i + 1}"] for i in range(30)} | {f"Right {i}": [f"Right {i + 1}"] for i in range(30)}
    links["Left 4"].append("Right 1" if joint else "Left 3")
    arrivals = {
        title: Arrival(
            title=title,
            category="",
            links=tuple(linked),
            aliases=(),
            texts=(f"{title} is a place.",),
            splits=(int(Split.TRAIN),),
            vectors=np.eye(1, 4, dtype=np.float32),
            fetched=1.0,
        )
        for title, linked in links.items()
    }
    library = Library(tmp_path / "pages.jsonl")
    corpus = first_corpus(library, FakeSupply(arrivals, at_once=1), ["Left 0", "Right 0"], 6)
    graph = corpus.graph
    if joint:
        assert {"Left 4", "Right 1"} <= set(graph.titles) and 6 < len(graph) < 24
    else:
        assert len(graph) == 24
