"""A page of a site, and the protocol of sources of pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Page", "PageSource"]


@dataclass(frozen=True)
class Page:
    """An article of a site, redirects followed.

    Args:
        title: The title, after redirects, as the site spells it.
        text: Plain text, paragraphs separated by line feeds.
        links: Titles of the articles it links to, each once, in the order of the text if the source knows it. They may
            be titles of redirects.
        categories: Its categories, without the namespace.
        fetched: Time at which the site sent it, seconds since 1970.
        redirects: Other titles that led to it.
        language: The code of the text's language.

    Example:
        >>> Page("Logic", "Logic is the study of reasoning.", ("Reason",)).links
        ('Reason',)
    """

    title: str
    text: str
    links: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    fetched: float = 0.0
    redirects: tuple[str, ...] = ()
    language: str = "en"

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.text):,} characters, {len(self.links)} links)"


@runtime_checkable
class PageSource(Protocol):
    """A source of pages by title, such as a site."""

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to, None if the article is missing or a disambiguation page.

        Raises:
            KgrlError: If the source cannot be reached; trying again later may help.
        """
        ...
