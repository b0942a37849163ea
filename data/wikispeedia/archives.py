"""Wikispeedia's two archives as SNAP publishes them: where they are, their download, and the files inside."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kgrl.errors import DataError, MissingDataError
from kgrl.system.cache import writing_cache
from kgrl.system.files import cache_dir

__all__ = ["ARCHIVE_FOLDER", "GRAPH_ARCHIVE", "archives", "download", "members", "traces_folder"]

ARCHIVE_FOLDER = "wikispeedia_paths-and-graph"
"""The folder inside the archive of the graph and the traces."""
GRAPH_ARCHIVE = f"{ARCHIVE_FOLDER}.tar.gz"
_TEXT_ARCHIVE = "wikispeedia_articles_plaintext.tar.gz"
_URL = "https://snap.stanford.edu/data/wikispeedia"
_LARGEST_MEMBER = 64 << 20
"""Bytes of a file in an archive; larger ones are refused."""
_LARGEST_HEADER = 1 << 20
"""Bytes of what precedes a file; a long name or an extended header takes some hundreds."""
_LARGEST_CONTENT = 1 << 30
"""Bytes of all that an archive holds; those of Wikispeedia hold 100 MB."""
_MOST_MEMBERS = 100_000
_BLOCK = 512
"""Bytes of tar's blocks; the last ones hold zeros."""
_MOST_AT_END = 16
"""Times that a reader may ask for more at the end."""
_BROKEN = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError)
"""Exceptions from reading a damaged archive."""
_LARGEST_DOWNLOAD = 1 << 30
_TIMEOUT = 60


def archives(root: str | Path | None) -> tuple[Path, Path]:
    """Return the paths of the archive of graph and traces and of the archive of texts.

    Args:
        root: Their folder; by default `$KGRL_DATA/wikispeedia` where that holds both, else they are downloaded.

    Raises:
        MissingDataError: If `root` lacks an archive, or it cannot be downloaded.
    """
    folder = Path(root) if root is not None else _shared()
    if folder is not None and all((folder / name).is_file() for name in (GRAPH_ARCHIVE, _TEXT_ARCHIVE)):
        return folder / GRAPH_ARCHIVE, folder / _TEXT_ARCHIVE
    if root is not None:
        raise MissingDataError(f"{root} does not hold {GRAPH_ARCHIVE} and {_TEXT_ARCHIVE}")
    return _downloaded(GRAPH_ARCHIVE), _downloaded(_TEXT_ARCHIVE)


def traces_folder() -> Path:
    """Return the folder of the traces: `$KGRL_DATA/wikispeedia` where it exists, else the folder of the download.

    Raises:
        MissingDataError: If the archive cannot be downloaded.
    """
    shared = _shared()
    return shared if shared is not None and shared.is_dir() else _downloaded(GRAPH_ARCHIVE).parent


def _shared() -> Path | None:
    """Return `$KGRL_DATA/wikispeedia`, or None where the variable is not set."""
    return Path(os.environ["KGRL_DATA"]) / "wikispeedia" if os.environ.get("KGRL_DATA") else None


def _downloaded(name: str) -> Path:
    return download(f"{_URL}/{name}", cache_dir() / "downloads" / "wikispeedia")


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of an archive.

    Nothing is extracted to a path that the archive names, so a malicious name can do no harm. Sizes are compared before
    anything is read, so memory is bounded.

    Raises:
        DataError: If the archive is damaged or cut off, holds a name twice, more than 100,000 files or 1 GiB, or a file
            larger than 64 MiB.
    """
    seen: set[str] = set()
    with _named(archive), archive.open("rb") as packed, gzip.GzipFile(fileobj=packed) as content:
        limited = _Limited(content)
        with tarfile.open(fileobj=limited, mode="r:") as tar:  # type: ignore[call-overload]
            for member in tar:
                _check(archive, member, seen)
                if member.isfile():
                    yield member.name, limited.member(tar, member)
            limited.check_end(tar.offset)


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Name the archive in errors of reading it."""
    try:
        yield
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(archive, None, f"not a whole .tar.gz archive ({error}); fetch it again") from error


def _check(archive: Path, member: tarfile.TarInfo, seen: set[str]) -> None:
    """Refuse what no archive of articles holds."""
    if not 0 <= member.size <= _LARGEST_MEMBER:
        raise DataError(archive, None, f"{member.name!r} has {member.size} bytes, which are too many for an article")
    if member.isfile() and member.name in seen:
        raise DataError(archive, None, f"holds {member.name!r} twice; fetch it again")
    if len(seen) == _MOST_MEMBERS:
        raise DataError(archive, None, f"holds more than {_MOST_MEMBERS} files; fetch it again")
    seen.add(member.name)


class _Limited:
    """An archive's unpacked content, of which tarfile cannot read more at a time than a header should have.

    tarfile reads an extended header or a long name whole, whatever size it claims to have.

    Args:
        content: The unpacked content.
    """

    def __init__(self, content: BinaryIO | gzip.GzipFile) -> None:
        self._content, self._most, self._at_end = content, _LARGEST_HEADER, 0

    def member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        """Return the content of a file whose size was compared."""
        self._most = _LARGEST_MEMBER
        try:
            file = tar.extractfile(member)
            return b"" if file is None else file.read()
        finally:
            self._most = _LARGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        """Read at most as many bytes as are allowed now."""
        if not 0 <= size <= self._most:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self._content.read(size)
        # tarfile looks for the end of some damaged headers again and again.
        self._at_end = self._at_end + 1 if size and not data else 0
        if self._at_end > _MOST_AT_END:
            raise EOFError("it ends within a header")
        return data

    def seek(self, position: int) -> int:
        """Go to a position, which tarfile computes from sizes that the archive claims."""
        if not 0 <= position <= _LARGEST_CONTENT:
            raise tarfile.ReadError(f"more than {_LARGEST_CONTENT:,} bytes")
        return self._content.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._content.tell()

    def check_end(self, position: int) -> None:
        """Raise an error if there is something behind the last file, where tarfile stops at a damaged header."""
        self.seek(position)
        if self.read(_BLOCK).strip(b"\0"):
            raise tarfile.ReadError("a damaged header")


def download(url: str, folder: Path) -> Path:
    """Return the file that `url` names, downloaded to `folder` unless it is there.

    An interrupted download continues where it stopped if the server supports that. An incomplete file never has the
    final name.

    Args:
        url: The address; its last part is the file's name.
        folder: Where the file goes.

    Raises:
        MissingDataError: If it cannot be downloaded. The part that arrived is kept for the next try.
    """
    # Here, since they take half a second to import, and what was downloaded once needs neither.
    import httpx
    import pooch

    name = url.rsplit("/", 1)[-1]
    try:
        with writing_cache(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # No checksum is published for what kgrl downloads; the readers check the content.
        path = pooch.retrieve(
            url, known_hash=None, fname=name, path=folder, downloader=_Resuming(folder / f"{name}.part")
        )
    except httpx.HTTPError as error:
        raise MissingDataError(f"{url} could not be downloaded ({error}); place the file in {folder}") from error
    return Path(path)


class _Resuming:
    """Downloader for pooch that writes to a partial file, which outlives an interruption, and then renames it.

    Args:
        partial: The partial file.
    """

    def __init__(self, partial: Path) -> None:
        self.partial = partial

    def __call__(self, url: str, output_file: str, pooch_: Any) -> None:
        import httpx

        have = self.partial.stat().st_size if self.partial.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response:
            # "Range not satisfiable": the partial file is already the whole one.
            if response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                response.raise_for_status()
                # A server without ranges answers 200 and sends the file from its beginning.
                continues = response.status_code == httpx.codes.PARTIAL_CONTENT
                with self.partial.open("ab" if continues else "wb") as file:
                    for chunk in response.iter_raw():
                        if file.tell() + len(chunk) > _LARGEST_DOWNLOAD:
                            raise httpx.ReadError(f"it is larger than {_LARGEST_DOWNLOAD:,} bytes")
                        file.write(chunk)
        self.partial.replace(output_file)
