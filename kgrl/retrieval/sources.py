"""Sources of passages: JSON Lines (compressed or not), Parquet, folders of such files, and Hugging Face datasets.

All are read lazily, with one document in memory at a time. `kgrl.corpus.cut` cuts a document into passages.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from kgrl.corpus import cut
from kgrl.errors import DataError, KgrlError, MissingDataError

__all__ = ["PassageSource", "passage_sources"]

_HUB = "hf:"
_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", ".parquet")
_CHUNK = 1 << 20
_LONGEST_LINE = 64 << 20
"""Bytes of the longest line; a longer one is not a document, and would fill the memory."""
_PACKED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True)
class PassageSource:
    """A file of documents, or a Hugging Face dataset.

    Args:
        place: The file, or `hf:NAME` or `hf:NAME:SPLIT`; a folder that `datasets` saved is `hf:FOLDER`.
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
        # By ending, not by content: a wrong ending is an error of the reader, which names the file.
        if self.place.startswith(_HUB):
            yield from self._from_hub()
        elif self.place.endswith(".parquet"):
            yield from self._from_parquet(Path(self.place))
        else:
            yield from self._from_lines(Path(self.place))

    def _from_lines(self, path: Path) -> Iterator[str]:
        number = 0
        try:
            with _opened(path) as file:
                while line := file.readline(_LONGEST_LINE):
                    number += 1  # counted outside of `enumerate`, since the error of a cut-off file names it
                    if len(line) == _LONGEST_LINE:
                        raise DataError(path, number, f"a line of more than {_LONGEST_LINE >> 20} MiB")
                    if line.strip():
                        yield from self._text(path, number, line)
        except _PACKED as error:
            if self.on_error == "fail":
                raise DataError(
                    path,
                    number,
                    f"the archive is damaged or cut off behind this line ({error}); fetch it again, or leave the rest "
                    "out with --on-error skip",
                ) from error

    def _text(self, path: Path, number: int, line: bytes) -> Iterator[str]:
        try:
            record = json.loads(line)
            text = record[self.field]
            if not isinstance(text, str):
                raise TypeError("it is not text")
            text.encode()  # raises for half of a surrogate pair
        except (ValueError, KeyError, TypeError) as error:
            if self.on_error == "fail":
                reason = f"not a record with a {self.field!r} ({type(error).__name__}: {error})"
                raise DataError(path, number, f"{reason}; name another --field, or --on-error skip") from error
        else:
            yield text

    def _from_parquet(self, path: Path) -> Iterator[str]:
        try:
            with pq.ParquetFile(path) as file:
                if self.field not in file.schema_arrow.names:
                    columns = ", ".join(file.schema_arrow.names)
                    raise DataError(path, None, f"no column {self.field!r}; it has {columns}; name one with --field")
                # Other columns, such as vectors, may be large and are not read.
                for batch in file.iter_batches(batch_size=1024, columns=[self.field]):
                    yield from (text for text in batch.column(0).to_pylist() if text)
        except (pa.ArrowInvalid, pa.ArrowIOError) as error:
            raise DataError(path, None, f"not a whole Parquet file ({error}); fetch it again") from error

    def _from_hub(self) -> Iterator[str]:
        try:
            import datasets
        except ImportError as error:
            raise MissingDataError("Hugging Face datasets need a package: pip install 'kgrl[datasets]'") from error
        name, _, split = self.place.removeprefix(_HUB).partition(":")
        saved = any((Path(name) / file).is_file() for file in ("dataset_info.json", "dataset_dict.json"))
        try:
            found = (
                datasets.load_from_disk(name)
                if saved
                else datasets.load_dataset(name, split=split or "train", streaming=True)
            )
        except (OSError, ValueError) as error:
            raise KgrlError(f"the dataset {name!r} cannot be read: {error}") from error
        # A folder may hold one split or several.
        rows = found[split or "train"] if isinstance(found, datasets.DatasetDict) else found
        for number, row in enumerate(rows):
            if self.field not in row:
                raise KgrlError(f"row {number} of {name!r} has no {self.field!r}, only {', '.join(row)}; see --field")
            yield str(row[self.field])


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
        if place.startswith(_HUB) or (path.is_file() and place.endswith(_ENDINGS)):
            found.append(place)
        elif path.is_dir():
            # Sorted, so that passages have the same numbers on every file system.
            shards = sorted(str(file) for file in path.rglob("*") if file.name.endswith(_ENDINGS))
            if not shards:
                raise MissingDataError(f"{place} holds no file that ends with one of {', '.join(_ENDINGS)}")
            found += shards
        else:
            raise MissingDataError(
                f"{place} is not a folder, a dataset (hf:NAME) or a file that ends with one of {', '.join(_ENDINGS)}"
            )
    return [PassageSource(place, field, on_error) for place in found]


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": _Zst}
    with openers.get(path.suffix, io.FileIO)(path) as raw, io.BufferedReader(raw, _CHUNK) as file:
        yield file


class _Zst(io.RawIOBase):
    """Reader of a zstandard file that raises if the file is cut off, unlike the library's own reader."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: Any = None
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
        if not chunk and self._frame is not None:
            raise EOFError("the last frame is not whole")
        return chunk

    def _decompressed(self, chunk: bytes) -> bytes:
        """Decompress a chunk, which may hold the end of a frame and the beginning of the next."""
        parts = []
        while chunk:
            # Concatenated files have several frames; each needs its own decompressor.
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            parts.append(self._frame.decompress(chunk))
            chunk = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
