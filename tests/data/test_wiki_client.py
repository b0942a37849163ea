"""What the client makes of answers that a well-behaved site gives rarely, and of its wishes."""

from __future__ import annotations

import email.utils
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from wikipediaapi import WikipediaException

from kgrl.data.wikimedia.answers import Answer as ApiAnswer
from kgrl.data.wikimedia.answers import Query
from kgrl.data.wikimedia.wiki_client import WikiClient

URL = "https://example.org/w/api.php"
WELL: dict[str, Any] = {"query": {}}
Answer = Callable[[], httpx.Response]


class Site:
    """Gives answers in turn, and then only good ones; notes when it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.times = list(answers), list[float]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.times.append(time.monotonic())
        return self.answers.pop(0)() if self.answers else httpx.Response(200, json=WELL)

    def client(self, rate: float = 1000.0, retries: int = 3) -> WikiClient:
        return WikiClient(URL, "en", rate, retries, 0.01, httpx.MockTransport(self))


def _busy(status: int, wait: Callable[[], str]) -> Answer:
    return lambda: httpx.Response(status, headers={"Retry-After": wait()})


def _error(code: str) -> Answer:
    return lambda: httpx.Response(200, json={"error": {"code": code, "info": "because"}})


def _in_two_seconds() -> str:
    return email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds, so that it is 1 to 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("wait", [lambda: "1", _in_two_seconds], ids=["seconds", "date"])
def test_what_a_site_asks_to_wait_is_waited(status: int, wait: Callable[[], str]) -> None:
    site = Site(_busy(status, wait))
    assert site.client().ask({}) == ApiAnswer(Query())
    assert 0.95 <= site.times[1] - site.times[0] < 4


def test_all_threads_wait_when_one_is_told_to() -> None:
    site = Site(_busy(429, lambda: "1"))
    client = site.client()
    threads = [threading.Thread(target=client.ask, args=({},)) for _ in range(4)]
    threads[0].start()
    while not site.times:
        time.sleep(0.001)
    time.sleep(0.05)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.times) == 5
    assert min(site.times[1:]) - site.times[0] >= 0.95


def test_threads_share_the_rate() -> None:
    site = Site()
    client = site.client(rate=50.0)
    threads = [threading.Thread(target=client.ask, args=({},)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(later - earlier for earlier, later in itertools.pairwise(sorted(site.times))) > 0.015


def test_a_site_that_wants_to_be_left_alone_for_long_is_not_waited_for_in_silence() -> None:
    site = Site(_busy(429, lambda: "86400"))
    with pytest.raises(WikipediaException, match="left alone for 86,400 s"):
        site.client().ask({})
    assert len(site.times) == 1


@pytest.mark.parametrize("code", ["maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError"])
def test_an_error_that_passes_is_tried_again(code: str) -> None:
    site = Site(_error(code), _error(code))
    assert site.client().ask({}) == ApiAnswer(Query())
    assert len(site.times) == 3


def test_an_error_that_does_not_pass_is_told_at_once() -> None:
    site = Site(_error("readapidenied"))
    with pytest.raises(WikipediaException, match=r"readapidenied.*because"):
        site.client().ask({})
    assert len(site.times) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b'"text"', b'{"query": '])
def test_an_answer_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(WikipediaException):
        Site(lambda: httpx.Response(200, content=body)).client().ask({})


def test_a_site_that_has_moved_is_followed() -> None:
    site = Site(lambda: httpx.Response(301, headers={"Location": "https://example.org/new/api.php"}))
    assert site.client().ask({}) == ApiAnswer(Query())


def test_retries_wait_longer_each_time_and_end() -> None:
    site = Site(*[lambda: httpx.Response(500)] * 9)
    with pytest.raises(WikipediaException):
        site.client(retries=4).ask({})
    pauses = [later - earlier for earlier, later in itertools.pairwise(site.times)]
    assert len(pauses) == 4
    assert all(pause >= 0.01 * 2**number for number, pause in enumerate(pauses))


def test_it_says_who_it_is() -> None:
    said: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        said.append(request.headers["User-Agent"])
        return httpx.Response(200, json=WELL)

    WikiClient(URL, "en", 1000.0, 0, 0.01, httpx.MockTransport(answer)).ask({})
    assert said[0].startswith("kgrl/")
