"""Strict reading of records: one that cannot be used is named by file and line, and fails or is skipped and counted."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.errors import DataError, MissingDataError

__all__ = ["OnError", "Problems", "decoded_lines", "json_lines", "lines_of", "parquet_rows"]

OnError = Literal["fail", "skip"]
"""Treatment of a record that cannot be used: raise a `DataError`, or skip and count it."""

_log = logging.getLogger(__name__)


class Problems:
    """Treatment and count of records that cannot be used.

    Args:
        source: The folder or archive that is read; the summary names it.
        on_error: `"fail"` or `"skip"`.

    Attributes:
        skipped: Number of skipped records by kind.

    Example:
        >>> problems = Problems(Path("mine"), "skip")
        >>> problems.report(Path("mine/links.tsv"), 7, "dangling link", "'Mars' is not a topic")
        >>> problems.skipped
        Counter({'dangling link': 1})
    """

    def __init__(self, source: Path, on_error: OnError) -> None:
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error is 'fail' or 'skip', not {on_error!r}")
        self.source = source
        self.on_error = on_error
        self.skipped: Counter[str] = Counter()

    def report(self, path: Path, line: int | None, kind: str, reason: str) -> None:
        """Raise a `DataError`, or count a skipped record of this kind, as `on_error` says."""
        if self.on_error == "fail":
            raise DataError(path, line, reason)
        self.skipped[kind] += 1

    def log(self) -> None:
        """Log the counts as one warning if anything was skipped."""
        if self.skipped:
            counts = ", ".join(f"{kind}: {n}" for kind, n in sorted(self.skipped.items()))
            _log.warning("%s: skipped %d records (%s)", self.source, self.skipped.total(), counts)


def lines_of(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank.

    Raises:
        MissingDataError: If the file is missing.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path} is missing; a corpus folder holds topics.jsonl, links.tsv and passages.jsonl or passages.parquet"
        )
    with path.open("rb") as file:
        yield from decoded_lines(path, file, problems)


def decoded_lines(path: Path, lines: Iterable[bytes], problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank.

    Args:
        path: The file that messages name.
        lines: The lines, with or without line ends.
        problems: Gets the lines that are not UTF-8.
    """
    for line, data in enumerate(lines, 1):
        try:
            text = data.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            problems.report(path, line, "invalid UTF-8", f"invalid UTF-8 at byte {error.start} of the line")
            continue
        if text.strip():
            yield line, text


def json_lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line of a JSON Lines file that holds an object."""
    for line, text in lines_of(path, problems):
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            problems.report(path, line, "malformed line", f"not JSON: {error.msg}")
            continue
        if not isinstance(record, dict):
            problems.report(path, line, "malformed line", "not a JSON object")
        elif not all(_encodes(value) for value in record.values()):
            problems.report(path, line, "invalid UTF-8", "an escape stands for half a character")
        else:
            yield line, record


def parquet_rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number, from 1, and the columns of each row of a Parquet file.

    Raises:
        DataError: If the file is not Parquet.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(path, None, f"not a Parquet file: {error}") from error
    with file:
        first = 1  # row of the file that a batch begins with
        for batch in file.iter_batches():
            yield from _rows(path, first, batch, problems)
            first += batch.num_rows


def _rows(path: Path, first: int, batch: pa.RecordBatch, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in range(batch.num_rows):
        try:
            # Cell by cell: Arrow checks that a text is UTF-8 only when it is converted, and one bad cell would fail a
            # conversion of the whole batch.
            record = {name: batch.column(name)[row].as_py() for name in batch.schema.names}
        except UnicodeDecodeError as error:
            problems.report(path, first + row, "invalid UTF-8", f"invalid UTF-8 at byte {error.start} of the text")
            continue
        yield first + row, record


def _encodes(value: object) -> bool:
    """Return False for a text that cannot be written as UTF-8: JSON can escape half of a surrogate pair."""
    try:
        return not isinstance(value, str) or value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False
