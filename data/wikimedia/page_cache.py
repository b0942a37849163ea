"""Cache of pages in one SQLite file that any number of processes can share."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kgrl.errors import DataError
from kgrl.research.page import Page
from kgrl.system.cache import writing_cache
from kgrl.system.schemas import decode_json

__all__ = ["PageCache"]

_BUSY_SECONDS = 60.0
"""Longest wait for another process that writes to the file."""
_SCHEMA = """
create table if not exists pages (
    site text not null, title text not null, page text, fetched real not null, primary key (site, title)
) without rowid
"""


class PageCache:
    """Cache of pages by site and title; it also remembers titles that a site has no article for.

    Args:
        path: The file; created if it is missing.

    Raises:
        DataError: If the file cannot be used, is not such a cache, or is damaged.

    Example:
        >>> import tempfile
        >>> cache = PageCache(Path(tempfile.mkdtemp()) / "pages.db")
        >>> cache.put("https://example.org", "Logic", Page("Logic", "Logic is …", fetched=time.time()))
        >>> cache.get("https://example.org", "Logic")[0].text
        'Logic is …'
        >>> cache.get("https://example.org", "Set") is None
        True
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()
        with writing_cache(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._named():
            if path.is_file() and not os.access(path.parent, os.W_OK):
                # SQLite would make files beside it even to read it.
                self._connection = self._connected(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
                return
            self._connection = self._connected(str(path))
            # Readers do not wait for a writer; a power cut may lose the latest pages, which are then fetched again.
            self._connection.execute("pragma journal_mode=wal")
            self._connection.execute("pragma synchronous=normal")
            self._connection.execute(_SCHEMA)

    @staticmethod
    def _connected(place: str, uri: bool = False) -> sqlite3.Connection:
        # Every statement is a transaction of its own.
        return sqlite3.connect(place, _BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri)

    def get(self, site: str, title: str, max_age: float | None = None) -> tuple[Page | None] | None:
        """Return a tuple with the cached page, or with None for a missing article; None if nothing is cached.

        Args:
            site: The site's URL.
            title: The title that was asked for.
            max_age: Seconds after which an entry counts as missing; never if None.

        Raises:
            DataError: If the file cannot be used or is damaged.
        """
        with self._named():
            row = self._connection.execute(
                "select page, fetched from pages where site = ? and title = ?", (site, title)
            ).fetchone()
        if row is None or (max_age is not None and row[1] < time.time() - max_age):
            return None
        return (None if row[0] is None else self._page(row[0]),)

    def put(self, site: str, title: str, page: Page | None) -> None:
        """Store the page of a title, or None if the site has no such article."""
        text = None if page is None else json.dumps(asdict(page), ensure_ascii=False)
        fetched = time.time() if page is None else page.fetched
        with self._named():
            self._connection.execute("replace into pages values (?, ?, ?, ?)", (site, title, text, fetched))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give one thread at a time access to the file, and name the file in errors."""
        try:
            with self._lock:
                yield
        except sqlite3.OperationalError as error:  # no right to write, a full disk, another database
            why = f"the page cache cannot be used: {error}; choose another by --cache, or a folder by KGRL_CACHE"
            raise DataError(self.path, None, why) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception | str) -> DataError:
        files = " ".join(shlex.quote(f"{self.path}{end}") for end in ("", "-wal", "-shm"))
        return DataError(
            self.path,
            None,
            f"the page cache is damaged ({error}); delete it, and pages are fetched again: rm -f {files}",
        )

    def _page(self, text: str) -> Page:
        try:
            return decode_json(text, Page, self.path)
        except DataError as error:
            raise self._damaged(error.reason) from error
