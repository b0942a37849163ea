"""A page: what a site knows of one topic, and where pages come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Page", "PageSource"]


@dataclass(frozen=True)
class Page:
    """What a site has under one title, redirects followed.

    Args:
        title: The title, after redirects, as the site spells it.
        text: Plain text, paragraphs parted by line feeds.
        links: Titles of the articles it links to, in the order of the text where the source knows it, each once; what
            they redirect to is not looked up.
        categories: Its categories, without the namespace.
        fetched: When the site gave it, seconds since 1970.
        redirects: Other titles that led here.

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


@runtime_checkable
class PageSource(Protocol):
    """Gives pages by title."""

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to; None where there is no article: missing, or only a choice of others.

        Raises:
            KgrlError: If the source cannot be asked; trying again later may help.
        """
        ...
