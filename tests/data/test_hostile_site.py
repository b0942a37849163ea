"""Sites that are broken or hostile: each ends in an error that names the site, in bounded memory and time."""

from __future__ import annotations

import logging
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kgrl.data import load_corpus
from kgrl.data.folder import save_folder
from kgrl.data.wikimedia import wikipedia
from kgrl.data.wikimedia.crawl import crawl
from kgrl.data.wikimedia.limits import Limits
from kgrl.data.wikimedia.wikipedia import MediaWiki
from kgrl.errors import KgrlError
from tests.support.hostile_site import ODD_ADDRESSES, HostileSite
from tests.support.malformed_answers import MALFORMED, page_of

SMALL = Limits(answer_bytes=1 << 20, answer_seconds=0.5, page_bytes=4 << 20, page_seconds=2.0)
Make = Callable[..., MediaWiki]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[MediaWiki] = []

    def make_source(url: str, **options: Any) -> MediaWiki:
        settings = {"cache": tmp_path / "pages.db", "rate": 10_000.0, "retries": 1, "retry_wait": 0.001}
        made.append(MediaWiki(url, **{**settings, "limits": SMALL, **options}))
        return made[-1]

    yield make_source
    for source in made:
        source.close()


@pytest.fixture(scope="module")
def site() -> Iterator[HostileSite]:
    with HostileSite(MALFORMED) as running:
        yield running


@pytest.mark.parametrize("shape", MALFORMED)
def test_a_malformed_answer_is_an_error_that_names_the_site(site: HostileSite, make: Make, shape: str) -> None:
    with pytest.raises(KgrlError, match=rf"{shape}/api.php cannot be asked: (it|its) ") as caught:
        make(site.url(shape)).page("Logic")
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("endless", "larger than 1,048,576 bytes"),
        ("bomb", "larger than 1,048,576 bytes"),
        ("large", "larger than 1,048,576 bytes"),
        ("bomb-in-bomb", "packed as 'gzip, gzip'"),
        ("half-packed", "ends in the middle"),
        ("badly-packed", "cannot be unpacked"),
        ("slow-body", "not complete after 0.5 s"),
        ("slow-headers", "not complete after 0.5 s"),
        ("cut", "closed connection"),
        ("nothing", "disconnected"),
        ("noise", "illegal"),
        ("around", "maximum allowed redirects"),
        ("onward", "maximum allowed redirects"),
        ("long-continuation", "an address that is none"),
        *[(name, "cannot be asked") for name in ODD_ADDRESSES],
    ],
)
def test_a_site_without_measure_is_left_soon_and_by_name(site: HostileSite, make: Make, mode: str, reason: str) -> None:
    source, began = make(site.url(mode)), time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(KgrlError, match=rf"(?s){mode}/api.php.*{reason}"):
            source.page("Logic")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "many",
    [
        b'{"query":{"pages":[' + b",".join([b"{}"] * 600_000) + b"]}}",
        b'{"continue":{' + b",".join(b'"%d" :1' % n for n in range(600_000)) + b"}}",
    ],
    ids=["pages", "parameters"],
)
def test_an_answer_of_a_million_parts_is_refused_before_they_are_made(make: Make, many: bytes) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=many))
    with pytest.raises(KgrlError, match="more parts than"):
        make("https://example.org/w/api.php", transport=answer, limits=Limits()).page("Logic")


def test_an_answer_that_is_packed_is_read(site: HostileSite, make: Make) -> None:
    page = make(site.url("packed")).page("Logic")
    assert page is not None and page.text == "Logic studies reasoning."


def test_what_exceeds_a_limit_is_not_asked_for_again(make: Make) -> None:
    with HostileSite() as own:
        for mode in ("endless", "slow-body", "badly-packed"):
            before = own.asked
            with pytest.raises(KgrlError):
                make(own.url(mode), retries=5).page("Logic")
            assert own.asked == before + 1, mode


def test_a_cut_connection_is_tried_again(make: Make) -> None:
    with HostileSite() as own:
        with pytest.raises(KgrlError):
            make(own.url("cut"), retries=3).page("Logic")
        assert own.asked == 4


def test_pieces_of_an_answer_have_an_end(site: HostileSite, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia, "_MOST_PIECES", 20)
    with pytest.raises(KgrlError, match="never ends"):
        make(site.url("continues")).page("Logic")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(answer_bytes=10_000, page_bytes=2_000), "about one page are larger than 2,000 bytes"),
        (Limits(page_seconds=0.05), "about a page after 0.05 s"),
    ],
)
def test_all_pieces_together_are_limited(site: HostileSite, make: Make, limits: Limits, reason: str) -> None:
    with pytest.raises(KgrlError, match=reason):
        make(site.url("continues"), limits=limits).page("Logic")


def test_limits_are_for_a_page_and_not_for_a_crawl(site: HostileSite, make: Make) -> None:
    source = make(site.url("good"), limits=Limits(page_bytes=1_000))
    assert all(source.page(f"Logic {number}") is not None for number in range(30))


def test_long_lists_of_links_and_long_texts_are_cut_with_a_word(
    site: HostileSite, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wikipedia, "_MOST_LINKS", 70)
    monkeypatch.setattr(wikipedia, "_MOST_TEXT", 12)
    with caplog.at_level(logging.WARNING):
        page = make(site.url("many-links")).page("Logic")
    assert page is not None and (len(page.links), page.text) == (70, "Logic studie")
    assert "only 70 links of 'Logic'" in caplog.text
    assert "only 12 of 24 characters of 'Logic'" in caplog.text


def test_titles_that_no_wiki_allows_do_not_reach_a_corpus(make: Make, tmp_path: Path) -> None:
    """As links, redirects or categories they are left out or cleaned, so that the folder can be read again."""
    odd = ["Lo\u2028gic", "Ta\tb", "Nul\0", "Next\x85line", "", "x" * 300, "Good"]

    def answer(request: httpx.Request) -> httpx.Response:
        title = request.url.params["titles"]
        if "generator" in request.url.params:
            return httpx.Response(200, json={"query": {"pages": [{"title": link, "ns": 0} for link in odd]}})
        page = {"title": title, "ns": 0, "extract": f"{title} is one. It was two. It will be three."}
        page |= {"categories": [{"title": "Category:Many\u2028\twords"}]}
        redirects = [{"from": link, "to": title} for link in odd]
        return httpx.Response(200, json={"query": {"pages": [page], "redirects": redirects}})

    source = make("https://example.org/w/api.php", transport=httpx.MockTransport(answer))
    corpus = crawl(source, ["Logic"], 9)
    assert set(corpus.graph.titles) == {"Logic", "Good"}
    save_folder(corpus, tmp_path / "corpus")
    assert load_corpus(str(tmp_path / "corpus")).graph.categories[0] == "Many words"


def test_redirects_in_a_circle_take_no_time(make: Make) -> None:
    names = [f"R{number}" for number in range(3_000)]
    redirects = [{"from": name, "to": names[number - 1]} for number, name in enumerate(names)]
    markup = " ".join(f"[[{name}]]" for name in names)

    def answer(request: httpx.Request) -> httpx.Response:
        if "generator" in request.url.params:
            return httpx.Response(200, json={"query": {"pages": [], "redirects": redirects}})
        return httpx.Response(200, json=page_of(revisions=[{"content": markup}]))

    began = time.monotonic()
    transport = httpx.MockTransport(answer)
    assert make("https://example.org/w/api.php", transport=transport, limits=Limits()).page("Logic") is not None
    assert time.monotonic() - began < 2
