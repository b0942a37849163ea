"""Sources of passages: JSON Lines (compressed or not), Parquet, folders of such files, and Hugging Face datasets.

All are read lazily, with one document in memory at a time. `kgrl.corpus.cut` cuts a document into passages.
"""

from __future__ import annotations

import codecs
import io
import json
import logging
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from kgrl.corpus import cut
from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.system.display import count_text

__all__ = ["HUB", "RECORD_ENDINGS", "PassageSource", "is_saved_dataset", "passage_sources"]

_log = logging.getLogger(__name__)

HUB = "hf:"
"""Beginning of the name of a Hugging Face dataset."""
RECORD_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", ".parquet")
_CHUNK = 1 << 20
_LONGEST_LINE = 64 << 20
"""Bytes of the longest line; a longer one is not a document, and would fill the memory."""
_PACKED = (EOFError, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True)
class PassageSource:
    """A file of documents, or a Hugging Face dataset.

    Args:
        place: The file, or `hf:NAME`, `hf:NAME:SPLIT` or `hf:NAME:SPLIT:CONFIGURATION`; a folder that `datasets`
            saved, and one of data files as the hub has them, is `hf:FOLDER`.
        field: The name of the text in a record.
        on_error: `"fail"`, or `"skip"` records that cannot be used and the missing part of a file that is cut off.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "shard.jsonl"
        >>> _ = path.write_text('{"text": "Logic is old. It asks what follows. It is taught."}')
        >>> list(PassageSource(str(path)).passages())
        ['Logic is old.', 'It asks what follows.', 'It is taught.']
    """

    place: str
    field: str = "text"
    on_error: Literal["fail", "skip"] = "fail"

    @property
    def name(self) -> str:
        """The name of the source in messages."""
        return self.place

    def passages(self) -> Iterator[str]:
        """Yield passages in order.

        Raises:
            DataError: If a record cannot be used; the message names file and line.
            MissingDataError: If the package `datasets` is needed and missing.
        """
        for document in self.documents():
            yield from cut(document)

    def documents(self) -> Iterator[str]:
        """Yield documents in order; raises as `passages` does."""
        for _, record in self.records():
            yield record[self.field]

    def records(self, also: Sequence[str] = ()) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number and the record of each document in order; raises as `passages` does.

        Args:
            also: Names of fields to read beside the text, where there are such.

        Yields:
            Number of the line or row from 1, of a dataset from 0, and a record whose text is a string; other fields may
            be anything.
        """
        # By ending, not by content: a wrong ending is an error of the reader, which names the file.
        if self.place.startswith(HUB):
            yield from self._from_hub()
        elif self.place.endswith(".parquet"):
            yield from self._from_parquet(Path(self.place), also)
        else:
            yield from self._from_lines(Path(self.place))

    def _from_lines(self, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
        left_out = _LeftOut(self)
        number = 0
        try:
            with _opened(path) as file:
                while line := file.readline(_LONGEST_LINE):
                    number += 1  # counted outside of `enumerate`, since the error of a cut-off file names it
                    if len(line) == _LONGEST_LINE:
                        raise DataError(path, number, f"a line of more than {_LONGEST_LINE >> 20} MiB")
                    line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                    if line.strip():
                        yield from left_out.unless(path, number, partial(json.loads, line))
        except _PACKED as error:
            if self.on_error == "fail":
                raise DataError(
                    path,
                    number,
                    f"the archive is damaged or cut off behind this line ({error}); fetch it again, or leave the rest "
                    "out with --on-error skip",
                ) from error
            _log.warning("%s is damaged or cut off behind line %d (%s); the rest is left out", path, number, error)
        left_out.report()

    def _from_parquet(self, path: Path, also: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        left_out = _LeftOut(self)
        row = 0
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                if self.field not in names:
                    columns = ", ".join(names)
                    raise DataError(path, None, f"no column {self.field!r}; it has {columns}; name one with --field")
                # Other columns, such as vectors, may be large and are not read.
                wanted = [self.field, *(name for name in also if name in names and name != self.field)]
                for group in range(file.num_row_groups):
                    first = row
                    try:
                        for batch in file.iter_batches(batch_size=1024, row_groups=[group], columns=wanted):
                            for at in range(batch.num_rows):
                                row += 1
                                yield from left_out.unless(path, row, partial(_cells, batch, at))
                    except (pa.ArrowException, OSError) as error:
                        rows = file.metadata.row_group(group).num_rows
                        left_out.damaged(path, rows - (row - first), error)
                        row = first + rows
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # names of columns are text, too
            raise DataError(path, None, f"not a whole Parquet file ({error}); fetch it again") from error
        left_out.report()

    def _from_hub(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        try:
            import datasets
        except ImportError as error:
            raise MissingDataError("Hugging Face datasets need a package: pip install 'kgrl[datasets]'") from error
        name, split, configuration = ([*self.place.removeprefix(HUB).split(":", 2), "", ""])[:3]
        split = split or "train"
        try:
            saved = is_saved_dataset(Path(name))
            found = datasets.load_from_disk(name) if saved else _streamed(name, split, configuration or None)
        except (OSError, ValueError) as error:
            raise KgrlError(f"the dataset {name!r} cannot be read: {error}") from error
        # A folder that was saved may hold one split or several.
        if isinstance(found, datasets.DatasetDict):
            if split not in found:
                raise KgrlError(f"the dataset {name!r} has no split {split!r}, only {', '.join(found)}")
            found = found[split]
        left_out = _LeftOut(self)
        for number, row in enumerate(found):
            if self.field not in row:
                raise KgrlError(f"row {number} of {name!r} has no {self.field!r}, only {', '.join(row)}; see --field")
            yield from left_out.unless(Path(name), number, partial(dict, row))
        left_out.report()


def _streamed(name: str, split: str, configuration: str | None) -> Any:
    """Open a dataset to be streamed: a folder, one of the hub, or the copy of it in the hub's cache.

    Raises:
        OSError: If it is not in the cache, and the hub cannot be reached.
        ValueError: If there is no such split or configuration; the message has those there are.
    """
    import datasets
    import huggingface_hub

    try:
        return datasets.load_dataset(name, configuration, split=split, streaming=True)
    except ConnectionError as error:
        if Path(name).exists():
            raise
        try:
            copy = huggingface_hub.snapshot_download(name, repo_type="dataset", local_files_only=True)
        except (huggingface_hub.errors.LocalEntryNotFoundError, huggingface_hub.errors.HFValidationError):
            raise ConnectionError(f"{error}; the hub's cache on this machine has no copy of it") from error
        _log.warning("%s: the hub cannot be reached; what its cache has of it is read: %s", name, copy)
        return datasets.load_dataset(copy, configuration, split=split, streaming=True)


def is_saved_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset that `datasets` saved."""
    return any((folder / file).is_file() for file in ("dataset_info.json", "dataset_dict.json"))


def _cells(batch: pa.RecordBatch, at: int) -> dict[str, Any]:
    """Return the values of a row; some programs write text as bytes."""
    values = {name: batch.column(name)[at].as_py() for name in batch.schema.names}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


class _LeftOut:
    """Records of a source that cannot be used: named at once, or counted and told at the end.

    Args:
        source: The source, which says which of the two.
    """

    def __init__(self, source: PassageSource) -> None:
        self._source = source
        self._reasons: Counter[str] = Counter()

    def unless(self, path: Path, number: int, read: Callable[[], Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number and a record, or nothing if it has no text and such records are skipped.

        Args:
            path: The file, for the error.
            number: The line or row, for the error.
            read: Returns the record.

        Raises:
            DataError: If it has no text, and records are not skipped.
        """
        record: Any = None
        try:
            record = read()
            text = record[self._source.field]
            if not isinstance(text, str):
                raise TypeError(f"it is not text but {'null' if text is None else type(text).__name__}")
            text.encode()  # raises for half of a surrogate pair
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if self._source.on_error == "fail":
                has = f"; it has {', '.join(record)}" if isinstance(error, KeyError) and record else ""
                reason = f"not a record with a {self._source.field!r} ({type(error).__name__}: {error}{has})"
                raise DataError(path, number, f"{reason}; name another --field, or --on-error skip") from error
            self._reasons[type(error).__name__ if not isinstance(error, TypeError) else str(error)] += 1
        else:
            yield number, record

    def damaged(self, path: Path, rows: int, error: Exception) -> None:
        """Count the rows of a damaged part of a file; raise a `DataError` if records are not skipped."""
        if self._source.on_error == "fail":
            raise DataError(path, None, f"not a whole Parquet file ({error}); fetch it again") from error
        self._reasons["in a damaged part of the file"] += rows

    def report(self) -> None:
        """Log how many records were left out, and why."""
        if self._reasons:
            why = ", ".join(f"{reason}: {count:,}" for reason, count in self._reasons.most_common())
            _log.warning("%s: %s left out (%s)", self._source.name, count_text(self._reasons.total(), "record"), why)


def passage_sources(
    places: Sequence[str], field: str = "text", on_error: Literal["fail", "skip"] = "fail"
) -> list[PassageSource]:
    """Return the sources of files, folders and datasets; those of a folder in the order of their names.

    Args:
        places: Files, folders of `.jsonl`, `.jsonl.gz`, `.jsonl.zst` and `.parquet`, or `hf:NAME[:SPLIT]`.
        field: The name of the text in a record.
        on_error: What to do with records that cannot be used: `"fail"` or `"skip"`.

    Raises:
        MissingDataError: If a file is missing, or a folder holds no such file.
    """
    found: list[str] = []
    for place in places:
        path = Path(place)
        if place.startswith(HUB) or (path.is_file() and place.endswith(RECORD_ENDINGS)):
            found.append(place)
        elif path.is_dir():
            # Sorted, so that passages have the same numbers on every file system.
            shards = sorted(str(file) for file in path.rglob("*") if file.name.endswith(RECORD_ENDINGS))
            if not shards:
                raise MissingDataError(f"{place} holds no file that ends with one of {', '.join(RECORD_ENDINGS)}")
            found += shards
        else:
            endings = ", ".join(RECORD_ENDINGS)
            raise MissingDataError(
                f"{place} is not a folder, a dataset (hf:NAME) or a file that ends with one of {endings}"
            )
    return [PassageSource(place, field, on_error) for place in found]


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    # Windows of 2 GiB are what `zstd --long=31` writes; memory is taken as it is needed.
    makers: dict[str, Callable[[], Any]] = {
        ".gz": lambda: zlib.decompressobj(wbits=31),
        ".zst": lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj(),
    }
    raw = _Packed(path, makers[path.suffix]) if path.suffix in makers else io.FileIO(path)
    with raw, io.BufferedReader(raw, _CHUNK) as file:
        yield file


class _Packed(io.RawIOBase):
    """Reader of a compressed file that gives all there is before it raises, if the file is cut off or damaged.

    Args:
        path: The file; one stream or several, one after the other.
        make: Makes the decompressor of one stream.
    """

    def __init__(self, path: Path, make: Callable[[], Any]) -> None:
        self._file = path.open("rb")
        self._make = make
        self._stream: Any = None
        self._ready = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return the number of bytes written to it, 0 at the end."""
        # A chunk may decompress to nothing yet; an empty result would mean the end of the file.
        while not self._ready and (chunk := self._next_chunk()):
            self._ready = self._decompressed(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _next_chunk(self) -> bytes:
        chunk = self._file.read(_CHUNK // 16)  # compressed; the decompressed size is unknown
        if not chunk and self._stream is not None:
            raise EOFError("the last stream is not whole")
        return chunk

    def _decompressed(self, chunk: bytes) -> bytes:
        """Decompress a chunk, which may hold the end of a stream and the beginning of the next."""
        parts = []
        while chunk:
            # Concatenated files have several streams; each needs its own decompressor.
            self._stream = self._stream or self._make()
            parts.append(self._stream.decompress(chunk))
            chunk = self._stream.unused_data if self._stream.eof else b""
            if self._stream.eof:
                self._stream = None
                chunk = chunk.lstrip(b"\0")  # padding, which tapes and some tools leave
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
