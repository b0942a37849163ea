"""The research queue: what is wanted arrives once, in order, whoever works on it; bad input is refused or survived."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrl.corpus import Split, near_duplicates
from kgrl.errors import KgrlError, SettingError
from kgrl.research.log import Arrival, ArrivalLog
from kgrl.research.queue import ResearchQueue
from kgrl.research.store import QueueAwayError, open_store
from tests.support.redis_server import RedisServer, why_no_redis
from tests.support.research_pages import Pages, TinyEncoder, finish, made_up

Make = Callable[..., ResearchQueue]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if reason := why_no_redis():
        pytest.skip(reason)
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "queue")
    server = request.getfixturevalue("redis_server")
    import redis

    redis.Redis.from_url(server.url).flushall()
    return f"{server.url}/0"


@pytest.fixture
def make(place: str) -> Make:
    return lambda **limits: ResearchQueue.open(place, **{"patience": 0.0, "lease": 5.0, **limits})


def titles_of(queue: ResearchQueue) -> list[str]:
    return [arrival.title for arrival in queue.arrivals()]


def test_what_is_wanted_arrives_best_first(make: Make) -> None:
    queue = make()
    queue.want(["Logic", "Set", "Number"])
    finish(queue, Pages())
    assert titles_of(queue) == ["Logic", "Set", "Number"]
    logic = queue.arrivals()[0]
    assert " ".join(logic.texts) == made_up("Logic")
    assert set(logic.splits) == {Split.TRAIN, Split.PROBE, Split.EXAM}
    first = [text for text, split in zip(logic.texts, logic.splits, strict=True) if split == Split.TRAIN][:4]
    np.testing.assert_array_equal(logic.vectors, TinyEncoder().encode(first))
    assert [a.title for a in queue.arrivals(2)] == ["Number"]


def test_an_empty_queue_is_busy_once_after_it_was_away(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(wanted: dict[str, float]) -> None:
        raise QueueAwayError("away")

    queue = make()
    assert not queue.busy()
    with monkeypatch.context() as patched:
        patched.setattr(queue.board, "want", away)
        queue.want(["Logic"])
    assert queue.busy() and not queue.busy()


def test_another_who_opens_the_place_sees_the_same(make: Make) -> None:
    make().want(["Logic"])
    finish(make(), Pages())
    assert titles_of(make()) == ["Logic"]


def test_the_order_follows_what_is_wanted_now(make: Make) -> None:
    queue = make()
    queue.want(["Logic", "Set", "Number"])
    queue.want(["Number", "Ring", "Logic", "Set"])
    finish(queue, Pages())
    assert titles_of(queue) == ["Number", "Ring", "Logic", "Set"]


def test_what_is_wanted_no_longer_is_dropped_and_may_be_wanted_again(make: Make) -> None:
    queue, source = make(), Pages()
    queue.want(["Logic", "Set"])
    queue.want(["Set"])
    assert queue.status().queued == {"fetch": 1}
    assert queue.status().stale == 1
    finish(queue, source)
    assert source.asked == ["Set"]
    queue.want(["Logic"])
    finish(queue, source)
    assert titles_of(queue) == ["Set", "Logic"]


def test_no_more_is_queued_than_is_allowed_and_the_rest_moves_up(make: Make) -> None:
    queue = make(most_queued=2)
    queue.want(["A1", "B2", "C3", "D4"])
    assert queue.status().queued == {"fetch": 2}
    finish(queue, Pages())
    queue.want(["A1", "B2", "C3", "D4"])
    finish(queue, Pages())
    assert titles_of(queue) == ["A1", "B2", "C3", "D4"]


def test_what_has_arrived_is_not_fetched_again(make: Make) -> None:
    queue, source = make(), Pages()
    for _ in range(2):
        queue.want(["Logic"])
        finish(queue, source)
    assert source.asked == ["Logic"]


def test_a_missing_page_fails_at_once_with_the_reason(make: Make) -> None:
    queue, source = make(), Pages(missing=["Nowhere"])
    queue.want(["Nowhere", "Logic"])
    finish(queue, source)
    assert queue.failed() == {"Nowhere"}
    failure = queue.status().failures[0]
    assert (failure.stage, failure.reason, failure.attempts) == ("fetch", "no such article", 1)
    queue.want(["Nowhere"])
    assert not queue.busy()


def test_a_page_without_text_fails_with_the_reason(make: Make) -> None:
    queue = make()
    queue.want(["Stub"])
    finish(queue, Pages(texts={"Stub": "== See also ==\nRing"}))
    assert queue.status().failures[0].reason == "no passage to train on: the page has no text"
    assert len(queue.store.parts) == 0


def test_a_site_that_comes_back_is_tried_again(make: Make) -> None:
    queue = make()
    queue.want(["Logic"])
    finish(queue, Pages(broken={"Logic": 3}))
    assert titles_of(queue) == ["Logic"]


def test_a_site_that_stays_away_is_given_up_with_its_reason(make: Make) -> None:
    queue = make()
    queue.want(["Logic"])
    finish(queue, Pages(broken={"Logic": 1_000}))
    assert queue.status().failures[0].reason == "gave up after 5 attempts: the site cannot be reached"
    assert not queue.status().queued


def test_a_page_that_could_not_be_fetched_may_be_wanted_later(make: Make) -> None:
    queue, source = make(), Pages(broken={"Logic": 5})
    queue.want(["Logic"])
    finish(queue, source)
    queue.want(["Logic"])
    assert queue.failed() == {"Logic"}
    assert not queue.busy()
    record = json.loads(queue.store.failed.get("Logic") or "")
    assert time.time() < record["until"] < time.time() + 3_600
    queue.store.failed.put("Logic", json.dumps({**record, "until": time.time() - 1}))  # ten minutes later
    queue = make()
    assert not queue.failed()
    queue.want(["Logic"])
    finish(queue, source)
    assert titles_of(queue) == ["Logic"]
    assert not queue.status().failures


def test_a_retry_waits_its_time(make: Make) -> None:
    queue, source = make(patience=60.0), Pages(broken={"Logic": 1})
    queue.want(["Logic"])
    finish(queue, source, until=lambda: bool(queue.status().troubled))
    queue.want(["Logic"])
    finish(queue, source, until=lambda: not queue._messages.waiting())
    assert source.asked == ["Logic"]
    assert queue.status().troubled == {"Logic": "the site cannot be reached"}


def test_a_redirect_gives_the_topic_its_other_name(make: Make) -> None:
    queue = make()
    queue.want(["Maths"])
    finish(queue, Pages(redirects={"Maths": "Mathematics"}))
    assert [(a.title, a.aliases) for a in queue.arrivals()] == [("Mathematics", ("Maths",))]
    queue.want(["Mathematics", "Maths"])
    assert not queue.busy()
    assert not queue.failed()


def test_a_redirect_to_what_has_arrived_is_an_alias(make: Make) -> None:
    queue = make()
    source = Pages(redirects={"Maths": "Mathematics"})
    for title in ("Mathematics", "Maths"):
        queue.want([title])
        finish(queue, source)
    assert titles_of(queue) == ["Mathematics"]
    assert queue.aliases() == {"Maths": "Mathematics"}
    assert queue.failed() == {"Maths"}
    assert not queue.status().failures


def test_nothing_is_left_over(make: Make) -> None:
    queue = make()
    queue.want(["Logic", "Set"])
    finish(queue, Pages())
    assert [len(queue.store.parts), len(queue.store.jobs), len(queue.store.claims)] == [0, 0, 0]
    assert not queue._messages.waiting()


def test_the_job_of_a_dead_worker_is_done_again(make: Make) -> None:
    queue = make(lease=0.05)
    queue.want(["Logic"])
    assert queue.store.messages.dequeue()  # a worker took the message …
    job = queue.board.jobs()[0]
    assert queue.board.claim(job, "dead")  # … claimed the job, and died
    assert [r.worker for r in queue.status().running] == ["dead"]
    time.sleep(0.06)
    finish(queue, Pages())
    assert titles_of(queue) == ["Logic"]
    assert len(queue.store.claims) == 0


def test_a_lost_message_is_sent_again(make: Make) -> None:
    queue = make()
    queue.want(["Logic"])
    queue._messages.clear()
    finish(queue, Pages())
    assert titles_of(queue) == ["Logic"]


def test_a_title_that_kills_its_workers_is_given_up(make: Make) -> None:
    queue = make(lease=0.0)
    queue.want(["Bomb"])
    while queue.busy():
        queue.board.claim(queue.board.jobs()[0], "dead")
        time.sleep(0.001)
        queue.board.tend(queue._messages)
    assert "the worker dead stopped in the middle" in queue.status().failures[0].reason


def test_passages_that_repeat_another_split_of_what_arrived_are_dropped(make: Make) -> None:
    queue = make()
    queue.want(["First"])
    finish(queue, Pages())
    first = queue.arrivals()[0]
    second = "Second " + made_up("Second", 4) + " " + " ".join(reversed(first.texts))
    queue.want(["Second"])
    finish(queue, Pages(texts={"Second": second}))
    texts = [*first.texts, *queue.arrivals()[1].texts]
    splits = np.array([*first.splits, *queue.arrivals()[1].splits], dtype=np.uint8)
    assert not near_duplicates(texts, splits).any()
    assert queue.arrivals()[1].texts


def test_a_copy_of_what_arrived_under_another_title_is_told_apart(make: Make) -> None:
    queue = make()
    source = Pages(texts={"Copy": made_up("First")})
    for title in ("First", "Copy"):
        queue.want([title])
        finish(queue, source)
    held_out = {t for t, s in zip(queue.arrivals()[0].texts, queue.arrivals()[0].splits, strict=True) if s}
    trained = {t for a in queue.arrivals() for t, s in zip(a.texts, a.splits, strict=True) if s == Split.TRAIN}
    assert not held_out & trained


@pytest.mark.parametrize("title", ["../../x", "/etc/passwd", "Ünïcödé", "数学", "a'; drop table kv; --", "%s{0}\\"])
def test_odd_titles_are_titles(make: Make, title: str) -> None:
    queue = make()
    queue.want([title])
    finish(queue, Pages())
    assert titles_of(queue) == [title]


@pytest.mark.parametrize("title", ["", "  ", "half a \ud800 pair", "nul\0"])
def test_what_cannot_be_a_title_is_refused(make: Make, title: str) -> None:
    with pytest.raises(SettingError, match="is not a title"):
        make().want([title])


def test_configurations_are_not_mixed(make: Make) -> None:
    make().configure({"source": {"language": "en"}, "encoder": "tiny"})
    make().configure({"encoder": "tiny", "source": {"language": "en"}})
    with pytest.raises(SettingError, match="language"):
        make().configure({"source": {"language": "fr"}, "encoder": "tiny"})
    assert make().settings["source"] == {"language": "en"}


def test_another_encoder_is_refused(make: Make) -> None:
    make().configure({"encoder": "large"})
    with pytest.raises(SettingError, match="for the encoder large, and this is tiny"):
        finish(make(), Pages())


def test_the_status_is_plain_data(make: Make) -> None:
    queue = make()
    queue.want(["Logic", "Nowhere"])
    finish(queue, Pages(missing=["Nowhere"]))
    status = queue.status()
    assert (status.arrived, len(status.failures), dict(status.queued), status.running) == (1, 1, {}, ())


def test_a_page_of_one_huge_line_arrives(make: Make) -> None:
    queue = make()
    queue.want(["Huge"])
    finish(queue, Pages(texts={"Huge": " ".join(map(str, range(1_500_000)))}))
    arrival = queue.arrivals()[0]
    assert max(map(len, arrival.texts)) <= 1_000
    assert sum(map(len, arrival.texts)) <= 1_000_000


def draft(title: str) -> Arrival:
    return Arrival(title, "", (), (), (made_up(title, 2),), (0,), np.ones((1, 4), np.float32), 1.0)


def append_all(where: str, titles: list[str]) -> None:
    log = ArrivalLog(open_store(where).log)
    for title in titles:
        log.append(draft(title), lambda final: final)


_LISTS = st.lists(st.lists(st.sampled_from([f"T{n}" for n in range(12)]), max_size=12), min_size=2, max_size=4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=_LISTS)
def test_threads_that_append_at_once_leave_no_gap_and_no_repeat(place: str, lists: list[list[str]]) -> None:
    space = open_store(place).log
    space.delete(*space.items())
    threads = [threading.Thread(target=append_all, args=(place, titles)) for titles in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_log(place, {title for titles in lists for title in titles})


@pytest.mark.integration
def test_processes_that_append_at_once_leave_no_gap_and_no_repeat(place: str) -> None:
    titles = [f"T{n}" for n in range(30)]
    orders = [np.random.default_rng(seed).permutation(titles).tolist() for seed in range(3)]
    code = "import json, sys; from tests.research.test_queue import append_all; append_all(*json.loads(sys.argv[1]))"
    commands = [[sys.executable, "-c", code, json.dumps([place, order])] for order in orders]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in commands]
    assert [process.wait() for process in processes] == [0, 0, 0]
    check_log(place, set(titles))


def check_log(place: str, expected: set[str]) -> None:
    entries = open_store(place).log.items()
    assert set(entries) == {str(number) for number in range(len(expected))}
    titles = [json.loads(text)["title"] for text in entries.values()]
    assert len(titles) == len(set(titles))
    assert set(titles) == expected


def test_a_log_that_lost_its_end_is_read_again(make: Make) -> None:
    queue = make()
    queue.want(["A1", "B2", "C3"])
    finish(queue, Pages())
    queue.store.log.delete("1", "2")
    queue.log.append(draft("D4"), lambda final: final)
    assert titles_of(queue) == ["A1", "D4"]


def test_what_the_queue_lost_is_put_back_by_the_run(make: Make) -> None:
    queue, source = make(), Pages(redirects={"Maths": "Mathematics"})
    queue.want(["Logic", "Maths"])
    finish(queue, source)
    had = queue.arrivals()
    queue.store.log.delete("0", "1")
    queue.store.done.delete(*queue.store.done.items())
    with pytest.raises(KgrlError, match="forgotten arrival 1"):
        queue.arrivals(2)
    assert queue.restore(had) == 2
    assert queue.restore(had) == 0
    queue.want(["Logic", "Maths", "Mathematics", "Set"])
    finish(queue, source)
    assert titles_of(queue) == ["Logic", "Mathematics", "Set"]
    with pytest.raises(KgrlError, match="the queue of another run"):
        queue.restore(reversed(had))


def test_the_log_is_the_same_for_the_same_order_of_titles(tmp_path: Path) -> None:
    texts = {"Copy": made_up("First") + " " + made_up("More"), "Other": made_up("More")}
    logs = []
    for name, steps in (("one", [["First", "Copy", "Other"]]), ("two", [["First"], ["Copy"], ["Other"]])):
        queue = ResearchQueue.open(tmp_path / name)
        for titles in steps:
            queue.want(titles)
            finish(queue, Pages(texts=texts))
        logs.append([arrival.to_json() for arrival in queue.arrivals()])
    assert logs[0] == logs[1]
