"""Pages of a dump's XML, one at a time: what it says of its wiki, and of each page the latest revision.

Dumps hold more than their schema has: entries of logs, elements of extensions, pages without a title. They are counted,
and what follows them is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from mwxml.element_iterator import ElementIterator

from kgrl.data.wikimedia.wiki_site import WikiSite

__all__ = ["DumpPage", "PageStream"]

_UNREAD = frozenset(
    {"id", "restrictions", "upload", "DiscussionThreading", "discussionthreadinginfo", "sha1", "protection"}
)
"""Elements of a page that are known and hold nothing that is read."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_REDIRECTS_SINCE = (0, 4)
"""Version of the schema that says which pages are redirects."""


@dataclass
class DumpPage:
    """A page as a dump has it.

    Args:
        title: Its title as written; empty if it has none.
        namespace: The number of its namespace.
        text: The markup of its latest revision.
        model: The content model of that.
        redirect: The title it redirects to, `""` if it redirects without saying where to, None if it does not redirect.
    """

    title: str = ""
    namespace: int | None = None
    text: str = ""
    model: str = "wikitext"
    redirect: str | None = None


class PageStream:
    """Pages of an XML file in order. Its rules of the wiki are known when the first page was read.

    Args:
        content: The unpacked file.
        count: Called with the reason for each element that is left out.
        most_markup: Characters of a page that are kept.
    """

    def __init__(self, content: IO[bytes], count: Callable[[str], None], most_markup: int) -> None:
        self._content, self._count, self._most = content, count, most_markup
        self.site = WikiSite(namespaces={})
        self.tells_redirects = True

    def __iter__(self) -> Iterator[DumpPage]:
        root = ElementIterator.from_file(self._content)
        if root.tag != "mediawiki":
            raise ParseError(f"its first element is <{root.tag}>, not <mediawiki>")
        language = next((str(value) for key, value in root.element.attrib.items() if key.endswith("}lang")), "")
        self.tells_redirects = _version(root.attr("version")) >= _REDIRECTS_SINCE
        self.site = WikiSite(language)
        for element in root:
            if element.tag == "page":
                yield self._page(element)
            elif element.tag == "siteinfo":
                self.site = _site(element, language)
            else:
                self._count("a log entry" if element.tag == "logitem" else f"unknown element <{element.tag}>")
            root.element.clear()  # else the root keeps an empty element for each page of the file

    def _page(self, element: Any) -> DumpPage:
        page, latest = DumpPage(), _EARLIEST
        for part in element:
            if part.tag == "title":
                page.title = (part.text or "").strip()
            elif part.tag == "ns":
                page.namespace = _number(part.text)
            elif part.tag == "redirect":
                page.redirect = part.attr("title") or ""
            elif part.tag == "revision":
                when, text, model = self._revision(part)
                # Of revisions with the same time, or none that can be read, the last one counts.
                if when >= latest:
                    latest, page.text, page.model = when, text, model
            elif part.tag not in _UNREAD:
                self._count(f"unknown element <{part.tag}>")
            element.element.clear()  # a page may have a hundred thousand revisions
        if page.namespace is None:
            page.namespace = self.site.split(page.title)[0]
        return page

    def _revision(self, element: Any) -> tuple[datetime, str, str]:
        """Return the time of a revision, its text and its content model."""
        when, text, model = _EARLIEST, "", "wikitext"
        for part in element:
            if part.tag == "timestamp":
                when = _time(part.text or "")
            elif part.tag == "text":
                text = (part.text or "")[: self._most]
            elif part.tag == "model":
                model = (part.text or "").strip() or "wikitext"
        return when, text, model


def _version(written: str | None) -> tuple[int, ...]:
    """Return the parts of a schema's version; that of the first schema if there is none."""
    parts = (written or "").split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else (0, 1)


def _number(written: str | None) -> int | None:
    try:
        return int(written or "")
    except ValueError:
        return None


def _time(written: str) -> datetime:
    """Return a time that is written in one of several ways, the earliest one if it cannot be read.

    Example:
        >>> _time("2026-01-02 03:04") == _time("20260102030400") == _time("2026-01-02T03:04:00Z")
        True
    """
    clean = written.strip()
    if len(clean) == len("20260102030400") and clean.isdigit():
        clean = f"{clean[:8]}T{clean[8:]}"
    try:
        time = datetime.fromisoformat(clean)
    except ValueError:
        return _EARLIEST
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _site(element: Any, language: str) -> WikiSite:
    """Return the rules that a dump gives of its wiki."""
    case = ""
    names: dict[str, int] = {}
    for part in element:
        if part.tag == "case":
            case = case or (part.text or "").strip()
        elif part.tag in {"namespaces", "namespacealiases"}:
            for name in part:
                number = _number(name.attr("key") or name.attr("id"))
                if number == 0 and name.attr("case"):
                    case = name.attr("case")  # articles may have another rule than the other namespaces
                elif number and name.text:
                    names[name.text] = number
    return WikiSite(language, names, first_letter=case != "case-sensitive")
