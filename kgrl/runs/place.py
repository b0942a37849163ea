"""Folders of runs: new ones get names of their own, and one process at a time works in one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from kgrl.errors import KgrlError

__all__ = ["hold_folder", "unused_folder"]

_LOCK = ".lock"


def unused_folder(path: Path) -> Path:
    """Make a new folder and return it: `path`, or if that exists, the first of `path-2`, `path-3` and so on.

    Of processes that ask for the same name at the same moment, each gets another folder.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run"
        >>> [unused_folder(path).name for _ in range(3)]
        ['run', 'run-2', 'run-3']
    """
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        break
    return folder


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder during a `with` block; the folder is made if it is missing.

    The lock is the operating system's, which releases it when the process ends, however it ends. Blocks of one thread
    may be nested. A folder in which nothing was written is removed at the end.

    Args:
        folder: The folder.

    Raises:
        KgrlError: If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One object for a path, so that blocks can be nested; objects of other threads are others.
    lock = filelock.FileLock(folder.resolve() / _LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        why = f"another process works in {folder}; wait until it has ended, or choose another --out"
        raise KgrlError(why) from error
    try:
        yield
    finally:
        lock.release()
        if not lock.is_locked:
            _remove_if_unused(folder)


def _remove_if_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but a lock that no one has."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [_LOCK]:
        # Nothing came of it, for example since a name was misspelt. Another process may have begun in it just now.
        with suppress(filelock.Timeout, OSError), filelock.FileLock(folder.resolve() / _LOCK, timeout=0):
            (folder / _LOCK).unlink()
            folder.rmdir()
