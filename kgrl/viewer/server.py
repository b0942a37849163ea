"""Web server of the viewer: the page, its files and the runs as JSON, for this machine only.

The server is bound to 127.0.0.1 and answers only requests for that host or for localhost. It therefore refuses the page
of another site that made its own name point to this machine (DNS rebinding). It reads nothing but the runs it was given
and the files that come with it, and its headers let the page load and run nothing else.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kgrl.errors import KgrlError
from kgrl.viewer.shown_run import ShownRun

__all__ = ["ViewerServer"]

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_JSON = "application/json; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_RUN_PATH = re.compile(r"/api/runs/(\d{1,3})/(graph|steps|steps/(\d{1,9})|topics/(\d{1,9}))")
_SMALLEST_ZIPPED = 2_000
"""Bytes from which on an answer is compressed; shorter ones gain nothing."""

_IDLE_SECONDS = 30
"""Seconds after which an idle connection is closed."""

_MOST_WAITING = 128
"""Connections that may wait to be accepted. With the usual 5, many pages at once wait seconds for a second try."""


class ViewerServer(ThreadingHTTPServer):
    """Server of the page about some runs, at `url`; `serve_forever` begins and `shutdown` ends serving.

    Args:
        runs: One run, or two to compare.
        port: The port to listen on; any free one if 0.

    Raises:
        KgrlError: If the port is taken.
    """

    daemon_threads = True
    request_queue_size = _MOST_WAITING

    def __init__(self, runs: Sequence[ShownRun], port: int = 0) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise KgrlError(f"cannot listen on port {port} of this machine ({error}); choose another --port") from error
        self.runs = runs
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.graph = cache(lambda number: _packed(runs[number].graph()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error on the terminal, except for a page that was closed while it was answered."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version, sys_version = "kgrl", ""  # Python's version is not sent

    def do_GET(self) -> None:
        """Answer with the page, one of its files, or data of a run."""
        if self.headers.get("Host") not in self.server.hosts:
            return self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"this server is for pages of this machine only")
        try:
            parts = urlsplit(self.path)
        except ValueError:  # such as a bracket that opens an IPv6 address and is not closed
            return self._answer(HTTPStatus.BAD_REQUEST, b"not an address")
        if parts.path.startswith("/api/"):
            return self._answer_json(parts.path, parse_qs(parts.query))
        name = "index.html" if parts.path == "/" else parts.path.removeprefix("/static/")
        return self._answer_file(_files().get(name) if name != parts.path else None)

    def _refuse(self) -> None:
        self.close_connection = True  # the request may have a body, which is not read
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET", {"Allow": "GET", "Connection": "close"})

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815 - the base class's names

    def _answer_file(self, path: Path | None) -> None:
        if path is None:
            return self._answer(HTTPStatus.NOT_FOUND, b"not found")
        return self._answer(HTTPStatus.OK, path.read_bytes(), {"Content-Type": _TYPES[path.suffix]})

    def _answer_json(self, path: str, query: dict[str, list[str]]) -> None:
        try:
            body, status = self._data(path, query), HTTPStatus.OK
        except (IndexError, ValueError) as error:
            # A DataError, which is a ValueError, says what is wrong with the run. Any other error of these kinds means
            # that the request named something that does not exist.
            known = isinstance(error, KgrlError)
            status = HTTPStatus.INTERNAL_SERVER_ERROR if known else HTTPStatus.NOT_FOUND
            body = _packed({"error": str(error) if known else "not found"})
        self._answer(status, body, {"Content-Type": _JSON})

    def _data(self, path: str, query: dict[str, list[str]]) -> bytes:
        if path == "/api/runs":
            return _packed([run.about() for run in self.server.runs])
        match = _RUN_PATH.fullmatch(path)
        if match is None:
            raise IndexError(path)
        number, what, step, topic = match.groups()
        run = self.server.runs[int(number)]
        if what == "graph":
            return self.server.graph(int(number))
        if step is not None:
            return _packed(run.step(int(step)))
        if topic is not None:
            return _packed(run.topic(int(topic)))
        return _packed(run.steps(_number(query, "after") or 0, _number(query, "version")))

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        # Without headers the request line itself was wrong.
        accepted = self.headers.get("Accept-Encoding", "") if hasattr(self, "headers") else ""
        zipped = len(body) >= _SMALLEST_ZIPPED and "gzip" in accepted
        # On one machine speed counts more than size, so the level is low.
        body = gzip.compress(body, compresslevel=3) if zipped else body
        sent = {"Content-Type": "text/plain; charset=utf-8", **_HEADERS, **(headers or {}), "Vary": "Accept-Encoding"}
        sent |= {"Content-Encoding": "gzip"} if zipped else {}
        self.send_response(status)
        for name, value in {**sent, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: the terminal shows the address only."""


@cache
def _files() -> dict[str, Path]:
    """The files that can be requested, by name. A path that leads elsewhere is not among the names."""
    return {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}


def _packed(value: Any) -> bytes:
    # A title with half of a surrogate pair has no UTF-8; it is sent with a question mark.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def _number(query: dict[str, list[str]], name: str) -> int | None:
    """A number of the query, or None if the query does not have it.

    Raises:
        ValueError: If it is negative or not a number.
    """
    if name not in query:
        return None
    value = int(query[name][0])
    if value < 0:
        raise ValueError(value)
    return value
