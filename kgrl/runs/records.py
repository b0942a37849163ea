"""The records of a run: files of lines that grow, and the marks by which a checkpoint knows them again.

A mark is the number of lines that a file had, and their SHA-256. What was written after the mark is cut off when a run
is resumed; what was there before has to be the same to the last bit, since the rest of the run builds on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from kgrl.errors import DataError
from kgrl.system.files import flush_to_disk, replacing, write_text
from kgrl.system.json_lines import read_records, whole_lines
from kgrl.system.schemas import Count, Index, checked

__all__ = ["Figures", "RecordFile", "read_metrics"]

T = TypeVar("T")


class Figures(Struct):
    """The figures of a line of `metrics.jsonl` that others read; a line has further ones.

    Args:
        index: Number of the expansion, -1 before any.
        tokens: Tokens trained on until then.
        exam_loss: Mean loss of the exam, in nats per token, if it was taken.
        exam_losses: The loss of each of its topics.
        exam_seconds: Time that it took.
        nucleus: The topics that the curriculum starts from, in the line before any expansion.
        chosen: Whether the agent chose the expansion; False for lessons on the nucleus.
    """

    index: Index
    tokens: Count
    exam_loss: float | None = None
    exam_losses: list[float] | None = None
    exam_seconds: float = 0.0
    nucleus: list[Index] | None = None
    chosen: bool | None = None


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
        ([b'{"index": 0}'], 1)
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
        whole = whole_lines(self.path)
        lines, remedy = int(mark["lines"]), "bring the file back as it was, or start the run anew with another --out"
        if len(whole) < lines:
            why = f"the record has {len(whole)} whole lines, and the checkpoint was written with {lines}"
            raise DataError(self.path, None, f"{why}; {remedy}")
        data = b"".join(line + b"\n" for line in whole[:lines])
        if hashlib.sha256(data).hexdigest() != mark["sha256"]:
            why = f"the first {lines} of {len(whole)} lines are not those that the checkpoint was written with"
            raise DataError(self.path, None, f"{why} (lines were added, taken away or changed); {remedy}")
        return data


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the figures in the complete lines of a run's `metrics.jsonl`; none if the file is missing.

    Raises:
        DataError: If a line does not hold such figures.
    """
    lines = read_records(path, dict[str, Any])
    for number, line in enumerate(lines, start=1):
        checked(line, Figures, path, number)
    return lines
