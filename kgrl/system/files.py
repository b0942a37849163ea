"""Files: the cache folder, keys made from content, and atomic writes.

Files and folders are written under a temporary name, which a process keeps locked. What a killed process has left is
not locked any more, and is removed by the next one that writes to the same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

if TYPE_CHECKING:
    from numpy.typing import NDArray

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where left-overs stay
    fcntl = None

__all__ = [
    "absolute",
    "cache_dir",
    "content_key",
    "file_digest",
    "flush_to_disk",
    "new_folder",
    "remove_left_overs",
    "replacing",
    "temporary_folder",
    "write_json",
    "write_npy",
    "write_text",
]

_KEY_LENGTH = 32
"""Hexadecimal digits of a key: 128 bits, so that two contents never share one by accident."""
_MARK, _END = ".kgrl-", ".tmp"
_TEMPORARY = re.compile(rf"\..*{re.escape(_MARK)}\w{{8}}{re.escape(_END)}", re.DOTALL)
"""Names of temporary files and folders."""
_swept: set[Path] = set()
"""Folders whose left-overs this process has removed."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_swept.clear)


def cache_dir() -> Path:
    """Return the cache folder: `$KGRL_CACHE`, otherwise kgrl's folder in the platform's user cache."""
    chosen = os.environ.get("KGRL_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("kgrl"))


def absolute(path: str | Path) -> str:
    """Return a path that means the same in every working folder.

    Links stay, since other machines may have their targets elsewhere; only behind them `..` means another folder.

    Example:
        >>> absolute("/data/corpus"), ".." in absolute("../corpus")
        ('/data/corpus', False)
    """
    path = Path(path)
    return str(path.resolve() if ".." in path.parts else path.absolute())


def content_key(*parts: str | bytes) -> str:
    """Return a key for data derived from `parts`: the first 32 hexadecimal digits of a SHA-256, usable as a file name.

    Parts are hashed with their lengths, so that moving a character from one part to the next changes the key.

    Example:
        >>> content_key("ab", "c") == content_key("a", "bc")
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:_KEY_LENGTH]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk and would outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the body succeeds.

    Readers see the old file or the whole new one. The folder is made if it is missing. If the body raises, `path` stays
    as it was.

    Args:
        path: The file.
        durable: Wait until the new content and name are on the disk, so that a power cut also leaves one or the other.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    with _temporary(path, folder=False) as temporary:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        if durable:
            flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            flush_to_disk(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, and rename it to `path` if the body succeeds.

    Raises:
        FileExistsError: If `path` exists and is not an empty folder; nothing is overwritten.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "run"
        >>> with new_folder(target) as temporary:
        ...     write_text(temporary / "a.txt", "whole")
        >>> [file.name for file in target.iterdir()]
        ['a.txt']
    """
    with temporary_folder(path) as temporary:
        yield temporary
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(f"{path} exists and is not an empty folder")
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, on the same file system, and remove it afterwards unless it was renamed."""
    with _temporary(path, folder=True) as temporary:
        yield temporary


@contextmanager
def _temporary(path: Path, folder: bool) -> Iterator[Path]:
    """Yield a new file or folder beside `path`, locked; remove it afterwards unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_overs(path.parent)
    # In the same folder: a rename is atomic only within one file system.
    temporary, lock = _made(path, folder)
    try:
        yield temporary
    finally:
        _remove(temporary)
        if lock is not None:
            os.close(lock)


def _made(path: Path, folder: bool) -> tuple[Path, int | None]:
    """Make a file or folder beside `path`, and lock it; return it and the lock's handle."""
    while True:
        prefix = f".{path.name}{_MARK}"
        if folder:
            temporary = Path(tempfile.mkdtemp(_END, prefix, path.parent))
        else:
            handle, name = tempfile.mkstemp(_END, prefix, path.parent)
            os.close(handle)
            temporary = Path(name)
        if fcntl is None:
            return temporary, None
        with suppress(FileNotFoundError):  # another process may sweep it before it is locked
            lock = os.open(temporary, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where left-overs stay
                fcntl.flock(lock, fcntl.LOCK_EX)
            if temporary.exists():
                return temporary, lock
            os.close(lock)


def remove_left_overs(folder: Path) -> None:
    """Remove temporary files and folders that killed processes have left in a folder; done once a process."""
    folder = folder.absolute()
    if fcntl is None or folder in _swept or not folder.is_dir():
        return
    _swept.add(folder)
    with suppress(OSError):  # a folder that cannot be listed
        for path in list(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                _remove_abandoned(path)


def _remove_abandoned(temporary: Path) -> None:
    """Remove a temporary file or folder unless a living process holds it."""
    with suppress(OSError):  # held, or removed by another process
        lock = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(temporary)
        finally:
            os.close(lock)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write a text file atomically, as UTF-8; see `replacing`."""
    with replacing(path, durable) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any, durable: bool = False) -> None:
    """Write a JSON file atomically, indented, with a final newline; see `replacing`.

    Raises:
        ValueError: If `value` holds a NaN or an infinity, which JSON cannot express.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", durable)


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array atomically in NumPy's format, never pickled."""
    import numpy as np  # here, so that commands which write no array start without it

    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _umask() -> int:
    """Return the process's file mode mask. mkstemp ignores it and makes files that only their owner can read."""
    # The mask can only be read by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
