"""Current pages of Wikipedia, or of any MediaWiki site.

`kgrl.data.wikimedia.wiki_client` sends requests. This module makes pages of the answers and keeps every page in a
cache, so that fetched pages are available without a network.
"""

from __future__ import annotations

import html
import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from wikipediaapi import WikipediaException

from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.data.wikimedia.wiki_client import WikiClient
from kgrl.data.wikimedia.wikitext import normal_title, read_wikitext
from kgrl.errors import KgrlError, SettingError
from kgrl.research.page import Page
from kgrl.system.files import cache_dir

__all__ = ["MediaWiki"]

_LANGUAGE = re.compile(r"[a-z][a-z0-9-]*")
_LINK = re.compile(r"\[\[\s*:?([^\[\]|#{}<>\n]+)")
_DISAMBIGUATION = re.compile(r"\((?:disambiguation|homonymie|desambiguación|begriffsklärung)\)$", re.IGNORECASE)
_OF_DISAMBIGUATION = re.compile(r"disambiguation pages|homonymie|desambiguación|begriffsklärung", re.IGNORECASE)
_NO_TITLE = re.compile(r"[<>\[\]{}|\x00-\x1f\x7f\ud800-\udfff\ufffd]")
_LONGEST_TITLE = 255
"""Bytes of the longest title that MediaWiki allows."""
_MOST_PIECES = 1_000
"""Pieces of an answer; each lists up to 500 links or categories."""

_log = logging.getLogger(__name__)


class MediaWiki:
    """Pages of a site by title; a `PageSource`. Threads may share one.

    Redirects are followed, also those of links. Disambiguation pages and links to missing pages are left out. Links
    come in the order of the text; links from templates come last. The text is that of the site's extension
    TextExtracts; on a site without it, the markup is read.

    Args:
        url: The site's API, such as `https://en.wikipedia.org/w/api.php`; that of Wikipedia if None.
        language: The language of Wikipedia, if no URL is given.
        cache: The file of the page cache; `pages.db` in kgrl's cache folder if None.
        max_age: Seconds after which a page is fetched again; if that fails, the old one is used. Never if None.
        rate: Most requests a second, over all threads.
        retries: Most repetitions of a request after 429, 5xx, a cut connection or 30 seconds without an answer.
        retry_wait: Seconds before the first repetition, doubled each time; more if the site asks for more.
        transport: The transport of requests, for tests.

    Raises:
        SettingError: If the URL or the language is malformed, or the rate is not above 0.
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
        if not _LANGUAGE.fullmatch(language):
            raise SettingError(f"{language!r} is not a language of Wikipedia, such as en")
        self.url = url or f"https://{language}.wikipedia.org/w/api.php"
        if urlsplit(self.url).scheme not in {"http", "https"} or not urlsplit(self.url).netloc:
            raise SettingError(f"{self.url!r} is not the URL of an API, such as https://en.wikipedia.org/w/api.php")
        if not rate > 0:  # NaN too
            raise SettingError(f"the rate must be above 0 requests a second, not {rate}")
        self.max_age = max_age
        self._cache = PageCache(cache or cache_dir() / "pages.db")
        self._client = WikiClient(self.url, language, rate, retries, retry_wait, transport or httpx.HTTPTransport())

    def __repr__(self) -> str:
        return f"MediaWiki({self.url!r}, cache={str(self._cache.path)!r})"

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to, None if there is no article.

        Raises:
            KgrlError: If it is not in the cache and the site cannot be reached.
        """
        title = " ".join(
            title.replace("_", " ").split()
        )  # not normal_title: on some sites the case of the first letter matters
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
            reason = f"{type(error).__name__.lstrip('_')}: {error.__cause__ or error}"
            raise KgrlError(
                f"{title!r} is not in {self._cache.path}, and {self.url} cannot be asked: {reason}"
            ) from error
        self._cache.put(self.url, title, page)
        return page

    def _fetch(self, title: str) -> Page | None:
        found = self._merged(
            {
                "titles": title,
                "prop": "extracts|categories|info|pageprops|revisions",
                "explaintext": 1,
                "exsectionformat": "plain",
                "cllimit": "max",
                "clshow": "!hidden",  # maintenance categories come first by name, and say nothing about the topic
                "ppprop": "disambiguation",
                "rvprop": "content",
                "rvslots": "main",
            }
        )
        if found is None or found.get("contentmodel", "wikitext") != "wikitext":  # data and programs are not text
            return None
        categories = tuple(c["title"].partition(":")[2] for c in found.get("categories", ()))
        if (
            "disambiguation" in found.get("pageprops", {})
            # Sites without the extension Disambiguator have only the title and the categories.
            or _DISAMBIGUATION.search(found["title"])
            or any(_OF_DISAMBIGUATION.search(category) for category in categories)
        ):
            return None
        markup = _markup((found.get("revisions") or [{}])[0])
        extract = found.get("extract")  # null, or missing, where the site makes no plain text
        return Page(
            title=found["title"],
            text=extract if isinstance(extract, str) else read_wikitext(markup).text,
            links=self._links(found["title"], markup),
            categories=categories,
            fetched=time.time(),
            redirects=tuple(dict.fromkeys(r for r in (title, *found["redirects"]) if r != found["title"])),
            language=found.get("pagelanguage") or "en",
        )

    def _merged(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return one page, merged from an answer that may come in pieces; None if there is no article."""
        page: dict[str, Any] = {}
        for query in self._answers(parameters):
            (piece,) = _pages(query) or [{"missing": True}]
            if _absent(piece):
                return None
            page.setdefault("redirects", [redirect["from"] for redirect in query.get("redirects", ())])
            for name, value in piece.items():
                # Only lists of categories are continued in the next piece.
                page[name] = page[name] + value if name == "categories" and name in page else value
        return page or None

    def _links(self, title: str, markup: str) -> tuple[str, ...]:
        """Return the articles that a page links to, through redirects, in the order of its markup."""
        found: dict[str, None] = {}
        onward: dict[str, str] = {}
        for query in self._answers({"titles": title, "generator": "links", "gplnamespace": 0, "gpllimit": "max"}):
            onward |= {redirect["from"]: redirect["to"] for redirect in query.get("redirects", ())}
            found |= dict.fromkeys(page["title"] for page in _pages(query) if not _absent(page))
        # The API lists links by title; the markup has their order.
        places: dict[str, int] = {}
        for place, link in enumerate(_LINK.findall(markup)):
            places.setdefault(_end(normal_title(html.unescape(link)), onward), place)
        found.pop(title, None)
        return tuple(sorted(found, key=lambda link: places.get(normal_title(link), math.inf)))

    def _answers(self, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the pieces of an answer to a query.

        Raises:
            KgrlError: If the site continues for ever.
        """
        following: dict[str, Any] = {"continue": ""}  # asks sites before 1.26 for the way of continuing of later ones
        asked_before: set[str] = set()
        while True:
            asked = {"action": "query", "format": "json", "formatversion": 2, "redirects": 1, **parameters, **following}
            answer = self._client.ask(asked)
            yield answer.get("query", {})
            # Before 1.21 the parameters are listed for each part of the query.
            parts = answer.get("query-continue", {})
            following = answer.get("continue") or {
                name: value for part in parts.values() for name, value in part.items()
            }
            if not following:
                return
            state = repr(sorted(following.items()))
            if state in asked_before or len(asked_before) == _MOST_PIECES:
                raise KgrlError(f"{self.url} gives the same piece of an answer again and again; it never ends")
            asked_before.add(state)


def _pages(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pages of an answer; sites before 1.25 give a table by number."""
    pages = query.get("pages", ())
    return list(pages.values() if isinstance(pages, dict) else pages)


def _absent(page: Mapping[str, Any]) -> bool:
    """Return whether a page is no article; before 1.25 a mark that is there is an empty text."""
    return any(page.get(mark, False) is not False for mark in ("missing", "invalid")) or page.get("ns", 0) != 0


def _markup(revision: Mapping[str, Any]) -> str:
    """Return the text of a revision, where versions of MediaWiki have put it: in a slot, beside it, or under a star."""
    held = revision.get("slots", {}).get("main", revision)
    content = held.get("content", held.get("*", ""))
    return content if isinstance(content, str) else ""


def _fit(title: str) -> bool:
    """Return whether a title can be that of an article. The API would read another one as several titles or none."""
    clean = normal_title(title)
    return bool(clean) and not _NO_TITLE.search(title) and len(title.encode("utf-8", "replace")) <= _LONGEST_TITLE


def _end(title: str, onward: Mapping[str, str]) -> str:
    """Return the end of a title's chain of redirects."""
    for _ in range(len(onward)):  # no further, since redirects may form a circle
        if title not in onward:
            break
        title = onward[title]
    return title
