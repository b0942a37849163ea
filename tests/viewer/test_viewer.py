"""The viewer's data and server: what it says of a run, whom it answers, and what it refuses."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kgrl.agents import make_agent
from kgrl.cli import main
from kgrl.cli.view import shown_runs
from kgrl.curriculum import Curriculum
from kgrl.errors import DataError, KgrlError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, Probed
from kgrl.graph import Frontier, TopicGraph
from kgrl.research import Arrival, Library
from kgrl.runs import Run
from kgrl.viewer import ShownRun, ViewerServer
from kgrl.viewer.layout import layout, stored_layout
from kgrl.viewer.shown_run import Tail
from tests.curriculum.test_knowledge import KNOWING
from tests.support.made_runs import MadeRun, made_corpus, serving

TITLES = [f"Topic {i}" for i in range(60)]
KINDS = ("unseen", "frontier", "read", "faded", "solid")


@pytest.fixture
def run(tmp_path: Path) -> MadeRun:
    made = MadeRun(tmp_path / "run", made_corpus(TITLES, 150))
    made.grow(6)
    return made


@pytest.fixture
def server(run: MadeRun) -> Iterator[ViewerServer]:
    with serving(run) as server:
        yield server


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def ask(server: ViewerServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def told(server: ViewerServer, path: str) -> Any:
    status, _, body = ask(server, path)
    assert status == 200, body
    return json.loads(body)


# --- What is said of a run ---


def kinds_at_every_step(steps: list[dict[str, Any]], topics: int) -> Iterator[dict[str, set[int]]]:
    """The topics of each kind after each step, as the page works them out."""
    kinds = np.zeros(topics, dtype=int)
    for step in steps:
        for topic, kind in step["kinds"]:
            assert kinds[topic] != kind, "only what changed is sent"
            kinds[topic] = kind
        yield {name: set(np.flatnonzero(kinds == at).tolist()) for at, name in enumerate(KINDS)}


def test_learned_and_frontier_at_every_step_are_those_of_the_curriculum(run: MadeRun) -> None:
    steps, frontier = ShownRun(run.folder, run.corpus).steps(0, None)["steps"], Frontier(run.corpus.graph)
    told = kinds_at_every_step(steps, len(run.corpus.graph))
    for step, kinds, expansion in zip(steps, told, run.expansions, strict=True):
        for topic in expansion.neighbourhood:
            frontier.solidify(topic)
        assert kinds["solid"] == set(frontier.solid.tolist())
        assert kinds["frontier"] == set(frontier.topics.tolist())
        assert not kinds["read"] | kinds["faded"], "what was read is learned"
        assert step["read"] == list(expansion.neighbourhood)
        assert step["counts"][1:] == [len(frontier.solid), 0, len(frontier)]
    assert steps[0]["nucleus"] == sorted(run.expansions[0].neighbourhood)


class Knowing:
    """A finished run in which topics have to be known, and what the curriculum knew after each step."""

    def __init__(self, folder: Path, curriculum: Curriculum, agent: str) -> None:
        self.folder, self.corpus, self.kinds = folder, curriculum.corpus, list[dict[str, set[int]]]()
        self.nucleus = curriculum.nucleus
        config = {"corpus": "tiny", "agent": agent, "mastery": curriculum.config.mastery}
        state = curriculum.state

        def note(expansion: Expansion, loss: float | None) -> None:
            read, was = np.flatnonzero(state.knowledge.exposures), np.flatnonzero(state.standing.was_solid)
            solid = set(state.frontier.solid.tolist())
            faded = set(was.tolist()) - solid
            waiting = set(state.frontier.topics.tolist())
            new = waiting - set(read.tolist()) - faded
            kinds = {"solid": solid, "faded": faded, "read": set(read.tolist()) - solid - faded, "frontier": new}
            self.kinds.append(kinds | {"waiting": waiting})

        exam = Exam(curriculum.corpus, size=5)
        self.steps = Run(folder, curriculum, make_agent(agent), exam, config).carry_out(note).expansions


@pytest.fixture
def knowing(make_tiny_curriculum: Callable[..., Curriculum], tmp_path: Path) -> Knowing:
    return Knowing(tmp_path / "knowing", make_tiny_curriculum(None, **KNOWING), "random")


def test_read_solid_and_faded_topics_are_told_apart_at_every_step(knowing: Knowing) -> None:
    steps = ShownRun(knowing.folder, knowing.corpus).steps(0, None)["steps"]
    told = list(kinds_at_every_step(steps, len(knowing.corpus.graph)))
    for step, kinds, expected in zip(steps, told, knowing.kinds, strict=True):
        for kind in ("frontier", "read", "faded", "solid"):
            assert kinds[kind] == expected[kind], f"{kind} at step {step['index']}"
        known = len(kinds["solid"]), len(kinds["faded"]), len(expected["waiting"])
        assert step["counts"] == [sum(len(kinds[k]) for k in ("read", "faded", "solid")), *known]
    assert all(any(kinds[name] for kinds in told) for name in ("frontier", "read", "faded", "solid"))
    assert [topic for step in steps for topic in step["read"]] == list(
        dict.fromkeys(int(knowing.corpus.topics[i]) for step in knowing.steps for i in step.passages)
    )


def test_the_history_of_a_topic_that_was_forgotten(knowing: Knowing) -> None:
    """Every reading, every pick, and when it was solid."""
    shown = ShownRun(knowing.folder, knowing.corpus)
    faded = {topic for kinds in knowing.kinds for topic in kinds["faded"]}
    for topic in faded:
        history = shown.topic(topic)
        solid = [topic in kinds["solid"] for kinds in knowing.kinds]
        told = [any(a <= at and (b is None or at < b) for a, b in history["solid"]) for at in range(len(solid))]
        assert told == solid and history["solid"][0][1] is not None
        assert history["read"] == [s.index for s in knowing.steps if topic in knowing.corpus.topics[[*s.passages]]]
        assert history["picked"] == [
            s.index for s in knowing.steps if s.topic == topic and not shown.step(s.index)["nucleus"]
        ]


def test_the_nucleus_is_that_of_the_record_and_its_lessons_are_named(knowing: Knowing) -> None:
    shown = ShownRun(knowing.folder, knowing.corpus)
    assert shown.steps(0, None)["steps"][0]["nucleus"] == sorted(knowing.nucleus.tolist())
    assert shown.about()["knowing"] and shown.about()["settings"]["mastery"] == "gap:1.2"
    assert shown.step(0)["nucleus"] and not shown.step(len(knowing.steps) - 1)["nucleus"]


def test_a_topic_can_be_picked_more_than_once(make_tiny_curriculum: Callable[..., Curriculum], tmp_path: Path) -> None:
    """Nothing passes this level, so the nucleus, which takes two lessons, is all that can be picked."""
    settings = {**KNOWING, "mastery": "gap:99", "nucleus_share": 0.2}
    made = Knowing(tmp_path / "run", make_tiny_curriculum(None, **settings), "random")
    shown, first = ShownRun(made.folder, made.corpus), made.steps[0].topic
    assert [shown.step(at)["nucleus"] for at in range(4)] == [True, True, False, False]
    history = shown.topic(first)
    assert history["picked"] == [step.index for step in made.steps[2:] if step.topic == first]
    assert len(history["picked"]) > 1 and history["read"][:2] == [0, 1] and history["solid"] == []


def test_a_criterion_that_is_none_is_named(run: MadeRun) -> None:
    append(run.folder / "config.yaml", "mastery: known\n")
    with pytest.raises(DataError, match=r"config\.yaml: mastery must be read, gap or recall"):
        ShownRun(run.folder, run.corpus)


def test_records_that_do_not_fit_the_corpus_are_named(run: MadeRun) -> None:
    step = run.expansions[0]
    unknown = replace(step, tested=Probed((60,), (1.0,)))
    for spoilt, message in ((unknown, "another corpus"), (replace(step, losses=(1.0,)), "1 losses of 3 passages")):
        (run.folder / "curriculum.jsonl").write_text(spoilt.to_json() + "\n")
        with pytest.raises(DataError, match=message):
            ShownRun(run.folder, run.corpus)


def test_measurements_are_those_of_the_record(run: MadeRun) -> None:
    probe = run.expansions[3].probes["mean"]
    measured = ShownRun(run.folder, run.corpus).steps(0, None)["steps"][3]["measured"]
    assert {t: after for t, _, after in measured} == pytest.approx(
        dict(zip(probe.topics, probe.after, strict=True)), abs=1e-4
    )


def test_a_step_has_its_passages_reward_and_candidates(run: MadeRun) -> None:
    step, expansion = ShownRun(run.folder, run.corpus).step(2), run.expansions[2]
    assert step["passages"] == [[t, f"All about Topic {t}."] for t in expansion.passages]
    assert step["components"] == expansion.reward_components
    chances = [chance for _, chance in step["candidates"]]
    assert chances == sorted(chances, reverse=True) and len(chances) > 3
    assert ShownRun(run.folder, run.corpus).step(0)["candidates"] == []


def test_the_history_of_a_topic(run: MadeRun) -> None:
    shown, expansion = ShownRun(run.folder, run.corpus), run.expansions[4]
    topic = expansion.neighbourhood[1]
    history = shown.topic(topic)
    assert (history["read"], history["within"], history["picked"]) == ([4], expansion.topic, [])
    assert history["solid"] == [[4, None]] and history["found"] < 4
    assert shown.topic(expansion.topic)["picked"] == [4] and shown.topic(0)["picked"] == []
    assert [index for index, *_ in history["scores"]] == list(range(history["found"] + 1, 5))
    assert [4, round(expansion.probes["mean"].before[1], 4)] in [m[:2] for m in history["measured"]]
    with pytest.raises(IndexError):
        shown.topic(60)


def test_new_expansions_are_read_on_and_half_a_line_waits(run: MadeRun) -> None:
    shown = ShownRun(run.folder, run.corpus)
    version = shown.steps(0, None)["version"]
    run.grow()
    append(run.folder / "curriculum.jsonl", '{"index": 7, "top')
    news = shown.steps(6, version)
    assert [step["index"] for step in news["steps"]] == [6]
    assert shown.steps(7, version)["steps"] == []


def test_a_run_that_went_back_to_its_checkpoint_is_sent_anew(run: MadeRun) -> None:
    shown = ShownRun(run.folder, run.corpus)
    version = shown.steps(0, None)["version"]
    path = run.folder / "curriculum.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    (run.folder / "new").write_text("".join(lines[:4]))
    (run.folder / "new").replace(path)
    news = shown.steps(6, version)
    assert news["version"] != version and news["after"] == 0
    assert [step["index"] for step in news["steps"]] == [0, 1, 2, 3]


def test_a_run_is_live_until_it_has_a_result(run: MadeRun) -> None:
    shown = ShownRun(run.folder, run.corpus)
    assert shown.steps(0, None)["state"] == "live"
    run.finish()
    assert shown.steps(0, None)["state"] == "finished"


def test_a_run_without_scores_says_why(run: MadeRun) -> None:
    assert ShownRun(run.folder, run.corpus).steps(0, None)["scores"] == "yes"
    (run.folder / "choices.jsonl").write_text("")
    assert "does not say" in ShownRun(run.folder, run.corpus).steps(0, None)["scores"]
    (run.folder / "choices.jsonl").unlink()
    assert "before scores" in ShownRun(run.folder, run.corpus).steps(0, None)["scores"]


def test_a_run_on_another_corpus_is_refused(run: MadeRun) -> None:
    with pytest.raises(DataError, match="another corpus"):
        ShownRun(run.folder, made_corpus([f"Other {i}" for i in range(60)], 150))


def test_a_record_that_is_none_is_named(run: MadeRun) -> None:
    append(run.folder / "curriculum.jsonl", '{"index": 6}\n')
    with pytest.raises(DataError, match=r"curriculum\.jsonl: .*not a record.*required field"):
        ShownRun(run.folder, run.corpus)


def test_a_tail_of_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert Tail(tmp_path / "none").read() == ([], False)


# --- Where topics are drawn ---


def test_linked_topics_are_drawn_together() -> None:
    graph = made_corpus([str(i) for i in range(400)], 1_200).graph
    places, (sources, targets) = layout(graph), graph.links()
    assert places.shape == (400, 2) and np.isfinite(places).all()
    linked = np.linalg.norm(places[sources] - places[targets], axis=1)
    others = np.linalg.norm(places[sources] - places[np.random.default_rng(0).permutation(targets)], axis=1)
    assert np.median(linked) < 0.5 * np.median(others)
    assert np.array_equal(places, layout(graph))


@pytest.mark.parametrize(("n", "links"), [(0, 0), (1, 0), (2, 1), (5, 0), (7, 2)])
def test_small_graphs_and_topics_without_links_have_places_of_their_own(n: int, links: int) -> None:
    places = layout(TopicGraph.from_links([str(i) for i in range(n)], range(links), range(1, links + 1)))
    assert len({tuple(place) for place in places.tolist()}) == n
    assert np.isfinite(places).all()


def test_a_layout_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path))
    graph = made_corpus(TITLES, 150).graph
    first = stored_layout(graph)
    monkeypatch.setattr("kgrl.viewer.layout.layout", None)
    assert np.array_equal(stored_layout(graph), first)


# --- Whom the server answers ---


def test_the_page_may_load_and_run_only_what_comes_with_it(server: ViewerServer) -> None:
    status, headers, body = ask(server, "/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"://" not in body and b"style=" not in body and b"<script>" not in body


@pytest.mark.parametrize("name", ["main.js", "viewer.css", "graph.min.js", "icon.svg", "graph.LICENSE.txt"])
def test_files_have_their_types(server: ViewerServer, name: str) -> None:
    status, headers, _ = ask(server, f"/static/{name}")
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
    assert status == 200 and headers["Content-Type"].startswith(kinds[name.rsplit(".")[-1]])


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_other_names_of_this_machine_are_refused(server: ViewerServer, host: str) -> None:
    status, _, body = ask(server, "/api/runs", Host=host.format(port=server.server_port))
    assert status == 421 and b"topics" not in body


@pytest.mark.parametrize("target", ["http://[::1/api/runs", "http://[v.]/"])
def test_a_target_that_is_no_address_is_a_bad_request(server: ViewerServer, target: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest("GET", target, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    assert status == 400


def test_it_listens_to_this_machine_only(server: ViewerServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/../../etc/passwd",
        "/static/",
        "/server.py",
        "/index.html",
        "/api/",
        "/api/runs/1/graph",
        "/api/runs/0/steps/99",
        "/api/runs/0/topics/60",
        "/api/runs/-1/graph",
        "/api/runs/0/steps?after=x",
        "/api/runs/0/steps?after=-1",
        "/api/runs/0/graph/../../x",
    ],
)
def test_nothing_else_is_there(server: ViewerServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_it_can_only_be_read(server: ViewerServer, method: str) -> None:
    status, headers, _ = ask(server, "/api/runs", method)
    assert status == 405 and headers["Allow"] == "GET"


def test_long_answers_are_packed_where_that_is_understood(server: ViewerServer) -> None:
    status, headers, body = ask(server, "/api/runs/0/graph", **{"Accept-Encoding": "gzip, br"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    plain = ask(server, "/api/runs/0/graph")
    assert "Content-Encoding" not in plain[1] and gzip.decompress(body) == plain[2]


def test_the_graph_has_each_link_once(server: ViewerServer, run: MadeRun) -> None:
    graph = told(server, "/api/runs/0/graph")
    assert graph["titles"] == TITLES and len(graph["x"]) == len(graph["y"]) == 60
    pairs = {tuple(pair) for pair in np.reshape(graph["links"], (-1, 2)).tolist()}
    assert len(pairs) * 2 == len(graph["links"])
    assert pairs == {(a, b) for a in range(60) for b in run.corpus.graph.neighbours(a).tolist() if a < b}


def test_steps_that_the_page_has_are_not_sent_again(server: ViewerServer, run: MadeRun) -> None:
    news = told(server, "/api/runs/0/steps")
    assert len(news["steps"]) == 6
    run.grow()
    more = told(server, f"/api/runs/0/steps?after=6&version={news['version']}")
    assert [step["index"] for step in more["steps"]] == [6]


def test_what_is_wrong_with_a_run_is_told_to_the_page(server: ViewerServer, run: MadeRun) -> None:
    append(run.folder / "curriculum.jsonl", "nonsense\n")
    status, _, body = ask(server, "/api/runs/0/steps")
    assert status == 500 and "not a record of a run: not JSON" in json.loads(body)["error"]


def test_a_port_that_is_taken_is_named(server: ViewerServer) -> None:
    with pytest.raises(KgrlError, match=f"port {server.server_port}.*--port"):
        ViewerServer(server.runs, server.server_port)


# --- The command ---


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["view", *map(str, arguments), "--no-browser"]) == 2
    return capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "config.yaml: no such file" in refused(capsys, tmp_path)


def test_a_run_whose_corpus_is_missing_is_refused(capsys: pytest.CaptureFixture[str], run: MadeRun) -> None:
    (run.folder / "config.yaml").write_text("agent: closure\ncorpus: /nowhere/corpus\n")
    assert "/nowhere/corpus" in refused(capsys, run.folder)


def test_three_runs_are_too_many(capsys: pytest.CaptureFixture[str], run: MadeRun) -> None:
    assert "one run or two, not 3" in refused(capsys, *[run.folder] * 3)


def test_a_live_runs_corpus_is_the_pages_that_it_recorded(tmp_path: Path) -> None:
    corpus = made_corpus(TITLES, 150)
    run = MadeRun(tmp_path / "live", corpus)
    run.grow(4)
    (run.folder / "config.yaml").write_text("agent: made\nurl: http://127.0.0.1/api.php\n")
    Library(run.folder / "pages.jsonl").add(
        Arrival(
            title=title,
            category="",
            links=tuple(TITLES[t] for t in corpus.graph.out(topic)),
            aliases=(),
            texts=(corpus.texts[topic],),
            splits=(0,),
            vectors=np.eye(1, 4, dtype=np.float32),
            fetched=1.0,
        )
        for topic, title in enumerate(TITLES)
    )
    path = run.folder / "curriculum.jsonl"
    path.write_text(path.read_text().replace('"arrived": null', '"arrived": 60'))
    (shown,) = shown_runs((run.folder,))
    assert shown.graph()["titles"] == TITLES
    assert len(shown.steps(0, None)["steps"]) == 4
    append(path, replace(run.expansions[3], index=4, arrived=61).to_json() + "\n")
    with pytest.raises(DataError, match="grown since; start kgrl view again"):
        shown.steps(4, None)


def test_sixty_pages_can_connect_at_once(run: MadeRun) -> None:
    """Before the server accepts any: what does not fit the queue waits a second or more for another try."""
    server = ViewerServer([ShownRun(run.folder, run.corpus)])
    pages = [socket.create_connection(("127.0.0.1", server.server_port), timeout=0.9) for _ in range(60)]
    for page in pages:
        page.close()
    server.server_close()


def test_a_pipe_among_the_records_is_refused_and_not_waited_for(run: MadeRun) -> None:
    for name in ("choices.jsonl", "metrics.jsonl", "config.yaml"):
        kept = (run.folder / name).read_bytes()
        (run.folder / name).unlink()
        os.mkfifo(run.folder / name)
        with pytest.raises(DataError, match=name):
            ShownRun(run.folder, run.corpus)
        (run.folder / name).unlink()
        (run.folder / name).write_bytes(kept)
