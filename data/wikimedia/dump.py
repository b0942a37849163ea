"""Import of MediaWiki's XML dumps as corpora: streaming, in several processes, and resumable.

One process reads the file and hands out batches of pages. Others parse them and write pieces, each whole or not at all.
A second pass folds redirects, numbers topics and joins the pieces. Memory holds one batch in each process, and in the
second pass the titles, the links as numbers, and a hash of each probe or exam passage.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import logging
import lzma
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import filelock
import zstandard

from kgrl.data.wikimedia.dump_join import Imported, join_pieces
from kgrl.data.wikimedia.dump_pages import DumpPage, PageStream
from kgrl.data.wikimedia.dump_pieces import RawPage, parse_batch
from kgrl.data.wikimedia.wiki_site import WikiSite
from kgrl.data.wikimedia.wikitext import disambiguation_list, redirect_target
from kgrl.errors import DataError, KgrlError, SettingError
from kgrl.system.files import remove_left_overs, temporary_folder, write_json
from kgrl.system.schemas import read_json

__all__ = ["import_dump"]

_BATCH_PAGES, _BATCH_CHARACTERS = 200, 4_000_000
"""Largest batch, in pages and in characters of markup."""
_VERSION = 3
"""Version of the pieces; those of another version are refused."""
_LOCK, _JOINED = ".lock", "joined"
"""Files among the pieces: held by the process that imports, and made when all pieces are there."""
_MOST_MARKUP = 20_000_000
"""Characters of a page that are read; MediaWiki's own limit is 2 million bytes."""
_BROKEN = (EOFError, OSError, ParseError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""Exceptions from reading a damaged file."""
_INTERFACE, _LIST_PAGE = 8, "Disambiguationspage"
"""Namespace of a wiki's messages, and the one that lists its templates of disambiguation pages."""

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

    Pieces are kept in a folder beside `out` until the corpus is whole. So an interrupted import that is started again
    continues where it stopped, with the same result.

    Args:
        dump: A file of pages in MediaWiki's export format: XML, as it is or packed with bzip2, gzip, xz or zstd.
        out: The corpus's folder; missing or empty.
        workers: Processes that parse.
        limit: Most articles to read.
        on_error: What to do with a dump that ends in the middle: `"fail"`, or `"skip"` the missing part.
        on_read: Called with the position in the file, in bytes, and the title of each page.

    Raises:
        DataError: If the file is not a dump, or is truncated and `on_error` is `"fail"`.
        KgrlError: If the folder is not empty, pieces of another import are beside it, or another process imports to it.
    """
    # Beside the corpus, on the same disk.
    parts = out.with_name(f"{out.name}.parts")
    _check_free(out, parts)
    if not dump.is_file():
        raise DataError(dump, None, "no such file")
    if workers < 1:
        raise SettingError(f"an import needs at least one worker, not {workers}")
    with _opened(dump):
        pass  # what is packed in another way is refused before anything is written, whatever `on_error` says
    with _held(out, parts):
        _check_free(out, parts)  # another process may have ended just now
        # Pieces of another dump or limit would be mixed up with this import's.
        _check_parts(parts, {"version": _VERSION, "file": dump.name, "bytes": dump.stat().st_size, "limit": limit})
        done = Imported()
        reader = _Reader(dump, limit, done, on_read)
        with _workers(workers) as pool:
            try:
                _parse_all(pool, reader, parts, 2 * workers)
            except DataError as error:
                if on_error != "skip":
                    raise
                done.incomplete = str(error)
                _log.warning("%s; going on with what was read", error)
        (parts / _JOINED).touch()
        join_pieces(sorted(parts.glob("*.jsonl")), out, done, reader.disambiguations)
        _remove_parts(parts)
    return done


def _check_free(out: Path, parts: Path) -> None:
    """Refuse a folder that holds something; pieces that were joined to it are removed if a killed process left them."""
    remove_left_overs(out.parent)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if (parts / _JOINED).exists():
            _remove_parts(parts)
        raise KgrlError(f"{out} holds something already; choose another --out")


def _remove_parts(parts: Path) -> None:
    """Remove the pieces, which have another name meanwhile: a part of them would look like an import to go on with."""
    with temporary_folder(parts) as doomed, suppress(FileNotFoundError):
        parts.rename(doomed / parts.name)


@contextmanager
def _held(out: Path, parts: Path) -> Iterator[None]:
    """Keep other processes from importing to the same place."""
    parts.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(parts / _LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise KgrlError(
            f"another process imports to {out}; wait until it has ended, or choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _workers(number: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes that Ctrl-C does not reach: this one ends them, and they would each print a traceback."""
    # Spawned, not forked: a fork copies the locks of threads that other parts of the process may have started.
    with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as pool:
        resource_tracker.ensure_running()  # before, since it unblocks the signal when it starts
        with _ctrl_c_kept():
            for _ in range(number):  # each starts a process, which inherits the blocked signal
                pool.submit(int)
        yield pool


@contextmanager
def _ctrl_c_kept() -> Iterator[None]:
    """Block Ctrl-C during a `with` block, and let it take effect at the end."""
    received: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    # Another thread gets the signal if this one blocks it, and has it handled here all the same.
    handler = signal.signal(signal.SIGINT, lambda number, frame: received.append(number)) if main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if main:
            signal.signal(signal.SIGINT, handler)
    if received:
        raise KeyboardInterrupt


def _check_parts(parts: Path, about: dict[str, Any]) -> None:
    """Create the folder of pieces, or check that it belongs to this import."""
    note = parts / "import.json"
    if not note.exists():
        write_json(note, about)
    elif read_json(note, dict[str, Any], f"delete {parts}") != about:
        raise KgrlError(f"{parts} holds the pieces of another import; delete it, or choose another --out")


def _parse_all(pool: ProcessPoolExecutor, reader: _Reader, parts: Path, most_waiting: int) -> None:
    """Have each batch without a piece parsed. At most `most_waiting` batches are in memory at a time."""
    running: set[Future[None]] = set()
    try:
        for number, batch in enumerate(reader.batches()):
            # Batches are the same in each run, so an existing piece holds this batch.
            piece = parts / f"{number:07d}.jsonl"
            if not piece.exists():
                running.add(pool.submit(parse_batch, batch, piece, reader.site))
            if len(running) >= most_waiting:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()  # raises what the worker raised
    finally:
        # Also after a cut-off dump: the pieces of what was read are written before the error is raised.
        finished, _ = wait(running)
    for future in finished:
        future.result()


class _Reader:
    """Reader of a dump's articles and redirects in order, in batches."""

    def __init__(self, dump: Path, limit: int | None, done: Imported, on_read: Callable[[int, str], None]) -> None:
        self._dump, self._limit, self._done, self._on_read = dump, limit, done, on_read
        self._latest = ""
        self.site = WikiSite()
        self.disambiguations: frozenset[str] = frozenset()

    def batches(self) -> Iterator[list[RawPage]]:
        """Yield batches. The pages read before an error are yielded before it is raised."""
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
            # A batch ends by pages or by characters: a few very long pages are as much work as many short ones.
            if batch and (page is None or len(batch) == _BATCH_PAGES or characters >= _BATCH_CHARACTERS):
                yield batch
                batch, characters = [], 0
            if page is None:
                return

    def _pages(self) -> Iterator[RawPage]:
        with _opened(self._dump) as (raw, content), self._named():
            stream = PageStream(content, self._done.leave_out, _MOST_MARKUP)
            pages = (self._raw_page(page, stream) for page in stream if self._is_article(page, raw, stream.site))
            yield from itertools.islice(pages, self._limit)

    def _raw_page(self, page: DumpPage, stream: PageStream) -> RawPage:
        self._latest, self.site = page.title, stream.site
        target = page.redirect
        if target == "":  # some schemas say only that a page redirects
            target = redirect_target(page.text, self.site, certain=True) or ""
        elif target is None and not stream.tells_redirects:
            target = redirect_target(page.text, self.site)
        title = self.site.title(page.title)
        return RawPage(title, page.text) if target is None else RawPage(title, "", self.site.title(target))

    def _is_article(self, page: DumpPage, raw: IO[bytes], site: WikiSite) -> bool:
        self._done.pages += 1
        self._on_read(raw.tell(), page.title)  # the position in the compressed file, whose size is known
        if page.namespace == _INTERFACE and site.split(page.title) == (_INTERFACE, _LIST_PAGE):
            self.disambiguations = disambiguation_list(page.text, site)
        reason = ""
        if page.namespace != 0:
            reason = "another namespace"
        elif not page.title:
            reason = "no title"
        elif page.model != "wikitext" and page.redirect is None:
            reason = f"content model {page.model}"
        if reason:
            self._done.leave_out(reason)
        return not reason

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn errors of a damaged dump into a `DataError` that says how far it could be read."""
        try:
            yield
        except _BROKEN as error:
            reached = f"after {self._latest!r}" if self._latest else "at its beginning"
            raise DataError(
                self._dump,
                None,
                f"the dump is damaged or cut off {reached}, page {self._done.pages} ({error}). What was read is kept: "
                "replace the file and start the same command again, or make a corpus of what there is with "
                "--on-error skip",
            ) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield a file as it is on disk, for the position, and its unpacked content, whatever the file is called.

    Raises:
        DataError: If it is packed in a way that is not read.
    """
    with path.open("rb") as raw:
        start = raw.read(_START_BYTES)
        for signature, program in _REFUSED.items():
            if start.startswith(signature):
                raise DataError(path, None, f"this is a {program} archive; unpack it, and import the XML file in it")
        opener = next((opener for signature, opener in _OPENERS.items() if start.startswith(signature)), None)
        # White space may be before the XML of a file that was copied by hand, but its declaration must come first.
        raw.seek(0 if opener else len(start) - len(start.lstrip()))
        if opener is None:
            yield raw, raw
        else:
            with opener(raw) as content:
                yield raw, content


_START_BYTES = 1_000
_OPENERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"BZh": bz2.BZ2File,
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    # Windows of 2 GiB are what `zstd --long=31` writes; memory is taken as it is needed.
    b"\x28\xb5\x2f\xfd": lambda raw: zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(
        raw, read_across_frames=True, closefd=False
    ),
}
"""Readers of packed files, by the bytes that these begin with."""
_REFUSED = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"PK\x03\x04": "ZIP", b"Rar!": "RAR"}
