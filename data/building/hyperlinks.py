"""Links that a format writes down, resolved to topics: hyperlinks, `[[Title]]`, cross-references and headings."""

from __future__ import annotations

import array
import posixpath
import re
import urllib.parse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kgrl.data.building.document import Document
from kgrl.data.building.markup_files import BY_LABEL, BY_TITLE
from kgrl.data.building.spool import Spool
from kgrl.data.building.topics import Topics
from kgrl.system.words import canonical

__all__ = ["Ends", "Resolver", "hyperlinks", "place_of"]

Ends = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Sources and targets of links, each int32 `[links]`."""
_HERE = "http://kgrl.invalid/"
"""The address that paths are joined below."""
_FOLDER_PAGE = re.compile(r"(?:^|/)(?:index|readme)$", re.IGNORECASE)


def place_of(href: str, key: str) -> tuple[str, str]:
    """Return the key that a link of a document leads to, and the anchor there; `""` for none.

    Args:
        href: The link as written.
        key: The document's key: a path below the source's folder, or a URL.

    Example:
        >>> place_of("../math/set.html#union", "logic/laws.html")
        ('math/set.html', 'union')
        >>> place_of("/wiki/Set", "https://example.org/wiki/Logic")
        ('https://example.org/wiki/Set', '')
    """
    base = key if "://" in key else f"{_HERE}{urllib.parse.quote(key)}"
    try:
        split = urllib.parse.urlsplit(urllib.parse.urljoin(base, href))
    except ValueError:  # brackets that are no address
        return "", ""
    anchor = urllib.parse.unquote(split.fragment)
    if split.scheme not in ("http", "https"):
        return "", ""
    address = split._replace(fragment="").geturl()
    if address.startswith(_HERE):
        return urllib.parse.unquote(split.path).strip("/"), anchor
    return address.rstrip("/"), anchor


class Resolver:
    """Search for the topic that a link leads to.

    A path may lack its ending, or name the folder of an `index` or `README`. Titles are compared without case.

    Args:
        topics: The topics.
        spool: All documents.
        first: The document that each repeats, itself for one that repeats none; links to a repeat lead to it.
    """

    def __init__(self, topics: Topics, spool: Spool, first: NDArray[np.int32]) -> None:
        self._topic_of: dict[int, int] = {}  # a document's first topic
        for topic, number in enumerate(topics.documents.tolist()):
            self._topic_of.setdefault(number, topic)
        self._places: dict[str, int] = {}
        self._titles = {canonical(title).casefold(): topic for topic, title in enumerate(topics.titles)}
        self._anchors: dict[tuple[int, str], int] = {}
        self._labels: dict[str, int] = {}
        looser: dict[str, int] = {}
        for number, kept in enumerate(first.tolist()):
            if kept not in self._topic_of:
                continue
            document = spool[number]
            self._places.setdefault(_plain(document.key), kept)
            for key in _loosely(document.key):
                looser.setdefault(key, kept)
            if number == kept:
                self._note(document, number, topics)
        for key, kept in looser.items():
            self._places.setdefault(key, kept)

    def _note(self, document: Document, number: int, topics: Topics) -> None:
        """Note the names and anchors of a document."""
        topic = self._topic_of[number]
        for name in (document.title, document.stem):
            self._titles.setdefault(canonical(name).casefold(), topic)
        while topic < len(topics) and topics.documents[topic] == number:
            for section in topics.sections(topic, document):
                for anchor in section.anchors:
                    self._anchors.setdefault((number, anchor), topic)
                    self._labels.setdefault(anchor, topic)
            topic += 1

    def topic(self, link: str, key: str, number: int) -> int | None:
        """Return the topic that a link leads to, None if it is none of them.

        Args:
            link: The link as written.
            key: The key of its document.
            number: The document.
        """
        if link.startswith(BY_TITLE):
            return self._titles.get(canonical(urllib.parse.unquote(link.removeprefix(BY_TITLE))).casefold())
        if link.startswith(BY_LABEL):
            return self._labels.get(urllib.parse.unquote(link.removeprefix(BY_LABEL)))
        place, anchor = place_of(link, key)
        target = number if link.startswith("#") else self._places.get(_plain(place))
        if target is None:
            return None
        return self._anchors.get((target, anchor), self._topic_of.get(target))


def _plain(key: str) -> str:
    """Return a key as links are compared by it: a page's address is the same with either scheme."""
    return re.sub(r"^https?://", "//", key).rstrip("/")


def _loosely(key: str) -> Iterator[str]:
    """Yield other ways to write a key: without its ending, and as the folder of its `index` or `README`."""
    bare = posixpath.splitext(_plain(key))[0]
    yield bare
    if _FOLDER_PAGE.search(bare):
        yield _FOLDER_PAGE.sub("", bare)


def hyperlinks(topics: Topics, spool: Spool, resolver: Resolver) -> tuple[dict[str, Ends], int]:
    """Return the links that the format writes down, by kind, and the number of those that lead to no topic.

    Kinds are `"hyperlinks"`, and `"headings"`: from a section to those below its heading.
    """
    sources, targets = array.array("i"), array.array("i")
    elsewhere = 0
    held, document = -1, Document("")
    for topic, number in enumerate(topics.documents.tolist()):
        if number != held:
            held, document = number, spool[number]
        for section in topics.sections(topic, document):
            for link in section.links:
                target = resolver.topic(link, document.key, number)
                elsewhere += target is None
                if target is not None and target != topic:
                    sources.append(topic)
                    targets.append(target)
    below = np.flatnonzero(topics.parents >= 0).astype(np.int32)
    written = np.array(sources, np.int32), np.array(targets, np.int32)
    return {"hyperlinks": written, "headings": (topics.parents[below], below)}, elsewhere
