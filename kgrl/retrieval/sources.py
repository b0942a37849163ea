"""Where passages come from: JSON Lines (packed or not), Parquet, folders of shards of these, and Hugging Face datasets.

Everything is read as it is asked for; nothing is held but a document. A document becomes passages by `kgrl.corpus.cut`.
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
"""Bytes of a line; longer ones are no documents, and would fill the memory."""
_PACKED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


@dataclass(frozen=True)
class PassageSource:
    """A file of documents, or a Hugging Face dataset.

    Args:
        place: The file, or `hf:NAME` or `hf:NAME:SPLIT`; a folder that `datasets` saved is `hf:FOLDER`.
        field: The name of the text in a record.
        on_error: `"fail"`, or `"skip"` records that cannot be used, and the rest of a file that is cut off.

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
        """What messages call it."""
        return self.place

    def passages(self) -> Iterator[str]:
        """Yield passages in order.

        Raises:
            DataError: If a record cannot be used; the message says where.
            MissingDataError: If the package `datasets` is needed and missing.
        """
        for document in self.documents():
            yield from cut(document)

    def documents(self) -> Iterator[str]:
        """Yield documents in order; raises as `passages` does."""
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
                    number += 1
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
                raise TypeError("it is no text")
            text.encode()  # half of a surrogate pair is no text
        except (ValueError, KeyError, TypeError) as error:
            if self.on_error == "fail":
                reason = f"no record with a {self.field!r} ({type(error).__name__}: {error})"
                raise DataError(path, number, f"{reason}; name another --field, or --on-error skip") from error
        else:
            yield text

    def _from_parquet(self, path: Path) -> Iterator[str]:
        try:
            with pq.ParquetFile(path) as file:
                if self.field not in file.schema_arrow.names:
                    columns = ", ".join(file.schema_arrow.names)
                    raise DataError(path, None, f"no column {self.field!r}; it has {columns}; name one with --field")
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
        try:
            found = (
                datasets.load_from_disk(name)
                if _saved(Path(name))
                else datasets.load_dataset(name, split=split or "train", streaming=True)
            )
        except (OSError, ValueError) as error:
            raise KgrlError(f"the dataset {name!r} cannot be read: {error}") from error
        rows = found[split or "train"] if isinstance(found, datasets.DatasetDict) else found
        for number, row in enumerate(rows):
            if self.field not in row:
                raise KgrlError(f"row {number} of {name!r} has no {self.field!r}, only {', '.join(row)}; see --field")
            yield str(row[self.field])


def passage_sources(
    places: Sequence[str], field: str = "text", on_error: Literal["fail", "skip"] = "fail"
) -> list[PassageSource]:
    """Return the sources that files, folders and datasets stand for; those of a folder by name.

    Args:
        places: Files, folders of `.jsonl`, `.jsonl.gz`, `.jsonl.zst` and `.parquet`, or `hf:NAME[:SPLIT]`.
        field: The name of the text in a record.
        on_error: What to do about records that cannot be used.

    Raises:
        MissingDataError: If there is no such file, or nothing of that kind in a folder.
    """
    found: list[str] = []
    for place in places:
        path = Path(place)
        if place.startswith(_HUB) or (path.is_file() and place.endswith(_ENDINGS)):
            found.append(place)
        elif path.is_dir():
            shards = sorted(str(file) for file in path.rglob("*") if file.name.endswith(_ENDINGS))
            if not shards:
                raise MissingDataError(f"{place} holds no file that ends with one of {', '.join(_ENDINGS)}")
            found += shards
        else:
            raise MissingDataError(f"{place} is no folder, no dataset (hf:NAME) and no file of {', '.join(_ENDINGS)}")
    return [PassageSource(place, field, on_error) for place in found]


def _saved(folder: Path) -> bool:
    """Whether a folder is what `datasets` saved."""
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": _open_zst}
    with openers.get(path.suffix, io.FileIO)(path) as raw, io.BufferedReader(raw, _CHUNK) as file:
        yield file


def _open_zst(path: Path) -> io.RawIOBase:
    return _Zst(path)


class _Zst(io.RawIOBase):
    """A zstandard file that says where it ends too early, which the library's own reader does not."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and (chunk := self._next_chunk()):
            self._ready = self._decompressed(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _next_chunk(self) -> bytes:
        chunk = self._file.read(_CHUNK // 16)
        if not chunk and self._frame is not None:
            raise EOFError("the last frame is not whole")
        return chunk

    def _decompressed(self, chunk: bytes) -> bytes:
        parts = []
        while chunk:
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            parts.append(self._frame.decompress(chunk))
            chunk = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()
        super().close()
