"""A real Redis server on a free port of this machine, for tests and benchmarks, with an append-only file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["RedisServer", "why_no_redis"]

_START_SECONDS = 20.0


def why_no_redis() -> str | None:
    """Return why there can be no server; None where there can. With `CI=true` there has to be one."""
    if shutil.which("redis-server") is None and os.environ.get("CI") != "true":
        return "redis-server is not installed: apt-get install redis-server"
    return None


class RedisServer:
    """A server that runs as long as the context is open, and can be stopped and started in between.

    Args:
        folder: Where it keeps its file.
        password: What it wants to hear; nothing if empty.
        options: Further arguments of its command.
    """

    def __init__(self, folder: Path, password: str = "", options: Sequence[str] = ()) -> None:
        self.folder, self.password, self.port, self.options = folder, password, _free_port(), options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        password = ["--requirepass", self.password] if self.password else []
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        with (self.folder / "redis.log").open("ab") as log:
            command = ["redis-server", *options, *durable, *password, *self.options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"redis-server does not start: {(self.folder / 'redis.log').read_text()}")
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        """Stop, in an orderly way or with SIGKILL."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        """Whether a PING is answered, be it with a demand for a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
