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

from kgrl.data.wikimedia.answers import Query, merged
from kgrl.data.wikimedia.limits import Limits, SiteError
from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.data.wikimedia.wiki_client import WikiClient
from kgrl.data.wikimedia.wiki_site import WikiSite
from kgrl.data.wikimedia.wikitext import normal_title, read_wikitext
from kgrl.errors import KgrlError, SettingError
from kgrl.research.page import Page
from kgrl.system.files import cache_dir
from kgrl.system.prose import plain_sections

__all__ = ["MediaWiki"]

_LANGUAGE = re.compile(r"[a-z][a-z0-9-]*")
_LINK = re.compile(r"\[\[\s*:?([^\[\]|#{}<>\n]+)")
_DISAMBIGUATION = re.compile(r"\((?:disambiguation|homonymie|desambiguación|begriffsklärung)\)$", re.IGNORECASE)
_NO_TITLE = re.compile(r"[#<>\[\]{}|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")
_LONGEST_TITLE = 255
"""Bytes of the longest title that MediaWiki allows."""
_MOST_PIECES = 1_000
"""Pieces of an answer; each lists up to 500 links or categories."""
_MOST_LINKS, _MOST_HOPS = 100_000, 20
_MOST_TEXT = 5_000_000
"""Characters of a page that are read; MediaWiki's own limit is 2 million bytes."""

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
        limits: The most that the site may send.

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
        limits: Limits | None = None,
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
        self._client = WikiClient(self.url, language, rate, retries, retry_wait, transport, limits)

    def __repr__(self) -> str:
        return f"MediaWiki({self.url!r}, cache={str(self._cache.path)!r})"

    def close(self) -> None:
        """Close the connections and the cache."""
        self._client.close()
        self._cache.close()

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to, None if there is no article.

        Raises:
            KgrlError: If it is not in the cache, and the site cannot be reached or sends what cannot be used.
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
            known = isinstance(error, SiteError)
            reason = str(error) if known else f"{type(error).__name__.lstrip('_')}: {error.__cause__ or error}"
            raise KgrlError(
                f"{title!r} is not in {self._cache.path}, and {self.url} cannot be asked: {reason}"
            ) from error
        self._cache.put(self.url, title, page)
        return page

    def _fetch(self, title: str) -> Page | None:
        self._client.begin_page()
        pieces = self._answers(
            {
                "titles": title,
                "prop": "extracts|categories|info|pageprops|revisions",
                "explaintext": 1,
                "exsectionformat": "wiki",  # headings are marked, so that sections can be told apart
                "converttitles": 1,  # a Chinese title leads to its page in either script
                "cllimit": "max",
                "clshow": "!hidden",  # maintenance categories come first by name, and say nothing about the topic
                "ppprop": "disambiguation",
                "rvprop": "content",
                "rvslots": "main",
            }
        )
        if (answer := merged(pieces)) is None:
            return None
        found, redirects = answer
        if found.model != "wikitext":  # data and programs are not text
            return None
        if not _fit(found.title):
            raise SiteError(f"it gives a page the title {found.title[:_LONGEST_TITLE]!r}, which no wiki allows")
        categories = tuple(" ".join(c.title.partition(":")[2].split()) for c in found.categories)
        wiki = WikiSite(found.pagelanguage or "en")
        markup = self._limited(found.title, found.revisions[0].markup if found.revisions else "")
        article = read_wikitext(markup, wiki)
        if (
            found.disambiguation
            # Sites without the extension Disambiguator have only the title, the categories and the markup.
            or _DISAMBIGUATION.search(found.title)
            or article.disambiguation
            or wiki.disambiguates((), categories)
        ):
            return None
        # Null, missing or empty where the site makes no plain text.
        extract = plain_sections(self._limited(found.title, found.extract or ""))
        return Page(
            title=found.title,
            text=extract if extract.strip() else article.text,
            links=self._links(found.title, markup, wiki),
            categories=categories,
            fetched=time.time(),
            redirects=tuple(dict.fromkeys(r for r in (title, *redirects) if r != found.title and _fit(r))),
            language=wiki.language,
        )

    def _limited(self, title: str, text: str) -> str:
        """Return as much of a text as is read."""
        if len(text) > _MOST_TEXT:
            _log.warning("%s: only %d of %d characters of %r are read", self.url, _MOST_TEXT, len(text), title)
        return text[:_MOST_TEXT]

    def _links(self, title: str, markup: str, wiki: WikiSite) -> tuple[str, ...]:
        """Return the articles that a page links to, through redirects, in the order of its markup."""
        found: dict[str, None] = {}
        onward: dict[str, str] = {}
        for query in self._answers({"titles": title, "generator": "links", "gplnamespace": 0, "gpllimit": "max"}):
            onward |= {redirect.origin: redirect.to for redirect in query.redirects}
            found |= dict.fromkeys(page.title for page in query.listed() if not page.absent and _fit(page.title))
            if len(found) > _MOST_LINKS:
                _log.warning("%s: only %d links of %r are read", self.url, _MOST_LINKS, title)
                found = dict.fromkeys(list(found)[:_MOST_LINKS])
                break
        # The API lists links by title; the markup has their order.
        places: dict[str, int] = {}
        for place, link in enumerate(_LINK.findall(markup)):
            places.setdefault(_end(wiki.title(html.unescape(link)), onward), place)
        found.pop(title, None)
        return tuple(sorted(found, key=lambda link: places.get(wiki.title(link), math.inf)))

    def _answers(self, parameters: Mapping[str, Any]) -> Iterator[Query]:
        """Yield the pieces of an answer to a query.

        Raises:
            WikipediaException: If the site cannot be asked, or continues for ever.
        """
        following: Mapping[str, Any] = {"continue": ""}  # asks sites before 1.26 for the way of later ones
        asked_before: set[str] = set()
        while True:
            asked = {"action": "query", "format": "json", "formatversion": 2, "redirects": 1, **parameters, **following}
            answer = self._client.ask(asked)
            yield answer.found
            following = answer.following
            if not following:
                return
            state = repr(sorted(following.items()))
            if state in asked_before or len(asked_before) == _MOST_PIECES:
                raise SiteError("it gives the same piece of an answer again and again; the answer never ends")
            asked_before.add(state)


def _fit(title: str) -> bool:
    """Return whether a title can be that of an article. The API would read another one as several, none or a part."""
    clean = normal_title(title)
    return bool(clean) and not _NO_TITLE.search(title) and len(title.encode("utf-8", "replace")) <= _LONGEST_TITLE


def _end(title: str, onward: Mapping[str, str]) -> str:
    """Return the end of a title's chain of redirects."""
    for _ in range(_MOST_HOPS):  # no further, since redirects may form a circle
        if title not in onward:
            break
        title = onward[title]
    return title
