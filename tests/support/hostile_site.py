"""A site whose answers have no end, do not fit, or lead in circles, over real HTTP on this machine."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

GOOD: dict[str, Any] = {"query": {"pages": [{"title": "Logic", "ns": 0, "extract": "Logic studies reasoning."}]}}
ODD_ADDRESSES = {
    "no-address": b"http://[::1/api.php",
    "no-port": b"http://127.0.0.1:99999999/api.php",
    "file": b"file:///etc/passwd",
    "bytes": b"http://127.0.0.1/\xff\xfe\x80",
    "no-host": b"http:///api.php",
    "blanks": b"http://a b c/ d",
}
"""Where a redirect may lead, by name."""


def gzip_bomb(megabytes: int) -> Iterator[bytes]:
    """Yield a stream in gzip's form that unpacks to this many megabytes of blanks; a thousandth of that is sent."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packer.compress(b"")
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # stands alone, so may be repeated
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    for _ in range(megabytes):
        yield block


class HostileSite:
    """Answers `/MODE/api.php` in the way of its mode; a context manager.

    Args:
        answers: JSON texts by mode, besides the modes that are methods here.
        drip_seconds: The pause between two bytes.
        text_megabytes: The size of the page, packed or not, of the modes `bomb` and `large`.
    """

    def __init__(
        self, answers: dict[str, bytes] | None = None, drip_seconds: float = 0.02, text_megabytes: int = 64
    ) -> None:
        self.asked, self.answers = 0, answers or {}
        self._pause, self._megabytes = drip_seconds, text_megabytes
        self._ended = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_GET(self) -> None:
                site.asked += 1
                mode = urlsplit(self.path).path.split("/")[1]
                try:
                    site.answer(mode, self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the other side has enough

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)

    def url(self, mode: str) -> str:
        """Return the address of the API in a mode."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{mode}/api.php"

    def answer(self, mode: str, to: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        if mode in self.answers:
            return self._send(to, self.answers[mode])
        if mode in ODD_ADDRESSES:
            return self._raw(to, b"HTTP/1.1 302 Found\r\nLocation: " + ODD_ADDRESSES[mode] + b"\r\n\r\n")
        way: Callable[[BaseHTTPRequestHandler], None] = getattr(self, f"_{mode.replace('-', '_')}")
        return way(to)

    def _send(self, to: BaseHTTPRequestHandler, body: bytes, length: int | None = None, packing: str = "") -> None:
        to.send_response(200)
        to.send_header("Content-Length", str(len(body) if length is None else length))
        if packing:
            to.send_header("Content-Encoding", packing)
        to.end_headers()
        to.wfile.write(body)

    def _raw(self, to: BaseHTTPRequestHandler, data: bytes) -> None:
        to.close_connection = True
        to.wfile.write(data)

    def _stream(self, to: BaseHTTPRequestHandler, pieces: Iterator[bytes], packing: str = "") -> None:
        self._raw(to, f"HTTP/1.1 200 OK\r\n{f'Content-Encoding: {packing}' if packing else 'X: y'}\r\n\r\n".encode())
        for piece in pieces:
            to.wfile.write(piece)
            if self._ended.is_set():
                return

    def _dripping(self, data: Iterator[int]) -> Iterator[bytes]:
        for byte in data:
            time.sleep(self._pause)
            yield bytes([byte])

    def _good(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, json.dumps(GOOD).encode())

    def _endless(self, to: BaseHTTPRequestHandler) -> None:
        self._stream(to, itertools.chain([b'{"query": {"pages": ["'], itertools.repeat(b"x" * 65_536)))

    def _bomb(self, to: BaseHTTPRequestHandler) -> None:
        self._stream(to, gzip_bomb(self._megabytes), "gzip")

    def _large(self, to: BaseHTTPRequestHandler) -> None:
        start = b'{"query": {"pages": [{"title": "Logic", "ns": 0, "extract": "'
        words = itertools.repeat(b"Words of a long page. " * 47_662, self._megabytes)
        self._stream(to, itertools.chain([start], words, [b'"}]}}']))

    def _bomb_in_bomb(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, gzip.compress(gzip.compress(b" " * (1 << 20))), packing="gzip, gzip")

    def _half_packed(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, gzip.compress(json.dumps(GOOD).encode())[:40], packing="gzip")

    def _badly_packed(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, b"\x1f\x8b\x08\x00 nothing of the kind", packing="gzip")

    def _packed(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, gzip.compress(json.dumps(GOOD).encode()), packing="gzip")

    def _slow_body(self, to: BaseHTTPRequestHandler) -> None:
        self._stream(to, self._dripping(itertools.repeat(32)))

    def _slow_headers(self, to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for byte in self._dripping(itertools.cycle(b"X-More: yes\r\n")):
            to.wfile.write(byte)
            if self._ended.is_set():
                return

    def _cut(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, b'{"query": ', length=1000)
        to.close_connection = True

    def _nothing(self, to: BaseHTTPRequestHandler) -> None:
        to.close_connection = True

    def _noise(self, to: BaseHTTPRequestHandler) -> None:
        self._raw(to, bytes(range(256)) * 4)

    def _around(self, to: BaseHTTPRequestHandler) -> None:
        self._redirect(to, "/around/api.php")

    def _onward(self, to: BaseHTTPRequestHandler) -> None:
        self._redirect(to, f"/onward/api.php?{self.asked}")

    def _redirect(self, to: BaseHTTPRequestHandler, path: str) -> None:
        to.send_response(302)
        to.send_header("Location", path)
        to.send_header("Content-Length", "0")
        to.end_headers()

    def _continues(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, json.dumps({**GOOD, "continue": {"clcontinue": f"1|{self.asked}"}}).encode())

    def _long_continuation(self, to: BaseHTTPRequestHandler) -> None:
        self._send(to, json.dumps({**GOOD, "continue": {"clcontinue": "x" * 100_000}}).encode())

    def _many_links(self, to: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(to.path).query)
        pages = [{"title": f"T{number}", "ns": 0} for number in range(500)]
        self._send(to, json.dumps({"query": {"pages": pages}} if "generator" in asked else GOOD).encode())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
