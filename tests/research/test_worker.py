"""Workers: in threads and processes, killed, cut off from the queue, slow; and the commands about them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.cli.research import StatusCommand, WorkerCommand
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.research import Page
from kgrl.research.queue import ResearchQueue
from kgrl.research.worker import Worker, make_page_source, run_workers
from tests.support.redis_server import RedisServer, why_no_redis
from tests.support.research_pages import Pages, TinyEncoder, finish, made_up

TITLES = [f"T{n}" for n in range(24)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if reason := why_no_redis():
        pytest.skip(reason)
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "queue") if request.param == "sqlite" else request.getfixturevalue("server").url


def open_queue(place: str | Path, **limits: Any) -> ResearchQueue:
    return ResearchQueue.open(place, **{"patience": 0.0, "lease": 5.0, **limits})


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def titles_of(queue: ResearchQueue) -> list[str]:
    return [arrival.title for arrival in queue.arrivals()]


def test_threads_share_the_work(place: str) -> None:
    queue, sources = open_queue(place), [Pages(0.005) for _ in range(3)]
    spare = iter(sources)
    queue.want(TITLES)
    with run_workers(queue, lambda: next(spare), TinyEncoder(), threads=3):
        wait(lambda: not queue.busy())
    assert sorted(titles_of(queue)) == sorted(TITLES)
    assert sorted(title for source in sources for title in source.asked) == sorted(TITLES)
    assert all(source.asked for source in sources)


def test_workers_stop_when_the_body_ends(place: str) -> None:
    before = threading.active_count()
    with run_workers(open_queue(place), Pages, TinyEncoder(), threads=2):
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_no_workers_are_none(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    queue.want(["Logic"])
    with run_workers(queue, Pages, TinyEncoder(), threads=0):
        assert queue.busy()


def test_a_slow_answer_is_waited_for(place: str) -> None:
    """The claim is renewed for as long as the worker lives, so nobody else does its job."""
    queue, source = open_queue(place, lease=0.3), Pages(1.2)
    queue.want(["Logic"])
    with run_workers(queue, lambda: source, TinyEncoder(), threads=2):
        wait(lambda: not queue.busy())
    assert source.asked == ["Logic"]


class Blocking(Pages):
    """Does not answer before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_once, self.may = threading.Event(), threading.Event()

    def page(self, title: str) -> Page | None:
        self.asked_once.set()
        assert self.may.wait(30)
        return super().page(title)


def test_a_worker_that_comes_too_late_does_no_harm(place: str) -> None:
    queue, source, fast = open_queue(place, lease=0.01), Blocking(), Pages()
    queue.want(["Logic", "Set"])
    late = Worker(queue, source, TinyEncoder())
    thread = threading.Thread(target=late.step)  # without `run` its claim is not renewed: as if its machine slept
    thread.start()
    assert source.asked_once.wait(30)
    time.sleep(0.02)
    finish(open_queue(place), fast)
    source.may.set()
    thread.join()
    assert fast.asked == ["Logic", "Set"] or fast.asked == ["Set", "Logic"]
    assert sorted(titles_of(queue)) == ["Logic", "Set"]
    assert not queue.busy()
    assert len(queue.store.parts) == len(queue.store.claims) == 0


def test_a_page_that_is_dropped_while_it_is_fetched_does_not_arrive(place: str) -> None:
    queue, source = open_queue(place, lease=0.01), Blocking()
    queue.want(["Logic"])
    thread = threading.Thread(target=Worker(queue, source, TinyEncoder()).step)
    thread.start()
    assert source.asked_once.wait(30)
    time.sleep(0.02)  # its claim has run out, so the job counts as queued
    queue.want([])
    source.may.set()
    thread.join()
    assert not queue.busy()
    assert not queue.arrivals()
    assert len(queue.store.parts) == len(queue.store.claims) == 0


class Wrong(Pages):
    """A source with a mistake in it."""

    def page(self, title: str) -> Page | None:
        return super().page(title) if title == "Logic" else Page(nonsense=title)


def test_a_mistake_in_a_source_fails_its_title_alone(place: str, caplog: pytest.LogCaptureFixture) -> None:
    queue = open_queue(place)
    queue.want(["Set", "Logic"])
    finish(queue, Wrong())
    assert titles_of(queue) == ["Logic"]
    assert "TypeError" in queue.status().failures[0].reason
    assert "Traceback" in caplog.text


class NoModel(TinyEncoder):
    """An encoder whose model is not there."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise KgrlError("the encoder is not on this machine")


def test_an_encoder_without_its_model_is_heard_of_before_any_page(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    queue.want(["Logic"])
    with (
        pytest.raises(KgrlError, match="not on this machine"),
        run_workers(queue, Pages, NoModel(), threads=1),
    ):
        pass
    assert not queue.failed()


def test_a_queue_that_gets_damaged_stops_the_workers(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    queue.want(TITLES)
    with (
        pytest.raises(KgrlError, match=r"queue\.db"),
        run_workers(open_queue(tmp_path), lambda: Pages(0.05), TinyEncoder(), threads=1) as broken,
    ):
        wait(lambda: bool(queue.arrivals()))
        with contextlib.closing(sqlite3.connect(tmp_path / "queue.db", timeout=30)) as connection:
            connection.execute("drop table kv")
        assert broken.wait(60)


@pytest.mark.parametrize("kill", [False, True])
def test_a_redis_that_is_restarted_costs_only_time(
    server: RedisServer, kill: bool, caplog: pytest.LogCaptureFixture
) -> None:
    queue = open_queue(server.url, lease=1.0)
    queue.want(TITLES)
    with run_workers(open_queue(server.url, lease=1.0), lambda: Pages(0.02), TinyEncoder(), threads=2):
        wait(lambda: len(queue.arrivals()) >= 5)
        server.stop(kill=kill)
        assert queue.arrivals(5) == []  # a run goes on with what it has
        queue.want(TITLES)
        assert queue.busy()
        assert not queue.failed()
        time.sleep(0.5)
        server.start()
        wait(lambda: not queue.busy())
    assert Counter(titles_of(queue)) == Counter(TITLES)
    assert not queue.status().failures
    assert sum("going on with what has arrived" in record.message for record in caplog.records) == 1
    assert 1 <= sum("trying again until it is back" in record.message for record in caplog.records) <= 2


def test_a_worker_for_another_encoder_is_refused(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    queue.configure({"encoder": "large"})
    with pytest.raises(SettingError, match="for the encoder large"):
        Worker(queue, Pages(), TinyEncoder())


def test_a_source_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownNameError, match="mediawiki"):
        make_page_source({"source": "mediawikki"})


def test_the_status_is_printed_and_returned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue = open_queue(tmp_path, patience=60.0)
    queue.want(["Logic", "Nowhere", "Later", "Waiting"])
    source = Pages(missing=["Nowhere"], broken={"Later": 1})
    finish(queue, source, until=lambda: bool(queue.status().troubled))
    queue.board.claim(queue.board.job("Waiting"), "somewhere:1")  # type: ignore[arg-type]
    result = StatusCommand(str(tmp_path)).run()
    printed = capsys.readouterr().out
    assert (result["arrived"], result["failed"], result["queued"]) == (1, 1, {"fetch": 1})
    assert json.loads(json.dumps(result))["failures"][0]["reason"] == "no such article"
    for words in ("no such article", "somewhere:1", "the site cannot be reached", "Nowhere"):
        assert words in printed


@pytest.mark.parametrize("command", [StatusCommand, WorkerCommand])
def test_commands_make_no_queue(command: Any, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(KgrlError, match="there is no queue in"):
            command(str(folder)).run()
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_run_stands_for_its_queue(tmp_path: Path) -> None:
    open_queue(tmp_path / "queue").want(["Logic"])
    assert StatusCommand(str(tmp_path)).run()["queued"] == {"fetch": 1}


def test_the_status_of_a_redis_does_not_show_its_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if reason := why_no_redis():
        pytest.skip(reason)
    with RedisServer(tmp_path, password="hush7") as server:
        result = StatusCommand(server.url).run()
    assert "hush7" not in capsys.readouterr().out + json.dumps(result)


def test_a_worker_wants_to_know_where_pages_come_from(tmp_path: Path) -> None:
    open_queue(tmp_path)
    with pytest.raises(KgrlError, match="start a run on it first"):
        WorkerCommand(str(tmp_path)).run()
    with pytest.raises(SettingError, match="at least one thread"):
        WorkerCommand(str(tmp_path), threads=0).run()


@pytest.mark.integration
def test_killed_workers_lose_nothing(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """The benchmark in small: processes killed with SIGKILL in the middle of each job type, at random moments."""
    caplog.set_level(logging.ERROR)
    titles = [f"T{n}" for n in range(400)]
    source = Pages(0.03, missing=["T3"], redirects={"T5": "T1"}, texts={"T7": made_up("T2"), "T9": "Stub"})
    figures = _kills().kill_workers(place, source, TinyEncoder(), titles, 12)
    assert figures["kills"] >= 12
    assert all(figures["by_stage"].values())
    wrong = {name: figures[name] for name in ("lost", "duplicated", "left_over", "damaged")}
    assert wrong == {"lost": 0, "duplicated": 0, "left_over": 0, "damaged": 0}
    assert figures["finished"]
    assert figures["same_as_undisturbed"]


def _kills() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    spec = importlib.util.spec_from_file_location("kills", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
