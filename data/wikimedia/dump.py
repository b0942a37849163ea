"""MediaWiki's XML dumps as corpora: streaming, in several processes, and resumable.

One process reads the file and hands out batches of pages; others parse them and write pieces, each at once or not at
all. A second pass folds redirects, numbers topics and joins the pieces. What is held in memory is a batch in each
process, and in the second pass the titles, the links as numbers, and a hash of each passage that is held out.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import logging
import lzma
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import mwxml

from kgrl.data.wikimedia.dump_join import Imported, join_pieces
from kgrl.data.wikimedia.dump_pieces import RawPage, parse_batch
from kgrl.data.wikimedia.wikitext import normal_title, redirect_target
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.system.files import write_json

__all__ = ["import_dump"]


_BATCH_PAGES, _BATCH_CHARACTERS = 200, 4_000_000

_VERSION = 1

_MOST_MARKUP = 20_000_000
"""Characters of a page that are read; MediaWiki's own limit is 2 million bytes."""

_BROKEN = (EOFError, OSError, ParseError, zlib.error, lzma.LZMAError, AssertionError)
"""What reading a damaged file raises; mwxml asserts that the file begins as a dump does."""

_log = logging.getLogger(__name__)


def import_dump(
    dump: Path,
    out: Path,
    *,
    workers: int = 2,
    limit: int | None = None,
    on_error: str = "fail",
    on_read: Callable[[int, str], None] = lambda position, title: None,
) -> Imported:
    """Make a corpus folder of a dump.

    Pieces are kept in a folder beside `out` until the corpus is whole, so that an interrupted import goes on where it
    stopped; what comes out is the same.

    Args:
        dump: A file of pages in MediaWiki's export format, `.xml`, `.xml.bz2`, `.xml.gz` or `.xml.xz`.
        out: The corpus's folder; missing or empty.
        workers: Processes that parse.
        limit: Most articles to read.
        on_error: `"fail"` or `"skip"`: what to do about a dump that ends in the middle.
        on_read: Called with the position in the file, in bytes, and a title.

    Raises:
        DataError: If the dump is truncated or no dump, and that is not to be skipped.
        KgrlError: If the folder is in use, or pieces of another import are beside it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KgrlError(f"{out} holds something already; choose another --out")
    if not dump.is_file():
        raise DataError(dump, None, "no such file")
    if workers < 1:
        raise SettingError(f"an import needs at least one worker, not {workers}")
    parts = out.with_name(f"{out.name}.parts")
    _check_parts(parts, {"version": _VERSION, "file": dump.name, "bytes": dump.stat().st_size, "limit": limit})
    done = Imported()
    reader = _Reader(dump, limit, done, on_read)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            _parse_all(pool, reader, parts, 2 * workers)
        except DataError as error:
            if on_error != "skip":
                raise
            done.incomplete = str(error)
            _log.warning("%s; going on with what was read", error)
    join_pieces(_pieces(parts), out, done)
    shutil.rmtree(parts)
    return done


def _check_parts(parts: Path, about: dict[str, Any]) -> None:
    """Make the folder of pieces, or see that it is this import's."""
    note = parts / "import.json"
    if not note.exists():
        write_json(note, about)
    elif json.loads(note.read_text(encoding="utf-8")) != about:
        raise KgrlError(f"{parts} holds the pieces of another import; delete it, or choose another --out")


def _pieces(parts: Path) -> list[Path]:
    return sorted(parts.glob("*.jsonl"))


def _parse_all(pool: ProcessPoolExecutor, reader: _Reader, parts: Path, most_waiting: int) -> None:
    """Have every batch parsed that has no piece yet; no more of them wait than keep the workers busy."""
    running: set[Future[None]] = set()
    try:
        for number, batch in enumerate(reader.batches()):
            piece = parts / f"{number:07d}.jsonl"
            if not piece.exists():
                running.add(pool.submit(parse_batch, batch, piece))
            if len(running) >= most_waiting:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                _raise_first(finished)
    finally:
        finished, _ = wait(running)
    _raise_first(finished)


def _raise_first(finished: set[Future[None]]) -> None:
    for future in finished:
        future.result()


class _Reader:
    """Reads a dump's articles and redirects in order, in batches."""

    def __init__(self, dump: Path, limit: int | None, done: Imported, on_read: Callable[[int, str], None]) -> None:
        self._dump, self._limit, self._done, self._on_read = dump, limit, done, on_read
        self._latest = ""

    def batches(self) -> Iterator[list[RawPage]]:
        """Yield batches; what was read before an error is yielded before that is raised."""
        batch: list[RawPage] = []
        characters = 0
        pages = self._pages()
        while True:
            try:
                page = next(pages, None)
            except DataError:
                if batch:
                    yield batch
                raise
            if page is not None:
                batch.append(page)
                characters += len(page.text)
            if batch and (page is None or len(batch) == _BATCH_PAGES or characters >= _BATCH_CHARACTERS):
                yield batch
                batch, characters = [], 0
            if page is None:
                return

    def _pages(self) -> Iterator[RawPage]:
        with _opened(self._dump) as (raw, text), self._named():
            articles = (page for page in mwxml.Dump.from_file(text) if self._is_article(page, raw))
            for page in itertools.islice(articles, self._limit):
                self._latest = str(page.title)
                yield _raw_page(page)

    def _is_article(self, page: Any, raw: IO[bytes]) -> bool:
        self._done.pages += 1
        self._on_read(raw.tell(), str(page.title))
        if page.namespace != 0:
            self._done.leave_out("another namespace")
        return bool(page.namespace == 0)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say where a dump ends that ends too early."""
        try:
            yield
        except (*_BROKEN, mwxml.errors.MalformedXML) as error:
            reached = f"after {self._latest!r}" if self._latest else "at its beginning"
            raise DataError(
                self._dump,
                None,
                f"the dump is damaged or cut off {reached}, page {self._done.pages} ({error}). What was read is kept: "
                "replace the file and start the same command again, or make a corpus of what there is with "
                "--on-error skip",
            ) from error


def _raw_page(page: Any) -> RawPage:
    """A page's title and markup, or what it redirects to."""
    title = normal_title(str(page.title))
    text = next((str(revision.text or "") for revision in page), "")[:_MOST_MARKUP]
    target = normal_title(str(page.redirect)) if page.redirect else redirect_target(text)
    return RawPage(title, "" if target else text, target)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A file as it is on disk, for the position, and its content."""
    openers: dict[str, Callable[[IO[bytes]], Any]] = {".bz2": bz2.BZ2File, ".gz": _gzip, ".xz": lzma.LZMAFile}
    with path.open("rb") as raw:
        opener = openers.get(path.suffix)
        if opener is None:
            yield raw, raw
        else:
            with opener(raw) as content:
                yield raw, content


def _gzip(raw: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=raw)
