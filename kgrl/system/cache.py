"""Cache entries: made once a machine, sealed by length and SHA-256, verified when read, and made again if damaged.

An entry is one or more files, or a folder. Its seal is a file beside it, written last. An entry without a seal, or
with another content than it says, is never used.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from numpy.typing import NDArray

from kgrl.errors import KgrlError
from kgrl.system.arrays import mapped_array
from kgrl.system.files import file_digest, new_folder, write_npy, write_text

__all__ = ["cached", "cached_arrays", "is_sealed", "writing_cache"]

_NO_ROOM = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NUMPY_NO_ROOM = "requested and"
"""Part of NumPy's message when a disk is full; its error has no number."""

_log = logging.getLogger(__name__)


def cached(*paths: Path, make: Callable[[], None]) -> None:
    """Make a cache entry unless it is there as it was made.

    If two processes need an entry, one makes it and the other waits. Nothing is written if the entry is there, so a
    complete cache may be read-only.

    Args:
        paths: The entry's files or folders, side by side.
        make: Writes all of them.

    Raises:
        KgrlError: If the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "entry.txt"
        >>> cached(path, make=lambda: write_text(path, "made"))
        >>> _ = path.write_text("ma")
        >>> cached(path, make=lambda: write_text(path, "made"))
        >>> path.read_text()
        'made'
    """
    if is_sealed(*paths):
        return
    with writing_cache(paths[0].parent):
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(_beside(paths[0], ".lock")):
            if is_sealed(*paths):  # by another process, meanwhile
                return
            _remove(*paths)
            make()
            write_text(_beside(paths[0], ".sha256"), _described(paths))


def cached_arrays(
    entry: Path, names: Sequence[str], make: Callable[[], Iterable[NDArray[Any]]]
) -> tuple[NDArray[Any], ...]:
    """Map the arrays of a cache entry into memory, read-only; make them the first time.

    They go on being readable if the cache folder is removed.

    Args:
        entry: The entry's folder.
        names: The arrays' names.
        make: Makes the arrays, in the order of the names.

    Raises:
        KgrlError: If the folder cannot be written to, or is removed while it is read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> entry = Path(tempfile.mkdtemp()) / "entry"
        >>> first, second = cached_arrays(entry, ["first", "second"], lambda: (np.arange(2), np.arange(3)))
        >>> second.tolist()
        [0, 1, 2]
    """

    def write() -> None:
        """Write the arrays to the entry."""
        with new_folder(entry) as temporary:
            for name, array in zip(names, make(), strict=True):
                write_npy(temporary / f"{name}.npy", array)

    cached(entry, make=write)
    return tuple(mapped_array(entry / f"{name}.npy", "start again") for name in names)


def is_sealed(*paths: Path) -> bool:
    """Return whether a cache entry is there as it was made."""
    try:
        return _beside(paths[0], ".sha256").read_text(encoding="utf-8") == _described(paths)
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def writing_cache(folder: Path) -> Iterator[None]:
    """Name the folder, and the way out, where it cannot be written to.

    Raises:
        KgrlError: If it cannot.
    """
    try:
        yield
    except KgrlError:
        raise
    except OSError as error:
        if not _is_about(error, folder):
            raise
        why = f"the cache folder {folder} cannot be written to ({error.strerror or error})"
        raise KgrlError(f"{why}; set KGRL_CACHE to a folder with room that can") from error


def _is_about(error: OSError, folder: Path) -> bool:
    """Return whether an error is about writing to a folder, and not about reading what an entry is made from."""
    if error.filename is None:
        return error.errno in _NO_ROOM or _NUMPY_NO_ROOM in str(error)
    path = Path(str(error.filename))
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _described(paths: tuple[Path, ...]) -> str:
    """Return the length and the SHA-256 of each file of an entry, a line each."""
    lines = []
    for path in paths:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        if not files:
            raise FileNotFoundError(path)
        lines += [f"{file_digest(f)} {f.stat().st_size} {f.relative_to(path.parent).as_posix()}\n" for f in files]
    return "".join(lines)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def _remove(*paths: Path) -> None:
    """Remove what is there of an entry that cannot be used."""
    found = [path for path in paths if path.exists()]
    if found:
        _log.warning("%s in the cache is not as it was made, or has no checksum; it is made again", found[0])
    _beside(paths[0], ".sha256").unlink(missing_ok=True)
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
