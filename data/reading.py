"""Strict reading of records: one that cannot be used is named by file and line, and fails or is skipped and counted."""

from __future__ import annotations

import codecs
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import msgspec

from kgrl.errors import DataError, MissingDataError
from kgrl.system.schemas import checked, decode_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DAMAGED", "OnError", "Problems", "decoded_lines", "json_lines", "lines_of", "parquet_rows"]

DAMAGED = "damaged part of a file"
"""The kind of problem that stands for an unknown number of records."""
OnError = Literal["fail", "skip"]
"""Treatment of a record that cannot be used: raise a `DataError`, or skip and count it."""

T = TypeVar("T")

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
        DataError: If it cannot be read.
    """
    if not path.exists():
        raise MissingDataError(
            f"{path} is missing; a corpus folder holds topics.jsonl, links.tsv and passages.jsonl or passages.parquet"
        )
    if not path.is_file():
        raise DataError(path, None, "this is no regular file")
    with path.open("rb") as file:
        yield from decoded_lines(path, file, problems)


def decoded_lines(path: Path, lines: Iterable[bytes], problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank.

    Args:
        path: The file that messages name.
        lines: The lines, with or without line ends; the first may begin with a byte order mark.
        problems: Gets the lines that are not UTF-8.
    """
    for line, data in enumerate(lines, 1):
        if line == 1 and data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(path, None, "the file is in UTF-16; save it as UTF-8")
        try:
            text = data.removeprefix(codecs.BOM_UTF8 if line == 1 else b"").decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            problems.report(path, line, "invalid UTF-8", f"invalid UTF-8 at byte {error.start} of the line")
            continue
        if text.strip():
            yield line, text


def json_lines(path: Path, kind: type[T], problems: Problems) -> Iterator[tuple[int, T]]:
    """Yield the number, from 1, and the record of each line of a JSON Lines file that is not blank.

    Args:
        path: The file.
        kind: The schema of a record.
        problems: Gets the lines that are no such records.
    """
    for line, text in lines_of(path, problems):
        try:
            record = decode_json(text, kind, path, line)
        except DataError as error:
            problems.report(path, line, "malformed line", error.reason)
        else:
            yield line, record


def parquet_rows(path: Path, kind: type[T], problems: Problems) -> Iterator[tuple[int, T]]:
    """Yield the number, from 1, and the record of each row of a Parquet file.

    Only the schema's columns are read. Text may be written in any of Arrow's types for text or bytes, which have to be
    UTF-8.

    Args:
        path: The file.
        kind: The schema of a row, a `msgspec.Struct`.
        problems: Gets the rows that are no such records, and the parts of the file that are damaged.

    Raises:
        DataError: If the file is not Parquet, or its columns are not those of the schema.
    """
    # Here, since it takes a tenth of a second to import, and few read such files.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=False)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(path, None, f"not a Parquet file: {error}") from error
    with file:
        columns = _columns(path, names, kind)
        first = 1  # row of the file that a part begins with
        for group in range(file.num_row_groups):
            try:
                for batch in file.iter_batches(row_groups=[group], columns=columns):
                    yield from _rows(path, first, batch, kind, problems)
                    first += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                why = (
                    f"part {group + 1} of {file.num_row_groups} of the file is damaged: {' '.join(str(error).split())}"
                )
                problems.report(path, None, DAMAGED, why)
                first = 1 + sum(file.metadata.row_group(at).num_rows for at in range(group + 1))


def _columns(path: Path, names: Sequence[str], kind: type) -> list[str]:
    """Return those columns of a file that the schema has."""
    known = {field.name: field.required for field in msgspec.structs.fields(kind)}
    for name, required in known.items():
        if names.count(name) > 1 or (required and name not in names):
            why = f"{names.count(name)} columns are named {name!r}"
            raise DataError(path, None, f"{why}, and there must be one; the file has {', '.join(names)}")
    return [name for name in known if name in names]


def _rows(path: Path, first: int, batch: pa.RecordBatch, kind: type[T], problems: Problems) -> Iterator[tuple[int, T]]:
    for at in range(batch.num_rows):
        row = first + at
        try:
            # Cell by cell: Arrow checks that a text is UTF-8 only when it is converted, and one bad cell would fail a
            # conversion of the whole batch.
            cells = {name: batch.column(name)[at].as_py() for name in batch.schema.names}
            record = {name: cell.decode() if isinstance(cell, bytes) else cell for name, cell in cells.items()}
        except UnicodeDecodeError as error:
            problems.report(path, row, "invalid UTF-8", f"invalid UTF-8 at byte {error.start} of the text")
            continue
        except (ValueError, OverflowError) as error:  # a time that Python has none for
            problems.report(path, row, "malformed line", str(error))
            continue
        try:
            made = checked(record, kind, path, row)
        except DataError as error:
            problems.report(path, row, "malformed line", error.reason)
        else:
            yield row, made
