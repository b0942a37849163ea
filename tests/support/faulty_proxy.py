"""A proxy in front of a server that answers late, not at all, or with errors, as a test says."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FaultyProxy:
    """Passes requests on to a server, each after the next fault of a list; all are well once the list is used up.

    Args:
        target: The server's URL up to the path.
        faults: Any of `"ok"`, `"429"`, `"500"`, `"503"`, `"cut"`, `"half"`, `"slow"`.
        slow_seconds: How late a slow answer is.
    """

    def __init__(self, target: str, faults: Sequence[str] = (), slow_seconds: float = 0.5) -> None:
        self.faults, self.seen = list(faults), list[str]()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fault = proxy.next_fault()
                if fault in {"429", "500", "503"}:
                    self.send_response(int(fault))
                    if fault == "429":
                        self.send_header("Retry-After", "1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif fault == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                else:
                    time.sleep(slow_seconds if fault == "slow" else 0)
                    self._pass_on(half=fault == "half")

            def _pass_on(self, half: bool) -> None:
                with urllib.request.urlopen(target + self.path, timeout=60) as answer:
                    body = answer.read()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if half else body)
                self.close_connection = half

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def api_url(self) -> str:
        """Where it answers as the server's API."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api.php"

    def next_fault(self) -> str:
        """Take the next fault, and note it."""
        with self._lock:
            self.seen.append(self.faults.pop(0) if self.faults else "ok")
            return self.seen[-1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
