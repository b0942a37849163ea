"""Limits of what a site may send: bytes on the wire, bytes unpacked, and seconds, for an answer and for a page.

A site that is broken or hostile sends without an end, byte by byte, or packs gigabytes into an answer of megabytes.
httpx limits only the time between two reads, and unpacks whatever comes.
"""

from __future__ import annotations

import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from wikipediaapi import WikipediaException

__all__ = ["Limits", "Meter", "SiteError", "TimedTransport", "read_limited"]

_CONNECTIONS = 100
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib's code for either header."""
_PACKINGS = {"gzip", "x-gzip", "deflate"}
_PIECE = 1 << 20
"""Bytes that are unpacked at a time."""


class SiteError(WikipediaException):  # type: ignore[misc] # wikipedia-api's classes have no types
    """A fault of a site that would be repeated, so that the request is not."""


@dataclass(frozen=True)
class Limits:
    """The most that a site may send.

    MediaWiki's own limit is 2 MiB of markup a page, and an answer holds the markup and the plain text.

    Args:
        answer_bytes: Most bytes of an answer, on the wire and unpacked.
        answer_seconds: Most seconds from asking to the end of an answer.
        page_bytes: Most unpacked bytes of all answers about a page.
        page_seconds: Most seconds of all answers about a page, without the pauses between them.
    """

    answer_bytes: int = 32 << 20
    answer_seconds: float = 60.0
    page_bytes: int = 128 << 20
    page_seconds: float = 600.0


class Meter(threading.local):
    """Counts what each thread has read, and raises a `SiteError` where a limit is exceeded.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._end = limits, float("inf")
        self._wire = self._unpacked = 0
        self.begin_page()

    def begin_page(self) -> None:
        """Count from nothing again."""
        self._page_bytes, self._page_seconds = 0, 0.0

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Measure an answer during a `with` block."""
        limits, began = self._limits, time.monotonic()
        self._wire = self._unpacked = 0
        self._end = began + min(limits.answer_seconds, limits.page_seconds - self._page_seconds)
        try:
            yield
        finally:
            self._end = float("inf")
            self._page_seconds += time.monotonic() - began

    def seconds(self, most: float | None) -> float | None:
        """Return the seconds that are left of the answer's, at most `most`."""
        left = self._end - time.monotonic()
        if left <= 0:
            limits = self._limits
            raise SiteError(
                f"its answer was not complete after {limits.answer_seconds:g} s, or all its answers about a page after "
                f"{limits.page_seconds:g} s; try again later"
            )
        least = left if most is None else min(left, most)
        return None if least == float("inf") else least

    def count(self, wire: int = 0, unpacked: int = 0) -> None:
        """Count bytes of the answer."""
        limits = self._limits
        self._wire += wire
        self._unpacked += unpacked
        self._page_bytes += unpacked
        if max(self._wire, self._unpacked) > limits.answer_bytes:
            raise SiteError(f"its answer is larger than {limits.answer_bytes:,} bytes, which no article is")
        if self._page_bytes > limits.page_bytes:
            raise SiteError(f"its answers about one page are larger than {limits.page_bytes:,} bytes together")


def read_limited(response: httpx.Response, meter: Meter) -> httpx.Response:
    """Return a response with its content, read and unpacked piece by piece up to the limits.

    Raises:
        SiteError: If it exceeds a limit, or its content is packed in an unknown way or damaged.
    """
    try:
        content = b"".join(_unpacked(_pieces(response, meter), response.headers.get("Content-Encoding", ""), meter))
    except zlib.error as error:
        raise SiteError(f"its answer cannot be unpacked ({error})") from error
    finally:
        response.close()
    # Without the headers that tell how the content was sent; httpx would unpack it again.
    told = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.raw if name.decode("ascii").lower() not in told]
    return httpx.Response(response.status_code, headers=headers, content=content, request=response._request)


def _pieces(response: httpx.Response, meter: Meter) -> Iterator[bytes]:
    """Yield the content as it is sent."""
    stream = response.stream
    assert isinstance(stream, Iterable)
    for piece in stream:
        meter.count(wire=len(piece))
        meter.seconds(None)
        yield piece


def _unpacked(pieces: Iterator[bytes], packing: str, meter: Meter) -> Iterator[bytes]:
    """Yield the content unpacked; never more than a piece ahead of the limits."""
    packing = packing.strip().lower()
    if packing not in {"", "identity", *_PACKINGS}:  # one that is packed twice would unpack a millionfold
        raise SiteError(f"its answer is packed as {packing[:40]!r}, and gzip was asked for")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if packing in _PACKINGS else None
    for piece in pieces:
        while piece:
            part = piece if unpacker is None else unpacker.decompress(piece, _PIECE)
            piece = b"" if unpacker is None else unpacker.unconsumed_tail
            meter.count(unpacked=len(part))
            yield part
        if unpacker is not None and unpacker.eof:  # what follows is not a part of it
            return
    if unpacker is not None:
        raise SiteError("its answer ends in the middle of what is packed")


class TimedTransport(httpx.HTTPTransport):
    """httpx's transport that ends an answer when its time is over, also one whose headers come byte by byte.

    Args:
        meter: Knows the time that is left.
    """

    def __init__(self, meter: Meter) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore.ConnectionPool(  # as HTTPTransport makes it, on other streams
            ssl_context=context,
            max_connections=_CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=_TimedBackend(meter),
        )


class _TimedBackend(httpcore.NetworkBackend):
    def __init__(self, meter: Meter) -> None:
        self._inner, self._meter = httpcore.SyncBackend(), meter

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *arguments: Any, **named: Any
    ) -> httpcore.NetworkStream:
        """Connect within the time that is left."""
        left = self._meter.seconds(timeout)
        return _TimedStream(self._inner.connect_tcp(host, port, left, *arguments, **named), self._meter)


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read within the time that is left."""
        try:
            return self._inner.read(max_bytes, self._meter.seconds(timeout))
        except httpcore.TimeoutException:
            self._meter.seconds(None)  # raises if the answer's time is over, and not only that of a read
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write within the time that is left."""
        self._inner.write(buffer, self._meter.seconds(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on encrypted."""
        left = self._meter.seconds(timeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._meter)

    def get_extra_info(self, info: str) -> Any:
        """Return a property of the connection."""
        return self._inner.get_extra_info(info)
