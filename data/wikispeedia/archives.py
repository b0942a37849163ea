"""Wikispeedia's two archives as SNAP publishes them: where they are, their download, and the files inside."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pooch
import requests

from kgrl.errors import DataError, MissingDataError
from kgrl.system.files import cache_dir

__all__ = ["ARCHIVE_FOLDER", "GRAPH_ARCHIVE", "archives", "download", "members", "traces_folder"]

ARCHIVE_FOLDER = "wikispeedia_paths-and-graph"
"""The folder inside the archive of the graph and the traces."""
GRAPH_ARCHIVE = f"{ARCHIVE_FOLDER}.tar.gz"
_TEXT_ARCHIVE = "wikispeedia_articles_plaintext.tar.gz"
_URL = "https://snap.stanford.edu/data/wikispeedia"
_LARGEST_MEMBER = 64 << 20
"""Bytes of a file in an archive; larger ones are refused."""
_CHUNK = 1 << 20
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

    Nothing is extracted to a path that the archive names, so a malicious name can do no harm.

    Raises:
        DataError: If the archive is damaged or cut off, or a file in it is larger than 64 MiB.
    """
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if member.size > _LARGEST_MEMBER:
                    raise DataError(archive / member.name, None, f"{member.size} bytes are too many for an article")
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(archive, None, f"not a whole .tar.gz archive ({error}); fetch it again") from error


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
    name = url.rsplit("/", 1)[-1]
    try:
        # No checksum is published for what kgrl downloads; the readers check the content.
        path = pooch.retrieve(
            url, known_hash=None, fname=name, path=folder, downloader=_Resuming(folder / f"{name}.part")
        )
    except requests.RequestException as error:
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
        have = self.partial.stat().st_size if self.partial.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            # "Range not satisfiable": the partial file is already the whole one.
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                # A server without ranges answers 200 and sends the file from its beginning.
                continues = response.status_code == requests.codes.partial_content
                with self.partial.open("ab" if continues else "wb") as file:
                    for chunk in response.iter_content(_CHUNK):
                        file.write(chunk)
        self.partial.replace(output_file)
