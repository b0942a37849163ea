"""Curricula and episodes read as traces."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents import make_agent
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum
from kgrl.data.traces.run_traces import RunTraces, picks_to_traces
from kgrl.envs import CurriculumEnv
from kgrl.envs.recording import RecordTraces
from kgrl.errors import DataError, MissingDataError
from kgrl.expansion import Expansion
from kgrl.graph import TopicGraph
from kgrl.testing import TraceSourceContract
from kgrl.traces import BACK, Outcome, Trace
from kgrl.traces.source import TraceSource


def expansion(graph: TopicGraph, index: int, *neighbourhood: int) -> Expansion:
    return Expansion(index, neighbourhood[0], graph.titles[neighbourhood[0]], neighbourhood, (), 2, 2, 9, 1.0)


def steps(graph: TopicGraph, *neighbourhoods: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The steps of the traces of a curriculum with these neighbourhoods, the nucleus first."""
    records = [expansion(graph, index, *topics) for index, topics in enumerate(neighbourhoods)]
    return [trace.steps for trace in picks_to_traces(records, graph, "test")]


def letters(links: str) -> TopicGraph:
    """A graph of the topics a to f with links like `"ab bc"`."""
    pairs = [("abcdef".index(a), "abcdef".index(b)) for a, b in links.split()]
    return TopicGraph.from_links("abcdef", [a for a, _ in pairs], [b for _, b in pairs])


def test_a_chain_of_picks_is_one_trace_from_the_nucleus() -> None:
    assert steps(letters("ab bc cd"), (0,), (1,), (2,), (3,)) == [(0, 1, 2, 3)]


def test_a_pick_that_an_earlier_page_links_to_is_reached_by_back_clicks() -> None:
    assert steps(letters("ab bc cd ae"), (0,), (1,), (2,), (3,), (4,)) == [(0, 1, 2, 3, BACK, BACK, BACK, 4)]


def test_the_nearest_page_that_links_is_gone_back_to() -> None:
    assert steps(letters("ab bc ad bd"), (0,), (1,), (2,), (3,)) == [(0, 1, 2, BACK, 3)]


def test_a_pick_linked_from_elsewhere_begins_a_trace_on_the_topic_learned_last() -> None:
    """Topics c and d came along with b; both link to e, and neither is on the stack."""
    assert steps(letters("ab ce de"), (0,), (1, 2, 3), (4,)) == [(0, 1), (3, 4)]


def test_a_pick_that_links_back_only_is_nobody_s_click() -> None:
    graph = letters("ba bc da")
    assert steps(graph, (0,), (1,), (2,), (3,)) == [(1, 2)]


@given(
    links=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20),
    order=st.permutations(range(6)),
    together=st.integers(1, 3),
)
def test_any_curriculum_gives_walks_and_every_pick_is_clicked_at_most_once(
    links: list[tuple[int, int]], order: list[int], together: int
) -> None:
    graph = TopicGraph.from_links("abcdef", [a for a, _ in links], [b for _, b in links])
    records = [expansion(graph, i, *order[at : at + together]) for i, at in enumerate(range(0, 6, together))]
    clicked = []
    for trace in picks_to_traces(records, graph, "test"):
        trace.check(graph)
        clicked += [click.chosen for click in trace.clicks()]
    picks = [record.topic for record in records[1:]]
    assert clicked == [pick for pick in picks if pick in clicked]
    for i, pick in enumerate(picks, 1):
        learned = [t for record in records[:i] for t in record.neighbourhood]
        assert (pick in clicked) == bool((graph.positions(learned, [pick] * len(learned)) >= 0).any())


@pytest.fixture
def runs(tmp_path: Path, make_tiny_curriculum: Callable[..., Curriculum]) -> Path:
    """Two recorded runs, `runs/closure` and `runs/random`."""
    for name in ("closure", "random"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        records = make_tiny_curriculum().run(make_agent(name))
        (folder / "curriculum.jsonl").write_text("".join(e.to_json() + "\n" for e in records))
    return tmp_path / "runs"


class TestRuns(TraceSourceContract):
    @pytest.fixture
    def source(self, runs: Path, tiny_corpus: Corpus) -> TraceSource:
        return RunTraces(runs, tiny_corpus.graph)


def test_runs_are_told_apart_and_read_singly(runs: Path, tiny_corpus: Corpus) -> None:
    both = list(RunTraces(runs, tiny_corpus.graph))
    assert [t.source for t in both] == sorted(t.source for t in both)
    assert {t.source for t in both} == {"closure", "random"}
    assert list(RunTraces(runs / "random", tiny_corpus.graph)) == [t for t in both if t.source == "random"]


def test_a_line_being_written_is_left_out_and_bad_ones_are_counted(runs: Path, tiny_corpus: Corpus) -> None:
    shutil.rmtree(runs / "random")
    file = runs / "closure" / "curriculum.jsonl"
    lines = file.read_text().splitlines()
    whole = list(RunTraces(runs, tiny_corpus.graph))
    file.write_text("\n".join([*lines, lines[-1][:50]]))
    assert list(RunTraces(runs, tiny_corpus.graph)) == whole
    file.write_text("\n".join([*lines * 10, "{}", "[]", "nonsense", '{"index": 1}', ""]))
    source = RunTraces(runs, tiny_corpus.graph)
    list(source)
    assert source.tally.skipped == {"malformed row": 4} and source.tally.kept == 10 * len(lines)


def test_a_run_on_another_graph_is_an_error(runs: Path, tiny_corpus: Corpus) -> None:
    other = TopicGraph.from_links(["x", *tiny_corpus.graph.titles], [0], [1])
    with pytest.raises(DataError, match="unknown topic"):
        list(RunTraces(runs, other))


def test_a_folder_without_runs_is_named(tmp_path: Path, tiny_corpus: Corpus) -> None:
    with pytest.raises(MissingDataError, match=tmp_path.name):
        RunTraces(tmp_path, tiny_corpus.graph)


def test_episodes_of_the_curriculum_environment_are_recorded(
    make_tiny_curriculum: Callable[..., Curriculum], tiny_corpus: Corpus
) -> None:
    env = RecordTraces(CurriculumEnv(make_tiny_curriculum(), slots=8), tiny_corpus.graph)
    rng = np.random.default_rng(0)
    expected: list[Trace] = []
    for seed in range(2):
        _, info = env.reset(seed=seed)
        done = False
        while not done:
            _, _, terminated, truncated, info = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
            done = terminated or truncated
        expected += picks_to_traces(env.unwrapped.expansions, tiny_corpus.graph, "environment")  # type: ignore[attr-defined]
    assert len(expected) >= 2 and list(env) == expected
    assert env.tally.kept == len(expected) and isinstance(env, TraceSource)


class Pages(gym.Env[int, int]):
    """An action names the page to be on next; the info says where one is, as an environment of links does."""

    observation_space = action_space = gym.spaces.Discrete(6)

    def __init__(self, target: int | None = None) -> None:
        self.info = {} if target is None else {"target": target}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {"topic": 0, **self.info}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return action, 0.0, action == self.info.get("target"), False, {"topic": action, **self.info}


def test_pages_become_clicks_back_clicks_and_outcomes() -> None:
    env = RecordTraces(Pages(target=3), letters("ab bc ad"), "pages")
    env.reset()
    for page in (1, 2, 2, 1, 0, 3):
        env.step(page)
    env.reset()
    env.step(1)
    assert [trace.outcome for trace in env] == [Outcome.FINISHED]
    env.close()
    assert list(env) == [
        Trace((0, 1, 2, BACK, BACK, 3), 3, Outcome.FINISHED, "pages"),
        Trace((0, 1), 3, Outcome.UNFINISHED, "pages"),
    ]


def test_without_a_target_traces_are_open() -> None:
    env = RecordTraces(Pages(), letters("ab"))
    env.reset()
    env.step(1)
    env.reset()
    assert list(env) == [Trace((0, 1), source="environment")]
