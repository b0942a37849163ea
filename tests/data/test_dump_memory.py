"""A dump's reader keeps nothing of what it has read, however long the dump is."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from typing import IO, cast

import pytest

from kgrl.data.wikimedia.dump_pages import PageStream

_REVISION = "<revision><id>{n}</id><timestamp>2026-01-01T00:00:00Z</timestamp><text>Text {n}</text></revision>"
_PAGE = f"<page><title>Page {{n}}</title><ns>0</ns><id>{{n}}</id>{_REVISION}</page>\n"
_FEW, _BYTES_EACH = 2_000, 8
"""An element that is forgotten in place leaves 56 bytes and a place in a list of 8."""


class _Parts(io.RawIOBase):
    """A file that is made while it is read, so that it takes no memory itself."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts = parts
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._left) < size and (part := next(self._parts, "")):
            self._left += part.encode()
        part, self._left = self._left[:size], self._left[size:]
        return part


def _dump(before: str, part: str, after: str, count: int) -> Iterator[str]:
    yield f'<mediawiki version="0.11" xml:lang="en"><siteinfo/>{before}'
    for n in range(count):
        yield part.format(n=n)
    yield f"{after}</mediawiki>"


def _stream(parts: Iterator[str]) -> PageStream:
    return PageStream(cast(IO[bytes], _Parts(parts)), lambda reason: None, 1_000)


def _peak(before: str, part: str, after: str, count: int) -> int:
    """Return the most bytes that reading takes."""
    stream = _stream(_dump(before, part, after, count))
    tracemalloc.start()
    try:
        for _ in stream:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("before", "part", "after"),
    [
        ("", _PAGE, ""),
        ("<page><title>Page</title>", _REVISION, "</page>"),
        ("", "<logitem><id>{n}</id></logitem>", ""),
        ("<surprise>", "<b>{n}</b>", "</surprise>"),
    ],
    ids=["pages", "revisions", "log entries", "an unknown element"],
)
def test_memory_does_not_grow(before: str, part: str, after: str) -> None:
    _peak(before, part, after, 100)  # what is imported and made once
    few, many = (_peak(before, part, after, count) for count in (_FEW, 2 * _FEW))
    assert many - few < _BYTES_EACH * _FEW


def test_pages_are_read_as_they_come() -> None:
    parts = _dump("", _PAGE, "", 10_000)
    assert next(iter(_stream(parts))).title == "Page 0"
    assert sum(1 for _ in parts) > 9_000  # of what follows, little was read
