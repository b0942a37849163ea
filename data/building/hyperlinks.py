"""Links that a format writes down, resolved to topics: hyperlinks, `[[Title]]`, cross-references and headings."""

from __future__ import annotations

import array
import hashlib
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


class NumberOf:
    """A table of numbers by text in 12 bytes an entry: a hash of the text, and the number that it was given first.

    Of a million entries two share a hash of 64 bits with a chance of one in thirty million.

    Example:
        >>> table = NumberOf()
        >>> table.add("logic", 3)
        >>> table.add("logic", 7)
        >>> table.get("logic"), table.get("set")
        (3, None)
    """

    def __init__(self) -> None:
        self._hashes, self._numbers = array.array("Q"), array.array("i")
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int32]] | None = None

    def add(self, text: str, number: int) -> None:
        """Add an entry; one that is there already stays."""
        self._hashes.append(_hash(text))
        self._numbers.append(number)
        self._sorted = None

    def get(self, text: str) -> int | None:
        """Return the number of a text, None if it is not there."""
        if self._sorted is None:
            hashes = np.array(self._hashes, np.uint64)
            order = np.argsort(hashes, kind="stable")  # of equal hashes the first comes first
            self._sorted = hashes[order], np.array(self._numbers, np.int32)[order]
        hashes, numbers = self._sorted
        wanted = np.uint64(_hash(text))
        at = int(np.searchsorted(hashes, wanted))
        return int(numbers[at]) if at < len(hashes) and hashes[at] == wanted else None


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


class Resolver:
    """Search for the topic that a link leads to.

    A path may lack its ending, or name the folder of an `index` or `README`. Titles are compared without case.

    Args:
        topics: The topics.
        spool: All documents.
        first: The document that each repeats, itself for one that repeats none; links to a repeat lead to it.
    """

    def __init__(self, topics: Topics, spool: Spool, first: NDArray[np.int32]) -> None:
        self._topic_of = np.full(len(first), -1, dtype=np.int32)  # a document's first topic
        numbers, begin = np.unique(topics.documents, return_index=True)
        self._topic_of[numbers] = begin
        self._places, self._loose, self._titles = NumberOf(), NumberOf(), NumberOf()
        self._anchors, self._labels = NumberOf(), NumberOf()
        for topic, title in enumerate(topics.titles):
            self._titles.add(canonical(title).casefold(), topic)
        for number, kept in enumerate(first.tolist()):
            if self._topic_of[kept] < 0:
                continue
            document = spool[number]
            self._places.add(_plain(document.key), kept)
            for key in _loosely(document.key):
                self._loose.add(key, kept)
            if number == kept:
                self._note(document, number, topics)

    def _note(self, document: Document, number: int, topics: Topics) -> None:
        """Note the names and anchors of a document."""
        topic = int(self._topic_of[number])
        for name in (document.title, document.stem):
            self._titles.add(canonical(name).casefold(), topic)
        while topic < len(topics) and topics.documents[topic] == number:
            for section in topics.sections(topic, document):
                for anchor in section.anchors:
                    self._anchors.add(f"{number}#{anchor}", topic)
                    self._labels.add(anchor, topic)
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
        target = number if link.startswith("#") else self._place(_plain(place))
        if target is None:
            return None
        topic = self._anchors.get(f"{target}#{anchor}")
        return int(self._topic_of[target]) if topic is None else topic

    def _place(self, key: str) -> int | None:
        exact = self._places.get(key)
        return self._loose.get(key) if exact is None else exact


def _plain(key: str) -> str:
    """Return a key as links are compared by it: a page's address is the same with either scheme."""
    return re.sub(r"^https?://", "//", key).rstrip("/")


def _loosely(key: str) -> Iterator[str]:
    """Yield other ways to write a key: without its ending, and as the folder of its `index` or `README`."""
    bare = posixpath.splitext(_plain(key))[0]
    yield bare
    if _FOLDER_PAGE.search(bare):
        yield _FOLDER_PAGE.sub("", bare)


def hyperlinks(topics: Topics, spool: Spool, resolver: Resolver | None) -> tuple[dict[str, Ends], int]:
    """Return the links that the format writes down, by kind, and the number of those that lead to no topic.

    Kinds are `"hyperlinks"`, and `"headings"`: from a section to those below its heading.

    Args:
        topics: The topics.
        spool: All documents.
        resolver: Finds the topics; None if no document has a link, so that none is read again.
    """
    sources, targets = array.array("i"), array.array("i")
    elsewhere = 0
    held, document = -1, Document("")
    for topic, number in enumerate([] if resolver is None else topics.documents.tolist()):
        if number != held:
            held, document = number, spool[number]
        for section in topics.sections(topic, document):
            for link in section.links:
                assert resolver is not None
                target = resolver.topic(link, document.key, number)
                elsewhere += target is None
                if target is not None and target != topic:
                    sources.append(topic)
                    targets.append(target)
    below = np.flatnonzero(topics.parents >= 0).astype(np.int32)
    written = np.array(sources, np.int32), np.array(targets, np.int32)
    return {"hyperlinks": written, "headings": (topics.parents[below], below)}, elsewhere
