"""The report page: complete, self-contained, and safe against hostile titles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.agents import make_agent
from kgrl.curriculum import Curriculum
from kgrl.curriculum.standing import StandingPoint
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import TopicGraph
from kgrl.graph.prerequisites import Prerequisites
from kgrl.probes.questions import Question
from kgrl.report import RunData, write_report
from kgrl.report.data import GrownTree
from kgrl.report.html import script_hash
from kgrl.report.knowledge import RunKnowledge
from kgrl.report.known import Answers
from tests.curriculum.test_knowledge import KNOWING
from tests.support.html_page import Page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def graph() -> TopicGraph:
    titles = ["Logic", HOSTILE, "Set", "Number", "Mars"]
    return TopicGraph.from_links(titles, [0, 0, 1, 2], [1, 2, 3, 4], ["Mathematics"] * 4 + ["Sky"])


@pytest.fixture
def make_run(graph: TopicGraph) -> Callable[..., RunData]:
    def make(agent: str = "random", final: float = 3.0, goal: tuple[int, ...] | None = (0, 1)) -> RunData:
        probes = {"target": Measurement((1,), (3.9,), (3.456,))}
        expansions = [
            Expansion(0, 0, "Logic", (0,), (0,), 50, 50, 100, 3.5),
            Expansion(1, 1, HOSTILE, (1, 2), (1, 2), 50, 100, 100, 3.25, probes=probes),
        ]
        seconds = {"research": 0.5, "learn": 6.0, "probe": 1.5, "exam": 2.0}
        summary = {"exam_loss_before": 4.0, "exam_loss_after": final, "aulc": 3.625, "seconds_by_phase": seconds}
        return RunData(agent, [(0, 4.0), (50, 3.5), (100, final)], expansions, (0,), goal, summary)

    return make


def write(tmp_path: Path, graph: TopicGraph, *runs: RunData, **options: Any) -> Page:
    write_report(tmp_path / "report.html", f"Report {HOSTILE}", runs, graph, **options)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_hostile_titles_stay_text(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    page = write(tmp_path, graph, make_run(), make_run(HOSTILE))
    assert "img" not in [tag for tag, _ in page.elements]
    assert len(page.data) == 3
    # plotly.js, three figures, the page's behaviour; a title that broke out would add a script.
    assert len(page.scripts) == 5
    assert HOSTILE in page.text, "the reader still sees the title"


def test_plotly_gets_titles_escaped(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    for figure in write(tmp_path, graph, make_run(HOSTILE)).data:
        assert "<script" not in json.dumps(figure) and "<img" not in json.dumps(figure)


def test_plotly_gets_quotes_as_numbers(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    """Plotly reads few entities by name: it would draw `&quot;` as it stands."""
    curves = write(tmp_path, graph, make_run("the \"best\" & 'last'")).data[0]
    assert curves["data"][0]["name"] == "the &#34;best&#34; &amp; &#39;last&#39;"


def test_asks_nothing_of_the_network(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    page = write(tmp_path, graph, make_run())
    assert not [a for tag, a in page.elements if tag == "link" or "src" in a or "href" in a]
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_its_policy_permits_its_own_scripts_only(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    page = write(tmp_path, graph, make_run())
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    kinds = [a.get("type") for tag, a in page.elements if tag == "script"]
    run = [script for script, kind in zip(page.scripts, kinds, strict=True) if kind is None]
    permitted = re.search(r"script-src ([^;]*);", policy or "")
    assert permitted is not None
    assert permitted[1].split() == [script_hash(script) for script in run] and len(run) == 2


def test_figures_of_the_runs_are_in_the_table(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    text = write(tmp_path, graph, make_run("random"), make_run("closure", final=2.5)).text
    assert "random" in text and "closure" in text
    assert "3.625" in text, "AULC"
    assert "19%" in text, "probe share: 1.5 of 8 seconds in the loop"
    assert re.search(r"closure.*?4\.000.*?2\.500.*?75", text, re.DOTALL), "closure reached 3.0 after 75 tokens"


def test_parts_of_rewards_are_drawn_by_name(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    def rewarded(agent: str, **parts: float) -> RunData:
        run = make_run(agent)
        nucleus, step = run.expansions
        return replace(run, expansions=[nucleus, replace(step, reward=1.0, reward_components=parts)])

    page = write(tmp_path, graph, rewarded("random", gain=0.5), rewarded("closure", gain=0.25, cost=50.0))
    figure = page.data[1]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["gain", "cost"]
    lines = [(line["name"], line["x"], line["y"], line["yaxis"]) for line in figure["data"]]
    assert lines == [
        ("random", [100], [0.5], "y"),
        ("random", [], [], "y2"),
        ("closure", [100], [0.25], "y"),
        ("closure", [100], [50.0], "y2"),
    ]
    hostile = write(tmp_path, graph, rewarded("random", **{HOSTILE: 1.0}))
    assert "<img" not in json.dumps(hostile.data) and len(hostile.scripts) == 5
    assert "Rewards" not in write(tmp_path, graph, make_run()).text, "nothing where nobody was rewarded"


def test_topics_that_have_to_be_known_are_counted_and_marked(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    points = (StandingPoint(50, 1, 1, 0), StandingPoint(100, 4, 2, 1))
    histories = {
        0: "read first at step 0, solid since step 0, faded at step 1, read 2 times",
        3: "read first at step 1",
    }
    knowledge = RunKnowledge(points, ((0,), (1, 2, 3)), histories, frozenset({1, 2}), frozenset({0}))
    page = write(tmp_path, graph, make_run(), replace(make_run(HOSTILE), knowledge=knowledge))
    lines = [(line["x"], line["y"]) for line in page.data[1]["data"]]
    assert lines == [([50, 100], [1, 2]), ([50, 100], [1, 4])], "solid and read; nothing of the run that only reads"
    drawn = next(t for t in page.data[3]["data"] if t.get("name") == "read")
    assert drawn["marker"]["symbol"] == ["diamond-x-open", "circle", "circle", "circle-open"]
    assert histories[0] in drawn["hovertext"][0] and histories[3] in drawn["hovertext"][3]
    waiting = page.data[3]["data"][2]["hovertext"]
    assert len(waiting) == 1 and "Mars" in waiting[0], "what was read is not drawn twice"
    assert re.search(r"4 topics read, 2 of them of the goal;\s+2 solid at the end, 1 faded;\s+1 new ones", page.text)
    assert "read, not known" in page.text and len(page.scripts) == 6
    assert "Topics read and solid" not in write(tmp_path, graph, make_run()).text


def test_what_a_run_knew_is_replayed_from_its_records(make_tiny_curriculum: Callable[..., Curriculum]) -> None:
    curriculum = make_tiny_curriculum(None, **KNOWING)
    steps = list(curriculum.run(make_agent("random")))
    knowledge, standing = RunKnowledge.of(curriculum, steps), curriculum.state.standing
    assert knowledge is not None and knowledge.solid == set(standing.frontier.solid.tolist())
    assert knowledge.points[-1] == standing.point(steps[-1].tokens_total) and len(knowledge.points) == len(steps)
    exposures = curriculum.state.knowledge.exposures
    assert len(knowledge.faded) == standing.n_faded > 0
    for topic, history in knowledge.histories.items():
        first = next(i for i, topics in enumerate(knowledge.first_read) if topic in topics)
        assert history.startswith(f"read first at step {first}")
        assert history.endswith(f"read {exposures[topic]} time{'s' * int(exposures[topic] > 1)}")
        assert ("faded" in history) >= (topic in knowledge.faded)
    tree = GrownTree.grow(curriculum.corpus.graph, steps, knowledge=knowledge)
    assert set(tree.read) == set(np.flatnonzero(exposures).tolist())
    new = set(standing.frontier.topics.tolist()) - set(tree.read)
    assert tree.frontier_size == len(new) and set(tree.topics[tree.steps < 0].tolist()) == new
    assert RunKnowledge.of(make_tiny_curriculum(None), []) is None


def test_target_that_is_not_reached_is_said(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    text = write(tmp_path, graph, make_run(), target=1.0).text
    assert "not reached" in text and "1.000" in text


def test_curves_hold_every_measurement(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    curves = write(tmp_path, graph, make_run("random"), make_run("closure", final=2.5)).data[0]
    assert [(line["name"], line["x"], line["y"]) for line in curves["data"]] == [
        ("random", [0, 50, 100], [4.0, 3.5, 3.0]),
        ("closure", [0, 50, 100], [4.0, 3.5, 2.5]),
    ]


def test_tree_marks_nucleus_and_tells_losses(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    learned = next(t for t in write(tmp_path, graph, make_run()).data[1]["data"] if t.get("name") == "learned")
    assert learned["marker"]["symbol"] == ["diamond", "circle", "circle"]
    assert learned["meta"] == {"order": [0, 1, 1], "loss": [3.5, 3.25, 3.25]}
    assert "3.456" in learned["hovertext"][1], "the topic's last probe loss"
    assert "probe" not in learned["hovertext"][2], "a topic that was not probed has no probe loss"


def test_picked_topics_bear_the_number_of_their_expansion(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    learned = next(t for t in write(tmp_path, graph, make_run()).data[1]["data"] if t.get("name") == "learned")
    assert learned["text"] == ["", "1", ""], "the nucleus was not picked, and the third came along"


def test_every_row_of_the_table_has_a_cell_for_each_column(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    headings = [a for tag, a in write(tmp_path, graph, make_run()).elements if tag == "th" and a["scope"] != "row"]
    cells = [tag for tag, _ in write(tmp_path, graph, make_run()).elements if tag == "td"]
    below = sum(int(a["colspan"] or 0) for a in headings if "colspan" in a)
    assert sum("rowspan" in a for a in headings) + below == 1 + len(cells), "the agent has a heading too"
    assert below == sum(not a.keys() & {"rowspan", "colspan"} for a in headings)


def test_no_goal_no_outline(tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]) -> None:
    page = write(tmp_path, graph, make_run(goal=None))
    learned = next(t for t in page.data[1]["data"] if t.get("name") == "learned")
    assert "of the goal" not in page.text
    assert np.all(np.array(learned["marker"]["line"]["width"]) == 0)


def asked(run: RunData, answers: dict[int, str]) -> RunData:
    """The run with answers to four questions: two about Logic, the nucleus, and one each about a topic 1 and 2 away."""
    questions = [Question(0, "a", ("b",), "1"), Question(0, "c", ("d",), "2")]
    questions += [Question(1, "e", ("f",), "1"), Question(3, "g", ("h",), "2")]
    points = [(tokens, {"share": 0.5, "asked": 4, "answers": told}) for tokens, told in answers.items()]
    return replace(run, recalled={"facts_recalled": points}, questions={"facts_recalled": questions})


def test_facts_are_drawn_by_group_by_distance_and_as_forgotten(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    """The first question is known after 100 tokens and forgotten after 300; the third is known in the end."""
    run = asked(make_run(), {0: "1000", 100: "1100", 200: "0010", 300: "0010"})
    page = write(tmp_path, graph, run)
    groups, distances, fate = page.data[1:4]
    lines = {line["name"]: line["y"] for line in groups["data"]}
    assert lines == {"1 (2)": [0.5, 0.5, 0.5, 0.5], "2 (2)": [0.0, 0.25, 0.25, 0.0]}
    lines = {line["name"]: line["y"] for line in distances["data"]}
    assert lines["0 (2)"] == [0.5, 0.75, 0.5, 0.0] and lines["1 (1)"] == [0.0, 0.0, 0.5, 1.0]
    assert lines["2 (1)"] == [0.0, 0.0, 0.0, 0.0]
    assert {line["name"]: line["y"] for line in fate["data"]} == {
        "known": [0.0, 0.25, 0.0, 0.25],
        "forgotten": [0.0, 0.0, 0.0, 0.25],
    }
    assert "Forgotten at the end: Logic" in page.text and "4 questions" in page.text


def test_a_hostile_title_that_is_forgotten_stays_text(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    page = write(tmp_path, graph, asked(make_run(), {0: "0010", 100: "0010", 200: "0000", 300: "0000"}))
    assert f"Forgotten at the end: {HOSTILE}" in page.text
    assert "img" not in [tag for tag, _ in page.elements]


def test_runs_of_earlier_versions_kept_no_answers(
    tmp_path: Path, graph: TopicGraph, make_run: Callable[..., RunData]
) -> None:
    run = replace(make_run(), recalled={"facts_recalled": [(0, {"share": 0.5, "asked": 4})]})
    assert "Facts known" not in write(tmp_path, graph, run).text


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_nothing_is_known_and_forgotten_at_once_or_forgotten_before_it_was_known(rows: list[list[bool]]) -> None:
    right = np.array(rows)
    answers = Answers(np.arange(len(rows)), right, np.arange(3, dtype=np.int32), ("1",) * 3)
    once = np.logical_or.accumulate(answers.known, axis=0)
    assert not (answers.known & answers.forgotten).any()
    assert not (answers.forgotten & ~once).any()


def test_a_report_needs_a_run(tmp_path: Path, graph: TopicGraph) -> None:
    with pytest.raises(ValueError, match="needs a run"):
        write_report(tmp_path / "report.html", "Empty", [], graph)


@given(data=st.data(), n=st.integers(2, 25))
def test_tree_holds_what_was_learned_and_nothing_overlaps(data: st.DataObject, n: int) -> None:
    ends = st.lists(st.integers(0, n - 1), min_size=3 * n, max_size=3 * n)
    graph = TopicGraph.from_links([f"t{i}" for i in range(n)], data.draw(ends), data.draw(ends))
    order = data.draw(st.permutations(range(n)))
    steps = [Expansion(i, t, graph.titles[t], (t,), (), 1, i + 1, n, 1.0) for i, t in enumerate(order[: n // 2])]
    tree = GrownTree.grow(graph, steps)
    learned = tree.steps >= 0
    assert tree.topics[learned].tolist() == [step.topic for step in steps]
    assert len(set(tree.topics.tolist())) == len(tree.topics)
    assert np.all(tree.parents < np.arange(len(tree.topics))), "parents come first"
    assert learned[tree.parents[tree.parents >= 0]].all(), "nothing grows from the frontier"
    assert learned.sum() + tree.frontier_size == len(tree.topics)
    distances = np.linalg.norm(tree.places[:, None] - tree.places[None], axis=-1)
    assert len(tree.topics) < 2 or distances[np.triu_indices(len(tree.topics), 1)].min() > 1e-6


def test_frontier_beyond_the_limit_is_cut_to_the_best_linked() -> None:
    star = TopicGraph.from_links([f"t{i}" for i in range(30)], [0] * 29 + [1, 1], [*range(1, 30), 7, 9])
    steps = [Expansion(0, 0, "t0", (0, 1), (), 1, 1, 1, 1.0)]
    tree = GrownTree.grow(star, steps, most_frontier=2)
    assert tree.topics.tolist() == [0, 1, 7, 9] and tree.frontier_size == 28


def test_the_tree_s_frontier_asks_for_prerequisites() -> None:
    """t3 is linked with what was read, and needs t2, which is linked with nothing else."""
    graph = TopicGraph.from_links([f"t{i}" for i in range(4)], [0, 0, 2], [1, 3, 3]).with_prerequisites([2], [3])
    steps = [Expansion(0, 0, "t0", (0,), (), 1, 1, 1, 1.0)]
    asked = Prerequisites(4, *graph.prerequisites())
    tree = GrownTree.grow(graph, steps, prerequisites=asked)
    assert tree.topics.tolist() == [0, 1, 2] and tree.parents.tolist() == [-1, 0, -1]
