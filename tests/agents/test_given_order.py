"""The agent `order:FILE`: it follows the titles of a file, and names those that are unknown."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents import Agent, make_agent
from kgrl.agents.base import agent_name
from kgrl.agents.baselines.orders import GivenOrder, check_order
from kgrl.benchmark.folder import described
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum
from kgrl.curriculum.view import View
from kgrl.errors import DataError, MissingDataError
from kgrl.expansion import Expansion
from kgrl.graph import Frontier
from kgrl.testing import AgentContract
from kgrl.testing.samples import sample_corpus, sample_curriculum
from tests.support.views import make_view

Make = Callable[..., Curriculum]


def order(folder: Path, *titles: str) -> str:
    (folder / "syllabus.txt").write_text("".join(f"{title}\n" for title in titles), encoding="utf-8")
    return f"order:{folder / 'syllabus.txt'}"


class TestContract(AgentContract):
    @pytest.fixture
    def agent(self, tmp_path: Path) -> Agent:
        return make_agent(order(tmp_path, *reversed(sample_corpus().graph.titles)))


class TestContractOfFewTitles(AgentContract):
    """The curriculum has more to learn when the file is at its end."""

    @pytest.fixture
    def agent(self, tmp_path: Path) -> Agent:
        return make_agent(order(tmp_path, "Rain", "Proof"))


def test_it_follows_the_lines_off_the_frontier_and_then_ends(tmp_path: Path) -> None:
    curriculum = sample_curriculum()
    titles = ["Rain", "Logic", "Proof", "Snow"]
    steps = list(curriculum.run(make_agent(order(tmp_path, *titles))))
    learned: set[str] = set()
    for step in steps[1:]:
        waiting = [title for title in titles if title not in learned and title != "Logic"]  # the nucleus
        assert step.title == waiting[0]
        learned |= {curriculum.corpus.graph.titles[topic] for topic in step.neighbourhood}
    assert learned >= {"Rain", "Proof", "Snow"} and not curriculum.state.exhausted
    assert not curriculum.state.out_of_budget


def step_on(topic: int) -> Expansion:
    return Expansion(1, topic, str(topic), (topic,), (), 9, 9, 100, 1.0)


def lines(view: View, tmp_path: Path, *topics: int) -> GivenOrder:
    agent = make_agent(order(tmp_path, *(str(topic) for topic in topics)))
    assert isinstance(agent, GivenOrder)
    agent.reset(view)
    return agent


def test_what_is_not_known_comes_again_after_the_last_line(tmp_path: Path) -> None:
    """Where topics have to be known, a lesson need not make its topic solid."""
    view = make_view([(0, 1), (1, 2), (2, 3)], [])
    agent, picked = lines(view, tmp_path, 3, 1, 2), list[int]()
    for solid in ([], [], [1], [1], [1, 3], [1, 3]):
        now = dataclasses.replace(view, frontier=Frontier(view.graph, solid))
        picked.append(agent.choose(now))
        agent.observe(step_on(picked[-1]))
    assert picked == [3, 1, 2, 3, 2, 2]
    assert agent.finished(dataclasses.replace(view, frontier=Frontier(view.graph, [1, 2, 3])))


def test_a_title_may_come_twice_and_one_that_cannot_be_picked_is_passed_over(tmp_path: Path) -> None:
    trainable = np.array([True, False, True, True])
    view = dataclasses.replace(make_view([(0, 1), (1, 2), (2, 3)], []), trainable=trainable)
    agent, picked = lines(view, tmp_path, 2, 1, 3, 2, 0), list[int]()
    for _ in range(6):
        picked.append(agent.choose(view))
        agent.observe(step_on(picked[-1]))
    assert picked == [2, 3, 2, 0, 2, 3]


@given(st.integers(1, 7), st.integers(0, 2**16))
def test_it_goes_on_from_records_alone(tmp_path_factory: pytest.TempPathFactory, half: int, seed: int) -> None:
    folder = tmp_path_factory.mktemp("order")
    titles = np.random.default_rng(seed).permutation(np.array(sample_corpus().graph.titles)).tolist()
    view = make_view([(i, i + 1) for i in range(11)], [])
    one, other = (lines(view, folder, *np.random.default_rng(seed).permutation(12).tolist()) for _ in range(2))
    assert len(titles) == 12
    for _ in range(half):
        topic = one.choose(view)
        one.observe(step_on(topic))
        other.observe(step_on(topic))
    assert one.choose(view) == other.choose(view)


def test_a_resumed_curriculum_follows_it_further(make_tiny_curriculum: Make, tmp_path: Path) -> None:
    make = lambda: make_tiny_curriculum(None, neighbourhood=1)  # noqa: E731
    whole = make()
    name = order(tmp_path, *whole.corpus.graph.titles[::-1][:12])
    steps = list(whole.run(make_agent(name)))
    resumed, agent = make(), make_agent(name)
    resumed.resume(steps[:5], agent)
    for step in steps[1:5]:
        resumed.learner.learn(resumed.corpus.select(np.array(step.passages)), 10**6)
    rest = [step.title for step in resumed.run(agent, resume=True)]
    assert rest == [step.title for step in steps[5:]] and len(rest) > 3


def test_unknown_titles_are_named_by_line_with_the_nearest(tmp_path: Path, tiny_corpus: Corpus) -> None:
    first, second = tiny_corpus.graph.titles[:2]
    name = order(tmp_path, first, "", f"{first}x", second, "0123456789" * 40, f"{second}y")
    with pytest.raises(DataError) as caught:
        check_order(make_agent(name), tiny_corpus)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'syllabus.txt'}:3: '{first}x' is not a topic; the nearest is {first!r}")
    assert ". line 5: '0123" in told and f". line 6: '{second}y' is not a topic; the nearest is {second!r}" in told
    many = order(tmp_path, *(f"{n} {n}" for n in range(100)))
    with pytest.raises(DataError, match=r"syllabus\.txt:1: .*line 10: '9 9'.*\. and more$"):
        check_order(make_agent(many), tiny_corpus)


def test_files_that_are_no_orders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"none\.txt is no file; an order is a text file"):
        make_agent(f"order:{tmp_path / 'none.txt'}")
    with pytest.raises(MissingDataError):
        make_agent("order:")
    with pytest.raises(DataError, match="it holds no title"):
        make_agent(order(tmp_path, "", "  "))
    (tmp_path / "syllabus.txt").write_bytes(b"Logic\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"syllabus\.txt:2: invalid UTF-8"):
        make_agent(f"order:{tmp_path / 'syllabus.txt'}")


def test_titles_are_read_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "windows.txt"
    file.write_bytes(b"\xef\xbb\xbfRain \r\n\r\n  Snow\r\n")
    graph = sample_corpus().graph
    assert GivenOrder(file).topics(graph).tolist() == [graph.index("Rain"), graph.index("Snow")]


def test_titles_without_text_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = sample_corpus()
    kept = ~((corpus.topics == 6) & (corpus.splits == Split.TRAIN))
    texts = [text for text, keep in zip(corpus.texts, kept, strict=True) if keep]
    mute = Corpus("mute", corpus.graph, texts, corpus.topics[kept], corpus.splits[kept])
    agent = make_agent(order(tmp_path, "Logic", "River"))
    with caplog.at_level(logging.WARNING):
        check_order(agent, mute)
    assert "1 title without text, passed over: 'River'" in caplog.text


def test_its_content_is_what_results_compare(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, same = make_agent(order(tmp_path, "Logic", "Set")), make_agent(order(tmp_path / "other", "Logic", "Set"))
    assert described(one) == described(same) and repr(one) == repr(same)
    another = make_agent(order(tmp_path, "Set", "Logic"))
    assert described(one) != described(another) and repr(one) != repr(another)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: "/" not in name))
def test_labels_are_short_names_of_files(name: str) -> None:
    from urllib.parse import quote

    label = agent_name(f"order:courses/{name}")
    assert label.startswith("order:") and len(quote(label)) < 100
    assert not set(label) & set("/\\ \0\n\t,")
