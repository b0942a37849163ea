"""Pages of Wikipedia, or of any MediaWiki site, as they are now.

wikipedia-api carries the requests, tries again what failed for a while and honours `Retry-After`. This module says what
to ask for, goes no faster than it should, and remembers every page in a cache, so that what was fetched once is there
without a network.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from wikipediaapi import Wikipedia, WikipediaException

from kgrl.cache import cache_dir
from kgrl.data.page_cache import PageCache
from kgrl.data.wikitext import normal_title, read_wikitext
from kgrl.errors import KgrlError, SettingError
from kgrl.research.page import Page

__all__ = ["MediaWiki"]

_AGENT = "kgrl/0.1 (curriculum learning research; https://pypi.org/project/kgrl)"
_TIMEOUT_SECONDS = 30.0
_DISAMBIGUATION = re.compile(r"\((?:disambiguation|homonymie|desambiguación|begriffsklärung)\)$", re.IGNORECASE)
_OF_DISAMBIGUATION = re.compile(r"disambiguation pages|homonymie|desambiguación|begriffsklärung", re.IGNORECASE)
_NO_TITLE = re.compile(r"[<>\[\]{}|\x00-\x1f\x7f\ud800-\udfff\ufffd]")
_LONGEST_TITLE = 255  # bytes; MediaWiki has no longer ones

_log = logging.getLogger(__name__)


class MediaWiki:
    """Gives the pages of a site by title; a `PageSource`. Threads may share one.

    Redirects are followed, those of links too. Pages that only list others, and links to pages that are missing, are
    left out. Text is what the site's extension TextExtracts gives; where it has none, the markup is read.

    Args:
        url: The site's API, such as `https://en.wikipedia.org/w/api.php`; that of Wikipedia if None.
        language: The language of Wikipedia, where no URL is given.
        cache: The file that remembers pages; `pages.db` in kgrl's cache folder if None.
        max_age: Seconds after which a page is fetched again, and kept as it was where that fails; never if None.
        rate: Most requests a second, over all threads.
        retries: How often a request is tried again, after 1, 2, 4, ... seconds or what the site asks for.
        retry_wait: Seconds before the first of these.
        transport: What carries requests, for tests.

    Raises:
        SettingError: If the URL is none, or the rate is not above 0.
        DataError: If the cache is damaged.
    """

    def __init__(
        self,
        url: str | None = None,
        language: str = "en",
        *,
        cache: Path | None = None,
        max_age: float | None = None,
        rate: float = 10.0,
        retries: int = 5,
        retry_wait: float = 1.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url or f"https://{language}.wikipedia.org/w/api.php"
        if urlsplit(self.url).scheme not in {"http", "https"} or not urlsplit(self.url).netloc:
            raise SettingError(f"{self.url!r} is no URL of an API, such as https://en.wikipedia.org/w/api.php")
        if rate <= 0:
            raise SettingError(f"the rate must be above 0 requests a second, not {rate}")
        self.max_age = max_age
        self._cache = PageCache(cache or cache_dir() / "pages.db")
        self._client = _Client(
            self.url,
            user_agent=_AGENT,
            language=language,
            max_retries=retries,
            retry_wait=retry_wait,
            timeout=_TIMEOUT_SECONDS,
            transport=_Polite(transport or httpx.HTTPTransport(), rate),
        )
        self._extracts = True

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to, None where there is no article.

        Raises:
            KgrlError: If it is not in the cache and the site cannot be asked.
        """
        if not _fit(title):
            return None
        if (kept := self._cache.get(self.url, title, self.max_age)) is not None:
            return kept[0]
        try:
            page = self._fetch(title)
        except (WikipediaException, httpx.HTTPError) as error:
            if (old := self._cache.get(self.url, title)) is not None:
                _log.warning("%s cannot be asked (%s); %r is as it was", self.url, error, title)
                return old[0]
            reason = f"{type(error).__name__}: {error}"
            raise KgrlError(
                f"{title!r} is not in {self._cache.path}, and {self.url} cannot be asked: {reason}"
            ) from error
        self._cache.put(self.url, title, page)
        return page

    def _fetch(self, title: str) -> Page | None:
        text = "extracts" if self._extracts else "revisions"
        asked = {"titles": title, "prop": f"{text}|categories|pageprops", "cllimit": "max", "ppprop": "disambiguation"}
        found = self._merged(
            {**asked, "explaintext": 1, "exsectionformat": "plain", "rvprop": "content", "rvslots": "main"}
        )
        if found is None:
            return None
        categories = tuple(c["title"].partition(":")[2] for c in found.get("categories", ()))
        if _only_a_choice(found, categories):
            return None
        if self._extracts and "extract" not in found:
            self._extracts = False  # the site lacks the extension
            return self._fetch(title)
        came_from = (title, *found["redirects"]) if found["title"] != title else ()
        return Page(
            title=found["title"],
            text=_text(found),
            links=tuple(dict.fromkeys(link for link in self._links(found["title"]) if link != found["title"])),
            categories=categories,
            fetched=time.time(),
            redirects=tuple(dict.fromkeys(name for name in came_from if name != found["title"])),
        )

    def _merged(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """One page of an answer that may come in pieces; None where there is none."""
        page: dict[str, Any] = {}
        for query in self._answers(parameters):
            (piece,) = query.get("pages") or [{"missing": True}]
            if piece.get("missing") or piece.get("invalid") or piece.get("ns", 0) != 0:
                return None
            page.setdefault("redirects", [redirect["from"] for redirect in query.get("redirects", ())])
            for name, value in piece.items():
                page[name] = page[name] + value if name == "categories" and name in page else value
        return page or None

    def _links(self, title: str) -> Iterator[str]:
        """The articles that a page links to, through redirects, in the site's order."""
        asked = {"titles": title, "generator": "links", "gplnamespace": 0, "gpllimit": "max"}
        for query in self._answers(asked):
            for page in query.get("pages", ()):
                if not page.get("missing") and page.get("ns") == 0:
                    yield page["title"]

    def _answers(self, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The pieces of an answer to a query."""
        following: dict[str, Any] = {}
        while True:
            asked = {"action": "query", "format": "json", "formatversion": 2, "redirects": 1, **parameters, **following}
            answer = self._client.ask(asked)
            if "error" in answer:
                raise KgrlError(f"{self.url} refuses: {json.dumps(answer['error'], ensure_ascii=False)[:300]}")
            yield answer.get("query", {})
            if "continue" not in answer:
                return
            following = answer["continue"]


class _Client(Wikipedia):  # type: ignore[misc] # wikipedia-api's classes have no types
    """wikipedia-api's client, asking a site of one's own what it is told to."""

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        super().__init__(**options)

    def _build_url(self, language: str) -> str:
        return self._url

    def ask(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; tries again what may come right."""
        answer: dict[str, Any] = self._get(self.language, parameters)
        return answer


class _Polite(httpx.BaseTransport):
    """Sends requests one after another at no more than a rate, and calls a cut connection one that failed."""

    def __init__(self, inner: httpx.BaseTransport, rate: float) -> None:
        self._inner, self._pause = inner, 1.0 / rate
        self._lock, self._next = threading.Lock(), 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._pause
        time.sleep(max(0.0, start - time.monotonic()))
        try:
            response = self._inner.handle_request(request)
            response.read()  # here, so that an answer that is cut off is tried again
        except (httpx.NetworkError, httpx.ProtocolError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return response

    def close(self) -> None:
        self._inner.close()


def _fit(title: str) -> bool:
    """Whether a title can be one of an article; others would ask for something else, or for nothing."""
    clean = normal_title(title)
    return bool(clean) and not _NO_TITLE.search(title) and len(title.encode("utf-8", "replace")) <= _LONGEST_TITLE


def _only_a_choice(found: Mapping[str, Any], categories: tuple[str, ...]) -> bool:
    """Whether a page lists articles of similar names."""
    return (
        "disambiguation" in found.get("pageprops", {})
        or _DISAMBIGUATION.search(found["title"]) is not None
        or any(_OF_DISAMBIGUATION.search(category) for category in categories)
    )


def _text(found: Mapping[str, Any]) -> str:
    if "extract" in found:
        return str(found["extract"])
    revisions = found.get("revisions") or [{}]
    return read_wikitext(revisions[0].get("slots", {}).get("main", {}).get("content", "")).text
