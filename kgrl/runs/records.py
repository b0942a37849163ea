"""The records of a run: files of lines that grow, and the marks by which a checkpoint knows them again.

A mark is the number of lines that a file had, and their SHA-256. What was written after the mark is cut off when a run
is resumed; what was there before has to be the same to the last bit, since the rest of the run builds on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kgrl.errors import DataError
from kgrl.system.files import flush_to_disk, replacing, write_text

__all__ = ["RecordFile", "read_records", "whole_lines"]

_MOST_SHOWN = 80
"""Characters of a line that a message shows."""

T = TypeVar("T")


class RecordFile:
    """One file of records, written line by line.

    Args:
        path: The file.

    Example:
        >>> import tempfile
        >>> record = RecordFile(Path(tempfile.mkdtemp()) / "curriculum.jsonl")
        >>> record.begin()
        >>> record.append('{"index": 0}')
        >>> mark = record.mark()
        >>> record.append('{"index": 1}')
        >>> record.cut_to(mark)
        >>> whole_lines(record.path), mark["lines"]
        (['{"index": 0}'], 1)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines, self._digest = 0, hashlib.sha256()

    def begin(self) -> None:
        """Start with an empty file."""
        write_text(self.path, "")
        self._lines, self._digest = 0, hashlib.sha256()

    def append(self, line: str) -> None:
        """Write one line."""
        data = line.encode() + b"\n"
        with self.path.open("ab") as file:
            file.write(data)
        self._lines += 1
        self._digest.update(data)

    def mark(self) -> dict[str, Any]:
        """Bring the file to the disk, and return its number of lines and their SHA-256."""
        flush_to_disk(self.path)
        return {"lines": self._lines, "sha256": self._digest.hexdigest()}

    def check(self, mark: Mapping[str, Any]) -> None:
        """Refuse a file that does not begin with the lines of a mark.

        Raises:
            DataError: If lines are missing, were added among them, or changed.
        """
        self._marked(mark)

    def cut_to(self, mark: Mapping[str, Any]) -> None:
        """Leave the lines of a mark, drop later ones, and continue from there.

        Raises:
            DataError: If lines of the mark are missing, or are not the same.
        """
        data = self._marked(mark)
        # Replaced, not cut in place: whoever follows the file sees by its number that it went back.
        with replacing(self.path) as temporary:
            temporary.write_bytes(data)
        self._lines, self._digest = int(mark["lines"]), hashlib.sha256(data)

    def _marked(self, mark: Mapping[str, Any]) -> bytes:
        """Return the part of the file that a mark is of."""
        whole = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        lines, remedy = int(mark["lines"]), "bring the file back as it was, or start the run anew with another --out"
        if len(whole) < lines:
            why = f"the record has {len(whole)} whole lines, and the checkpoint was written with {lines}"
            raise DataError(self.path, None, f"{why}; {remedy}")
        data = b"".join(line + b"\n" for line in whole[:lines])
        if hashlib.sha256(data).hexdigest() != mark["sha256"]:
            why = f"the first {lines} of {len(whole)} lines are not those that the checkpoint was written with"
            raise DataError(self.path, None, f"{why} (lines were added, taken away or changed); {remedy}")
        return data


def whole_lines(path: Path) -> list[str]:
    """Return the complete lines of a file; none if the file is missing.

    A last line without its end was interrupted while being written, and is left out.

    Raises:
        DataError: If it is a pipe or a device, which could be waited for without end.
    """
    if path.exists() and not path.is_file():
        raise DataError(path, None, "this is not a regular file, so no record of a run")
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return text[: text.rfind("\n") + 1].split("\n")[:-1]


def read_records(path: Path, parse: Callable[[str], T]) -> list[T]:
    """Return the records in the complete lines of a file; none if the file is missing.

    Args:
        path: The file.
        parse: Makes a record of a line.

    Raises:
        DataError: If a line is not a record.
    """
    records = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            records.append(parse(line))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            why = f"not a record of a run ({type(error).__name__}): {line[:_MOST_SHOWN]!r}"
            raise DataError(path, number, why) from error
    return records
