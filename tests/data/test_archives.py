"""Downloads go on where they stopped, against a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kgrl.data.wikispeedia.archives import download
from kgrl.errors import MissingDataError

CONTENT = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Serves one file, in ranges if asked, and notes what was asked."""

    ranges: list[str | None]

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        missing = self.path != "/file.bin"
        self.send_response(404 if missing else 416 if start >= len(CONTENT) else 206 if asked else 200)
        body = b"" if missing else CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    Handler.ranges = []
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", Handler.ranges
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once(tmp_path: Path, server: tuple[str, list[str | None]]) -> None:
    url, ranges = server
    for _ in range(2):
        assert download(f"{url}/file.bin", tmp_path).read_bytes() == CONTENT
    assert ranges == [None]


@pytest.mark.parametrize("have", [1, 5000, len(CONTENT)])
def test_a_partial_file_is_completed(tmp_path: Path, server: tuple[str, list[str | None]], have: int) -> None:
    url, ranges = server
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:have])
    assert download(f"{url}/file.bin", tmp_path).read_bytes() == CONTENT
    assert ranges == [f"bytes={have}-"]
    assert [file.name for file in tmp_path.iterdir()] == ["file.bin"]


def test_what_cannot_be_fetched_is_named(tmp_path: Path, server: tuple[str, list[str | None]]) -> None:
    url, _ = server
    with pytest.raises(MissingDataError, match=r"other\.bin could not be downloaded"):
        download(f"{url}/other.bin", tmp_path)
    assert not (tmp_path / "other.bin").exists()
