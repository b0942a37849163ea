"""Live pages: from a real MediaWiki, through a proxy that misbehaves, and out of the cache."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.data.wikimedia.wikipedia import MediaWiki
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.research import Page, PageSource
from tests.support.faulty_proxy import FaultyProxy
from tests.support.mediawiki import MediaWikiServer

_BIG = "\n\n".join(f"Paragraph {n} says that [[Logic]] is long. " + "All work and no play. " * 40 for n in range(1_100))
PAGES = {
    "Logic": "'''Logic''' studies [[reasoning]], [[Maths]], [[Mercury]], [[Talk:Logic]] and [[Nowhere]].\n\n"
    "== History ==\nIt is old.[[Category:Philosophy]][[Category:Thought]]",
    "Reasoning": "Reasoning is thinking. [[Logic]].",
    "Mathematics": "Mathematics counts. [[Logic]] [[数学]]",
    "Maths": "#REDIRECT [[Mathematics]]",
    "Math": "#REDIRECT [[Maths]]",
    "Round": "#REDIRECT [[Around]]",
    "Around": "#REDIRECT [[Round]]",
    "Mercury": "Mercury is a metal or a planet. [[Category:Disambiguation pages]]",
    "Mars (disambiguation)": "Mars may be many things.",
    "Venus": "'''Venus''' may be a goddess or a planet. __DISAMBIG__",
    "Order": "{{Box}} First [[reasoning]], then [[Math|numbers]], [[数学]], [[Logic#History]] and [[Größe &amp; Maß]].",
    "Template:Box": "[[Big]]",
    "数学": "数学は数を扱う。[[Mathematics]]",
    "Größe & Maß": "Größe ist ein Maß.",
    "Etc/../../passwd": "A title that looks like a path.",
    "Big": _BIG,
    "Talk:Logic": "Is it?",
    "Poet": "A poet writes. [[Logic]].\n\n== History ==\nIt is old.\n\n== References ==\nA long list of books.",
    "Robin": "It may be many things. {{hndis}}",
    "Kept": "A page. [[Category:All articles with dead links]] [[Category:Thought]]",
    "Category:All articles with dead links": "__HIDDENCAT__",
}
Make = Callable[..., MediaWiki]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make_source(url: str, **options: Any) -> MediaWiki:
        settings = {"cache": tmp_path / "pages.db", "rate": 1000.0, "retry_wait": 0.01, **options}
        return MediaWiki(url, **settings)

    return make_source


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaWikiServer]:
    with MediaWikiServer(tmp_path_factory.mktemp("wiki"), PAGES) as server:
        yield server


@pytest.mark.integration
def test_a_page_has_text_links_categories_and_the_time(site: MediaWikiServer, make: Make) -> None:
    source = make(site.api_url)
    assert isinstance(source, PageSource)
    page = source.page("Logic")
    assert page is not None
    assert page.text == "Logic studies reasoning, Maths, Mercury, Talk:Logic and Nowhere.\n\n\nHistory\nIt is old."
    assert set(page.links) == {"Reasoning", "Mathematics", "Mercury"}  # through redirects, and only what is there
    assert page.categories == ("Philosophy", "Thought")
    assert abs(page.fetched - time.time()) < 60


@pytest.mark.integration
def test_redirects_are_followed_and_what_is_no_article_is_none(site: MediaWikiServer, make: Make) -> None:
    source = make(site.api_url)
    once, twice = source.page("Maths"), source.page("Math")
    assert once is not None and twice is not None
    assert (once.title, once.redirects) == ("Mathematics", ("Maths",))
    assert (twice.title, twice.redirects, twice.text) == ("Mathematics", ("Math", "Maths"), once.text)
    for title in (
        "Mercury",
        "Mars (disambiguation)",
        "Venus",
        "Robin",
        "Logic#History",
        "Nowhere",
        "Talk:Logic",
        "Round",
        "a|b",
        "[[x]]",
        "",
        "\ud800",
        "x" * 300,
    ):
        assert source.page(title) is None, title
    assert source.page("\ud800") is None and source.page("x" * 300) is None


@pytest.mark.integration
def test_appendices_are_not_part_of_the_text(site: MediaWikiServer, make: Make) -> None:
    page = make(site.api_url).page("Poet")
    assert page is not None and page.text == "A poet writes. Logic.\n\n\nHistory\nIt is old."


@pytest.mark.integration
def test_hidden_categories_are_not_a_page_s_categories(site: MediaWikiServer, make: Make) -> None:
    """They come first by name, and the first is a topic's category."""
    page = make(site.api_url).page("Kept")
    assert page is not None and page.categories == ("Thought",)


def test_links_come_in_the_order_of_the_text_and_those_of_templates_last(site: MediaWikiServer, make: Make) -> None:
    page = make(site.api_url).page("Order")
    assert page is not None
    assert page.links == ("Reasoning", "Mathematics", "数学", "Logic", "Größe & Maß", "Big")


@pytest.mark.integration
def test_titles_of_any_script_and_shape(site: MediaWikiServer, make: Make, tmp_path: Path) -> None:
    source = make(site.api_url)
    for title in ("数学", "Größe & Maß"):
        page = source.page(title)
        assert page is not None
        assert page.title == title
    assert source.page("../../x") is None
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"pages.db"}


@pytest.mark.integration
def test_a_page_of_a_megabyte(site: MediaWikiServer, make: Make) -> None:
    page = make(site.api_url).page("Big")
    assert page is not None
    assert len(page.text) > 900_000
    assert page.links == ("Logic",)


@pytest.mark.integration
def test_a_site_without_plain_text_is_read_from_its_markup(make: Make, tmp_path: Path) -> None:
    with MediaWikiServer(
        tmp_path / "bare", {"Logic": PAGES["Logic"], "Reasoning": "Thinking."}, extracts=False
    ) as bare:
        page = make(bare.api_url).page("Logic")
        assert page is not None
        assert page.text.startswith("Logic studies reasoning, Maths, Mercury")
        assert page.links == ("Reasoning",)


@pytest.mark.integration
def test_what_fails_for_a_while_is_tried_again(site: MediaWikiServer, make: Make) -> None:
    faults = ["500", "cut", "half", "429", "503", "slow", "ok", "cut", "half", "500"]
    with FaultyProxy(site.api_url.removesuffix("/api.php"), faults) as proxy:
        began = time.monotonic()
        source = make(proxy.api_url, retries=5)
        page = source.page("Logic")
        assert page is not None
        assert source.page("Mathematics") is not None
        assert page.text == make(site.api_url).page("Logic").text  # type: ignore[union-attr]
        assert time.monotonic() - began >= 1  # the proxy asked for a second when it said 429
        assert proxy.seen[: len(faults)] == faults


@pytest.mark.integration
def test_the_cache_serves_without_a_network_and_the_error_names_what_is_missing(
    site: MediaWikiServer, make: Make, tmp_path: Path
) -> None:
    with FaultyProxy(site.api_url.removesuffix("/api.php")) as proxy:
        url = proxy.api_url
        page = make(url).page("Logic")
    again = make(url, retries=0)
    assert again.page("Logic") == page
    with pytest.raises(KgrlError, match=r"'Reasoning' is not in .*pages.db, and http.* cannot be asked: Wiki"):
        again.page("Reasoning")
    assert make(url, retries=0, max_age=0.0).page("Logic") == page  # too old, but better than nothing


def _answering(pages: dict[str, str]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        title = request.url.params["titles"]
        if "generator" in request.url.params:
            return httpx.Response(200, json={"query": {}})
        page = {"title": title, "ns": 0, **({"extract": pages[title]} if title in pages else {"missing": True})}
        return httpx.Response(200, json={"query": {"pages": [page]}})

    return httpx.MockTransport(answer)


def test_what_was_fetched_is_fetched_again_once_it_is_too_old(make: Make) -> None:
    pages = {"Logic": "Old."}
    url = "https://example.org/w/api.php"
    source = make(url, transport=_answering(pages))
    assert source.page("Logic").text == "Old."  # type: ignore[union-attr]
    assert source.page("Gone") is None
    pages["Logic"], pages["Gone"] = "New.", "Back."
    assert source.page("Logic").text == "Old."  # type: ignore[union-attr]
    assert source.page("Gone") is None
    fresh = make(url, transport=_answering(pages), max_age=0.0)
    assert fresh.page("Logic").text == "New."  # type: ignore[union-attr]
    assert fresh.page("Gone").text == "Back."  # type: ignore[union-attr]


def test_requests_keep_to_the_rate(make: Make) -> None:
    times: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(time.monotonic())
        return _answering({"a": "A."}).handle_request(request)

    source = make("https://example.org/w/api.php", transport=httpx.MockTransport(answer), rate=50.0)
    began = time.monotonic()
    for number in range(5):
        source.page(f"t{number}")
    assert len(times) == 5
    assert times[-1] - began >= 4 / 50


def test_an_answer_that_is_an_error_is_told(make: Make) -> None:
    refusing = httpx.MockTransport(lambda request: httpx.Response(200, json={"error": {"code": "readapidenied"}}))
    with pytest.raises(KgrlError, match=r"refuses: .*readapidenied"):
        make("https://example.org/w/api.php", transport=refusing).page("Logic")


@pytest.mark.parametrize(
    ("options", "message"), [({"url": "example"}, "not the URL of an API"), ({"rate": 0.0}, "above 0")]
)
def test_senseless_settings_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        MediaWiki(**{"cache": tmp_path / "pages.db", **options})


def test_a_damaged_cache_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "pages.db"
    path.write_bytes(b"no database at all, " * 100)
    with pytest.raises(DataError, match=r"pages.db: the page cache is damaged .* delete it"):
        PageCache(path)
    path.unlink()
    cache = PageCache(path)
    for number in range(200):
        cache.put("s", f"t{number}", Page(f"t{number}", "words " * 50, fetched=1.0))
    cache.close()
    sqlite3.connect(path).execute("pragma wal_checkpoint(truncate)")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(DataError, match="the page cache is damaged"):
        for number in range(200):
            PageCache(path).get("s", f"t{number}")


def test_a_cache_keeps_sites_apart_and_pages_whole(tmp_path: Path) -> None:
    cache = PageCache(tmp_path / "pages.db")
    page = Page("数学", "text\n\n☃", ("a", "b"), ("c",), 5.0, ("d",))
    cache.put("one", "x", page)
    cache.put("two", "x", None)
    assert PageCache(tmp_path / "pages.db").get("one", "x") == (page,)
    assert cache.get("two", "x") == (None,)
    assert cache.get("three", "x") is None
    assert json.loads(sqlite3.connect(cache.path).execute("select page from pages where site='one'").fetchone()[0])


MARKUP = "'''Logic''' studies [[reasoning]]. It is old."
PLAIN = "Logic studies reasoning. It is old."


@pytest.mark.parametrize(
    "pages",
    [
        [{"title": "Logic", "ns": 0, "revisions": [{"slots": {"main": {"content": MARKUP}}}]}],
        [{"title": "Logic", "ns": 0, "extract": None, "revisions": [{"slots": {"main": {"content": MARKUP}}}]}],
        [{"title": "Logic", "ns": 0, "revisions": [{"content": MARKUP}]}],
        {"1": {"pageid": 1, "title": "Logic", "ns": 0, "revisions": [{"*": MARKUP}]}},
    ],
    ids=["without extracts", "null extract", "before 1.32", "before 1.25"],
)
def test_answers_of_every_version_give_the_text(make: Make, pages: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={} if "generator" in request.url.params else {"query": {"pages": pages}})

    page = make("https://example.org/w/api.php", transport=httpx.MockTransport(answer)).page("Logic")
    assert page is not None and page.text == PLAIN


@pytest.mark.parametrize("missing", [[{"title": "X", "ns": 0, "missing": True}], {"-1": {"title": "X", "missing": ""}}])
def test_a_missing_page_is_none_in_every_version(make: Make, missing: Any) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"query": {"pages": missing}}))
    assert make("https://example.org/w/api.php", transport=answer).page("X") is None


@pytest.mark.parametrize("model", ["wikibase-item", "json", "Scribunto", "css"])
def test_data_and_programs_are_not_articles(make: Make, model: str) -> None:
    pages = [{"title": "Q42", "ns": 0, "contentmodel": model, "revisions": [{"content": '{"type": "item"}'}]}]
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"query": {"pages": pages}}))
    assert make("https://example.org/w/api.php", transport=answer).page("Q42") is None


@pytest.mark.parametrize("model", ["wikibase-item", "json"])
def test_a_revision_may_say_that_it_is_data(make: Make, model: str) -> None:
    slots = {"main": {"contentmodel": model, "content": '{"type": "item"}'}}
    pages = [{"title": "Q42", "ns": 0, "revisions": [{"slots": slots}]}]
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"query": {"pages": pages}}))
    assert make("https://example.org/w/api.php", transport=answer).page("Q42") is None


def test_an_empty_extract_gives_way_to_the_markup(make: Make) -> None:
    pages = [{"title": "Logic", "ns": 0, "extract": "", "revisions": [{"content": "'''Logic''' is old."}]}]
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"query": {"pages": pages}}))
    page = make("https://example.org/w/api.php", transport=answer).page("Logic")
    assert page is not None and page.text == "Logic is old."


def test_lists_of_links_are_continued_as_each_version_does(make: Make) -> None:
    """As now, in one table; before 1.21 in a table for each part of the query."""
    for key, wrapped in (("continue", lambda at: at), ("query-continue", lambda at: {"links": at})):

        def answer(request: httpx.Request, key: str = key, wrapped: Any = wrapped) -> httpx.Response:
            asked = request.url.params
            if "generator" not in asked:
                page = {"title": "Logic", "ns": 0, "extract": PLAIN}
                return httpx.Response(200, json={"query": {"pages": [page]}})
            number = int(asked.get("gplcontinue", 0))
            more = {key: wrapped({"gplcontinue": number + 1})} if number < 3 else {}
            return httpx.Response(200, json={"query": {"pages": [{"title": f"T{number}", "ns": 0}]}, **more})

        url = f"https://{key}.example.org/w/api.php"
        page = make(url, transport=httpx.MockTransport(answer)).page("Logic")
        assert page is not None and sorted(page.links) == ["T0", "T1", "T2", "T3"]


def test_an_answer_that_never_ends_is_an_error(make: Make) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = {"title": "Logic", "ns": 0, "extract": PLAIN}
        return httpx.Response(200, json={"query": {"pages": [page]}, "continue": {"clcontinue": "same"}})

    with pytest.raises(KgrlError, match="never ends"):
        make("https://example.org/w/api.php", transport=httpx.MockTransport(answer)).page("Logic")
