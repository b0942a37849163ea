"""Crawling a site from a nucleus outward, to a corpus.

A crawl keeps nothing of its own: every page goes through the source's cache, so an interrupted crawl that is started
again reads what it had and goes on, and what comes out is the same as without the interruption.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice

from kgrl.corpus import Corpus
from kgrl.data.text.build import build_corpus
from kgrl.data.wikimedia.wikitext import normal_title
from kgrl.errors import KgrlError, SettingError
from kgrl.research.page import Page, PageSource

__all__ = ["Worth", "crawl", "most_linked"]

Worth = Callable[[str, int], float]
"""What a title on the frontier is worth, given how many of the pages so far link to it; larger is sooner."""


def most_linked(title: str, links: int) -> float:
    """Return the number of pages that link to a title: what most of the crawl speaks of comes first."""
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

    Titles are taken in the order in which they were found, or those worth most first. The same site, nucleus and
    arguments give the same corpus; with `worth` the number of workers is one of these, since what a page in the making
    leads to is not known while others are picked.

    Args:
        source: Where pages come from.
        nucleus: Titles to start from.
        topics: How many articles.
        name: The corpus's name.
        worth: Says which titles come first; breadth-first if None.
        workers: Pages that are fetched at a time.
        on_page: Called with the number of pages and the title of each new one.

    Raises:
        SettingError: If there is no nucleus, no worker, or fewer topics than the nucleus has.
        KgrlError: If a title of the nucleus has no article, or the source cannot be asked.
    """
    if not nucleus or workers < 1 or topics < len(nucleus):
        raise SettingError("a crawl needs a nucleus, at least as many topics as that has titles, and a worker")
    pages: dict[str, Page] = {}
    missing = {normal_title(title): title for title in nucleus}
    for asked, page in _walk(source, list(missing), worth, workers):
        if page is None:
            if asked in missing:
                raise KgrlError(f"there is no article {missing[asked]!r} to start from: it is missing, or lists others")
            continue
        if page.title not in pages:
            pages[page.title] = page
            on_page(len(pages), page.title)
        if len(pages) == topics:
            break
    return _corpus(name, pages)


def _walk(
    source: PageSource, nucleus: list[str], worth: Worth | None, workers: int
) -> Iterator[tuple[str, Page | None]]:
    """Yield titles and their pages in the crawl's order, fetching some ahead of it."""
    frontier = _Frontier(nucleus, worth)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        ahead: dict[str, Future[Page | None]] = {}
        try:
            while batch := frontier.take(1 if worth is None else workers):
                _fetch(source, pool, [*batch, *frontier.coming(workers)], ahead)
                for title in batch:
                    page = ahead.pop(title).result()
                    yield title, page
                    frontier.add(() if page is None else page.links)
        finally:
            for future in ahead.values():
                future.cancel()


def _fetch(source: PageSource, pool: Executor, titles: Sequence[str], ahead: dict[str, Future[Page | None]]) -> None:
    for title in titles:
        if title not in ahead:
            ahead[title] = pool.submit(source.page, title)


class _Frontier:
    """Titles that were found and not taken yet."""

    def __init__(self, nucleus: Sequence[str], worth: Worth | None) -> None:
        self._worth, self._links = worth, dict.fromkeys(nucleus, 0)
        self._order = {title: number for number, title in enumerate(nucleus)}
        self._waiting = dict.fromkeys(nucleus)  # in the order in which they were found
        self._nucleus = len(nucleus)

    def add(self, titles: Sequence[str]) -> None:
        for title in titles:
            if title not in self._order:
                self._order[title] = len(self._order)
                self._waiting[title] = None
            self._links[title] = self._links.get(title, 0) + 1

    def take(self, most: int) -> list[str]:
        """Take the next titles; of the nucleus first."""
        taken = list(islice(self._waiting, most)) if self._worth is None else self._best(most)
        for title in taken:
            del self._waiting[title]
        return taken

    def coming(self, most: int) -> list[str]:
        """Return titles that are taken next, as far as that is certain."""
        return list(islice(self._waiting, most)) if self._worth is None else []

    def _best(self, most: int) -> list[str]:
        worth = self._worth
        assert worth is not None

        def rank(title: str) -> tuple[bool, float, int]:
            return self._order[title] >= self._nucleus, -worth(title, self._links[title]), self._order[title]

        return heapq.nsmallest(most, self._waiting, key=rank)


def _corpus(name: str, pages: dict[str, Page]) -> Corpus:
    """A corpus of pages, in the order in which they were fetched; links among them, redirects followed."""
    numbers = {title: number for number, title in enumerate(pages)}
    for page in pages.values():
        for other in page.redirects:
            numbers.setdefault(other, numbers[page.title])
    links = [
        (numbers[page.title], numbers[target]) for page in pages.values() for target in page.links if target in numbers
    ]
    categories = [page.categories[0] if page.categories else "" for page in pages.values()]
    texts = [page.text for page in pages.values()]
    return build_corpus(name, list(pages), categories, texts, *zip(*links, strict=True) if links else ((), ()))
