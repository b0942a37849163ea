"""Crawl of a site from a nucleus outward, to a corpus.

A crawl has no state of its own on disk: every page goes through the source's cache. An interrupted crawl that is
started again reads the pages it had from there and continues, and the result is the same as without the interruption.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from kgrl.corpus import Corpus
from kgrl.data.text.build import build_corpus
from kgrl.data.wikimedia.wikitext import normal_title
from kgrl.errors import KgrlError, SettingError
from kgrl.research.page import Page, PageSource
from kgrl.system.prose import clean_text

__all__ = ["Worth", "crawl", "most_linked"]

Worth = Callable[[str, int], float]
"""Worth of a title, given the title and the number of fetched pages that link to it; larger is sooner."""


def most_linked(title: str, links: int) -> float:
    """Return the number of fetched pages that link to a title: titles that most pages mention come first."""
    return float(links)


def crawl(
    source: PageSource,
    nucleus: Sequence[str],
    topics: int,
    *,
    name: str = "crawl",
    worth: Worth | None = None,
    workers: int = 4,
    on_page: Callable[[int, str], None] = lambda pages, title: None,
) -> Corpus:
    """Fetch pages from a nucleus outward and make a corpus of them.

    Titles are taken in the order in which they were found, or by their worth. The same site, nucleus and arguments give
    the same corpus. With `worth`, the number of workers is one of these arguments: titles are picked before the links
    of the pages that are being fetched are known.

    Args:
        source: The source of pages.
        nucleus: Titles to start from.
        topics: Number of articles.
        name: The corpus's name.
        worth: Worth of a title; titles worth most come first. Breadth-first if None.
        workers: Number of pages fetched at a time.
        on_page: Called with the number of pages and the title of each new one.

    Raises:
        SettingError: If the nucleus is empty or names a part of a page, there is no worker, or there are fewer topics
            than the nucleus has.
        KgrlError: If a title of the nucleus has no article, or the source cannot be reached.
    """
    if not nucleus or workers < 1 or topics < len(nucleus):
        raise SettingError("a crawl needs a nucleus, at least as many topics as that has titles, and a worker")
    pages: dict[str, Page] = {}
    starts = dict.fromkeys(_asked(title) for title in nucleus)

    def fetch(title: str) -> Page | None:
        page = source.page(title)
        # As given first: on some sites the case of the first letter matters. Other sources know only capitals.
        if page is None and title in starts and (capital := normal_title(title)) != title:
            return source.page(capital)
        return page

    for asked, page in _walk(fetch, list(starts), worth, workers):
        if page is None:
            if asked in starts:
                raise KgrlError(f"there is no article {asked!r} to start from: it is missing, or a disambiguation page")
            continue
        if page.title not in pages:
            pages[page.title] = page
            on_page(len(pages), page.title)
        if len(pages) == topics:
            break
    return _corpus(name, pages)


def _asked(title: str) -> str:
    """Return a title of the nucleus as a source takes it.

    Raises:
        SettingError: If it is part of a page; sites answer with the page itself, which may be another topic's.
    """
    clean = " ".join(title.replace("_", " ").split())
    if "#" in clean:
        page, _, part = (piece.strip() for piece in clean.partition("#"))
        raise SettingError(
            f"{title!r} is not the title of an article: the sign # begins a part of a page"
            + (f"; {page!r} is the page, and {part!r} its part" if page and part else "")
            + ". Give the article's own title, such as 'C Sharp (programming language)'"
        )
    return clean


def _walk(
    fetch: Callable[[str], Page | None], nucleus: list[str], worth: Worth | None, workers: int
) -> Iterator[tuple[str, Page | None]]:
    """Yield titles and their pages in the crawl's order. Pages are fetched ahead of that order."""
    frontier = _Frontier(nucleus, worth)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        ahead: dict[str, Future[Page | None]] = {}
        try:
            # Breadth-first, the titles to come are certain and can be fetched ahead. By worth, each new page may change
            # the order, so a batch of titles is taken and fetched at once.
            while batch := frontier.take(1 if worth is None else workers):
                for title in (*batch, *frontier.coming(workers)):
                    if title not in ahead:
                        ahead[title] = pool.submit(fetch, title)
                for title in batch:
                    page = ahead.pop(title).result()
                    yield title, page
                    frontier.add(() if page is None else page.links)
        finally:  # the caller has enough pages, or something failed
            for future in ahead.values():
                future.cancel()


class _Frontier:
    """Titles that were found and have not been taken."""

    def __init__(self, nucleus: Sequence[str], worth: Worth | None) -> None:
        self._worth, self._links = worth, dict.fromkeys(nucleus, 0)
        self._order = {title: number for number, title in enumerate(nucleus)}
        self._waiting = dict.fromkeys(nucleus)  # in the order in which they were found
        self._nucleus = len(nucleus)

    def add(self, titles: Sequence[str]) -> None:
        """Add the titles that a page links to."""
        for title in titles:
            if title not in self._order:
                self._order[title] = len(self._order)
                self._waiting[title] = None
            self._links[title] = self._links.get(title, 0) + 1

    def take(self, most: int) -> list[str]:
        """Take the next titles, those of the nucleus first."""
        taken = list(islice(self._waiting, most)) if self._worth is None else self._best(most)
        for title in taken:
            del self._waiting[title]
        return taken

    def coming(self, most: int) -> list[str]:
        """Return the titles that will be taken next, as far as that is certain."""
        return list(islice(self._waiting, most)) if self._worth is None else []

    def _best(self, most: int) -> list[str]:
        worth = self._worth
        assert worth is not None

        def rank(title: str) -> tuple[bool, float, int]:
            """Return the sort key: nucleus first, then worth, then the order of finding."""
            return self._order[title] >= self._nucleus, -worth(title, self._links[title]), self._order[title]

        return heapq.nsmallest(most, self._waiting, key=rank)


def _corpus(name: str, pages: dict[str, Page]) -> Corpus:
    """Return the corpus of pages in the order of the crawl, with the links among them, redirects followed."""
    numbers = {title: number for number, title in enumerate(pages)}
    for page in pages.values():
        for other in page.redirects:
            numbers.setdefault(other, numbers[page.title])
    links = [
        (numbers[page.title], numbers[target]) for page in pages.values() for target in page.links if target in numbers
    ]
    categories = [page.categories[0] if page.categories else "" for page in pages.values()]
    texts = [clean_text(page.text) for page in pages.values()]
    sources, targets = zip(*links, strict=True) if links else ((), ())
    language = next((page.language for page in pages.values()), "en")  # a site has one, but for translated pages
    return build_corpus(name, list(pages), categories, texts, sources, targets, language)
