"""Pages of a dump's XML, one at a time: what it says of its wiki, and of each page the latest revision.

Dumps hold more than their schema has: entries of logs, elements of extensions, pages without a title. They are counted,
and what follows them is read. Memory holds one revision, however many pages and revisions there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

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
        time: The time of the revision; the earliest one if it cannot be read.
    """

    title: str = ""
    namespace: int | None = None
    text: str = ""
    model: str = "wikitext"
    redirect: str | None = None
    time: datetime = _EARLIEST


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
        events = iterparse(self._content, events=("start", "end"))
        root = next(events)[1]
        if _name(root) != "mediawiki":
            raise ParseError(f"its first element is <{_name(root)}>, not <mediawiki>")
        language = next((value for key, value in root.attrib.items() if key.endswith("}lang")), "")
        self.tells_redirects = _version(root.get("version")) >= _REDIRECTS_SINCE
        self.site = WikiSite(language)
        page = DumpPage()
        for around, element in _ended(events, root):
            inside = _name(around[1]) if len(around) > 1 else ""
            if len(around) == 1 and _name(element) == "page":
                yield self._finished(page)
                page = DumpPage()
            elif len(around) == 1:
                self._read_other(element, language)
            elif inside == "page" and len(around) == 2:
                self._read_part(element, page)
            elif inside in {"page", "siteinfo"}:
                continue  # a part of what is read when it ends
            around[-1].clear()  # else it keeps an element for each page or revision that was read

    def _read_other(self, element: Element, language: str) -> None:
        """Read an element beside the pages."""
        name = _name(element)
        if name == "siteinfo":
            self.site = _site(element, language)
        else:
            self._count("a log entry" if name == "logitem" else f"unknown element <{name}>")

    def _finished(self, page: DumpPage) -> DumpPage:
        """Return a page with its namespace, which old schemas do not tell."""
        if page.namespace is None:
            page.namespace = self.site.split(page.title)[0]
        return page

    def _read_part(self, part: Element, page: DumpPage) -> None:
        """Read an element of a page."""
        name = _name(part)
        if name == "title":
            page.title = (part.text or "").strip()
        elif name == "ns":
            page.namespace = _number(part.text)
        elif name == "redirect":
            page.redirect = part.get("title") or ""
        elif name == "revision":
            when, text, model = self._revision(part)
            # Of revisions with the same time, or none that can be read, the last one counts.
            if when >= page.time:
                page.time, page.text, page.model = when, text, model
        elif name not in _UNREAD:
            self._count(f"unknown element <{name}>")

    def _revision(self, element: Element) -> tuple[datetime, str, str]:
        """Return the time of a revision, its text and its content model."""
        when, text, model = _EARLIEST, "", "wikitext"
        for part in element:
            name = _name(part)
            if name == "timestamp":
                when = _time(part.text or "")
            elif name == "text":
                text = (part.text or "")[: self._most]
            elif name == "model":
                model = (part.text or "").strip() or "wikitext"
        return when, text, model


def _ended(events: Iterable[tuple[str, Element]], root: Element) -> Iterator[tuple[list[Element], Element]]:
    """Yield the elements in a root as they end, each with the elements around it, the root first."""
    around = [root]
    for event, element in events:
        if event == "start":
            around.append(element)
        else:
            around.pop()
            if around:  # the root itself ends last
                yield around, element


def _name(element: Element) -> str:
    """Return an element's tag without its XML namespace."""
    return element.tag.rpartition("}")[2]


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


def _site(element: Element, language: str) -> WikiSite:
    """Return the rules that a dump gives of its wiki."""
    case = ""
    names: dict[str, int] = {}
    for part in element:
        if _name(part) == "case":
            case = case or (part.text or "").strip()
        elif _name(part) in {"namespaces", "namespacealiases"}:
            for name in part:
                number = _number(name.get("key") or name.get("id"))
                if number == 0 and name.get("case"):
                    case = name.get("case") or ""  # articles may have another rule than the other namespaces
                elif number and name.text:
                    names[name.text] = number
    return WikiSite(language, names, first_letter=case != "case-sensitive")
