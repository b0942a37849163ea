"""Files of lines that a process appends to, one JSON record each."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from kgrl.errors import DataError
from kgrl.system.schemas import decode_json

__all__ = ["read_records", "whole_lines"]

T = TypeVar("T")


def whole_lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file; none if the file is missing.

    A last line without its end was interrupted while being written, and is left out.

    Raises:
        DataError: If it is a pipe or a device, which could be waited for without end.
    """
    if path.exists() and not path.is_file():
        raise DataError(path, None, "this is not a regular file, so no record of a run")
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def read_records(path: Path, kind: type[T]) -> list[T]:
    """Return the records in the complete lines of a file; none if the file is missing.

    Args:
        path: The file.
        kind: The schema of a record.

    Raises:
        DataError: If a line is not a record.
    """
    return [decode_json(line, kind, path, number) for number, line in enumerate(whole_lines(path), start=1)]
