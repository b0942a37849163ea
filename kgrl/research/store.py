"""Stores of a research queue: a SQLite file or a Redis server, through huey's storages.

A `QueueStore` has huey's messages and several `Space`s, each a table from keys to texts. A single put is atomic.
Several puts together are not, and callers have to allow for that.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huey.constants import EmptyData  # type: ignore[import-untyped]
from huey.registry import Message  # type: ignore[import-untyped]
from huey.serializer import Serializer  # type: ignore[import-untyped]
from huey.storage import PriorityRedisStorage, SqliteStorage  # type: ignore[import-untyped]

from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError
from kgrl.system.schemas import decode_json

__all__ = ["QUEUE_FILE", "JsonSerializer", "QueueAwayError", "QueueStore", "Space", "open_store"]

QUEUE_FILE = "queue.db"
_LOG = "kgrl_log"
_SCHEMES = ("redis", "rediss", "unix")
_BUSY_SECONDS = 30.0
"""Longest wait for another process that writes to the SQLite file."""
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
"""SQLite's errors that do not mean that the file is damaged."""
_DATABASE = re.compile(r"(?:/[0-9]*)?")
"""Path of a URL that names a database by its number, or none."""
_FORM = "it looks like redis://:PASSWORD@HOST:PORT/DB, the password percent-encoded"
_KEEPS_ALL = "noeviction"
"""The `maxmemory-policy` of a Redis that refuses what it has no memory for, instead of deleting something."""
_ANSWER_SECONDS = 10.0
"""Longest wait for an answer of a Redis."""

_log = logging.getLogger(__name__)

Explain = Callable[[Exception], KgrlError | None]


class QueueAwayError(KgrlError):
    """A queue that cannot be reached now; trying again later may help."""


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Serializer of huey's messages as JSON instead of pickle, so that reading a message runs no code."""

    def _serialize(self, data: tuple[Any, ...]) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Any:
        return Message(*decode_json(data, list[Any], "messages of the queue"))


class Space:
    """A table from keys to texts; each call is atomic.

    Args:
        storage: One of huey's storages.
        explain: Turns an exception of the storage into an error with an explanation, or None for an unknown one.
    """

    def __init__(self, storage: Any, explain: Explain) -> None:
        self._storage, self._explain = storage, explain

    def get(self, key: str) -> str | None:
        """Return the text of a key, None if it has none."""
        with explained(self._explain):
            value = self._storage.peek_data(key)
        return None if value is EmptyData else bytes(value).decode()

    def get_many(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the texts of the keys that have one."""
        wanted = list(keys)
        with explained(self._explain):
            found = self._storage.peek_many(wanted) if wanted else {}
        return {key: bytes(value).decode() for key, value in found.items()}

    def put(self, key: str, text: str) -> None:
        """Set the text of a key."""
        with explained(self._explain):
            self._storage.put_data(key, text.encode())

    def put_new(self, key: str, text: str) -> bool:
        """Set the text of a key that has none, and return whether that was done. Of several callers one gets True."""
        with explained(self._explain):
            return bool(self._storage.put_if_empty(key, text.encode()))

    def delete(self, *keys: str) -> None:
        """Delete keys; missing ones are ignored."""
        with explained(self._explain):
            for key in keys:
                self._storage.delete_data(key)

    def items(self) -> dict[str, str]:
        """Return all keys and texts."""
        with explained(self._explain):
            return {key: bytes(value).decode() for key, value in self._storage.result_items().items()}

    def __len__(self) -> int:
        with explained(self._explain):
            return int(self._storage.result_store_size())

    def count(self, key: str, amount: int) -> int:
        """Add to a counter, which is 0 at first, and return its value."""
        with explained(self._explain):
            return int(self._storage.incr(key, amount))


class QueueStore:
    """The spaces of a queue, and the storage of huey's messages.

    Args:
        place: The file or URL, for messages; without a password.
        make: Function that makes one of huey's storages, given its name.
        explain: Turns an exception of a storage into an error with an explanation.
    """

    def __init__(self, place: str, make: Callable[[str], Any], explain: Explain) -> None:
        self.place, self._explain = place, explain
        self.messages = make("kgrl")
        # done, aliases and failed are kept by title; jobs, parts and claims exist while a title is under way.
        names = ("facts", "jobs", "claims", "parts", "done", "aliases", "failed", "log")
        self.facts, self.jobs, self.claims, self.parts, self.done, self.aliases, self.failed, self.log = (
            Space(make(f"kgrl_{name}"), explain) for name in names
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn exceptions of huey in the body into errors with an explanation."""
        with explained(self._explain):
            yield


@contextmanager
def explained(explain: Explain) -> Iterator[None]:
    """Replace exceptions of the body by their explanations."""
    try:
        yield
    except KgrlError:
        raise
    except Exception as error:
        meaning = explain(error)
        if meaning is None:
            raise
        raise meaning from None  # its text quotes the cause; a driver's traceback may hold a password


def open_store(where: str | Path) -> QueueStore:
    """Open the store at a place; create it if it is missing.

    Args:
        where: A folder, which gets a SQLite file, or the URL of a Redis: `redis://:PASSWORD@HOST:PORT/DB`. The contents
            of a Redis survive a restart if it has an append-only file (`appendonly yes`), and a power cut if that file
            is written at once (`appendfsync always`).

    Raises:
        DataError: If the SQLite file is damaged.
        MissingDataError: If the package redis is not installed.
        SettingError: If the URL is malformed or names a database by a word, or the Redis wants a password.
        QueueAwayError: If nothing answers there.
    """
    text = str(where)
    if "://" not in text:  # not by a parser of URLs, which takes C: for a scheme
        return _open_sqlite(Path(where))
    if text.partition("://")[0] not in _SCHEMES:
        raise SettingError(f"a queue is kept in a folder or at redis://HOST:PORT/DB, not at {_without_password(text)}")
    return _open_redis(text)


def _open_sqlite(folder: Path) -> QueueStore:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / QUEUE_FILE

    def explain(error: Exception) -> KgrlError | None:
        """Tell a file that cannot be used now from one that is damaged."""
        if isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorname", "").startswith(_PASSING):
            return QueueAwayError(f"the queue {path} cannot be used now: {error}")
        if isinstance(error, sqlite3.DatabaseError):
            way_out = "move it away and resume: what has not arrived is fetched again"
            return DataError(path, None, f"the queue is damaged ({error}); {way_out}")
        return None

    with explained(explain):
        storage = SqliteStorage("kgrl", filename=str(path), timeout=_BUSY_SECONDS)
        # With either setting a process that dies does no harm. The log alone is written through to the disk, and
        # everything before it with it: so even a power cut takes back no arrival that a run has seen.
        storage.conn.execute("pragma synchronous=normal")
        durable = SqliteStorage("kgrl", filename=str(path), timeout=_BUSY_SECONDS, create_tables=False)
        durable.conn.execute("pragma synchronous=full")

    def named(name: str) -> Any:
        """Return a storage of another name that shares connection and lock, so that threads do not wait long."""
        twin = copy.copy(durable if name == _LOG else storage)
        twin.name = name
        return twin

    return QueueStore(str(path), named, explain)


def _open_redis(url: str) -> QueueStore:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise MissingDataError("a queue in Redis needs the package redis: pip install 'kgrl[redis]'") from None
    place = _without_password(url)
    _check_database(url, place)
    limits = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS}
    try:
        # One retry at once, for a connection that the server has closed; longer waits are the workers' business.
        pool = redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 1), **limits)
    except ValueError:  # from None: its text may quote a part of the password
        raise SettingError(f"{place} is not the URL of a Redis; {_FORM}") from None

    def explain(error: Exception) -> KgrlError | None:
        """Tell a wrong password from a Redis that does not answer and from a refusal."""
        if isinstance(error, redis.AuthenticationError):
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
            form = f"{parts.scheme}://:PASSWORD@{parts.hostname or 'HOST'}{port}{parts.path}"
            return SettingError(f"the Redis at {place} refuses the password: give it as {form} ({error})")
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            return QueueAwayError(
                f"no Redis answers at {place}; start one with `redis-server`, or name a folder instead"
            )
        if isinstance(error, redis.RedisError):
            return KgrlError(f"the Redis at {place} refuses: {error}")
        return None

    with explained(explain):
        client = redis.Redis(connection_pool=pool)
        client.ping()
        try:
            policy = client.info("memory").get("maxmemory_policy", _KEEPS_ALL)
        except redis.ResponseError:  # some servers do not tell
            policy = _KEEPS_ALL
    if policy != _KEEPS_ALL:
        loses = "deletes keys when its memory is full, and a queue whose keys are deleted loses topics"
        _log.warning("the Redis at %s %s: set its maxmemory-policy to %s (it is %s)", place, loses, _KEEPS_ALL, policy)
    return QueueStore(
        place, lambda name: PriorityRedisStorage(name, connection_pool=pool, blocking=False, clean_name=False), explain
    )


def _check_database(url: str, place: str) -> None:
    """Refuse a database that is no number: the driver would take database 0, and `/1/2` for 12."""
    try:
        parts = urlsplit(url)
    except ValueError:  # the driver says what is wrong with it
        return
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        if "@" in parts.path:  # a password with a slash in it, of which nothing may be shown
            raise SettingError(f"{place} is not the URL of a Redis; {_FORM}")
        what = f"{place} names the database {parts.path.removeprefix('/')!r}"
        raise SettingError(f"{what}: databases of a Redis have numbers, as in redis://HOST:PORT/0")


def _without_password(url: str) -> str:
    """Return a URL with stars for the password; of one that cannot be parsed, only the scheme."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    if "@" in parts.path and parts.scheme != "unix":  # a password with a slash in it
        return f"{parts.scheme}://…"
    user = f"{parts.username or ''}:***@" if parts.password is not None else ""
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"
