"""Build of an index of passages of any source. Passages are embedded chunk by chunk, and no chunk twice.

DIR/chunks/000000-KEY.npy    unit vectors of some passages; the key stands for texts and encoder
DIR/index/                   the index, as `FaissRetriever.save` writes it
DIR/texts.bin, texts.npy     the passages, and the position at which each begins
DIR/manifest.json            source, encoder and number of passages; written last
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.faiss_retriever import FaissRetriever, IndexKind
from kgrl.retrieval.sources import PassageSource
from kgrl.system.arrays import read_array
from kgrl.system.files import content_key, replacing, write_json, write_npy
from kgrl.system.schemas import read_json

__all__ = ["StoredTexts", "build_index"]

_CHUNK = 2048
"""Passages embedded between two writes, the most that an interruption loses."""
_log = logging.getLogger(__name__)

_UNIT = 1e-3
"""Largest difference of a vector's length from 1."""
_MANIFEST, _CHUNKS, _INDEX, _TEXTS, _ENDS = "manifest.json", "chunks", "index", "texts.bin", "texts.npy"


_WAY_OUT = "build it again with `kgrl research index ... --rebuild`"


def build_index(
    source: PassageSource,
    folder: Path,
    encoder: Encoder,
    kind: IndexKind | None = None,
    *,
    rebuild: bool = False,
    on_chunk: Callable[[int], None] = lambda passages: None,
) -> int:
    """Embed a source's passages and index them. Passages are numbered in the source's order.

    An interrupted build continues where it stopped, and a build of a source that has grown embeds the new passages.

    Args:
        source: The passages.
        folder: The folder of the index.
        encoder: Embeds them.
        kind: The index; by default the one that suits their number.
        rebuild: Delete the folder and start over.
        on_chunk: Called with the number of passages embedded so far.

    Returns:
        The number of passages.

    Raises:
        DataError: If a record of the source cannot be used.
        KgrlError: If the source has no passages.
    """
    if rebuild:
        shutil.rmtree(folder, ignore_errors=True)
    chunks: list[Path] = []
    ends = [0]
    with replacing(folder / _TEXTS) as temporary, temporary.open("wb") as file:
        for texts in _batches(source.passages(), _CHUNK):
            chunks.append(_embedded(texts, folder / _CHUNKS, len(chunks), encoder))
            for text in texts:
                file.write(text.encode())
                ends.append(file.tell())
            on_chunk(len(ends) - 1)
        # From here on, texts and index are of two builds until the manifest is written again.
        (folder / _MANIFEST).unlink(missing_ok=True)
    if not chunks:
        raise KgrlError(f"{source.name} has no passages")
    write_npy(folder / _ENDS, np.array(ends, dtype=np.int64))
    vectors = np.concatenate([np.load(chunk, allow_pickle=False) for chunk in chunks])
    FaissRetriever(np.arange(len(vectors)), vectors, kind).save(folder / _INDEX, encoder.fingerprint)
    # Chunks of an earlier version of the source, or of another encoder.
    for stale in set((folder / _CHUNKS).iterdir()) - set(chunks):
        stale.unlink()
    write_json(folder / _MANIFEST, {"source": source.place, "passages": len(vectors), "encoder": encoder.fingerprint})
    return len(vectors)


def _batches(passages: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(itertools.islice(passages, size)):
        yield batch


def _embedded(texts: list[str], folder: Path, number: int, encoder: Encoder) -> Path:
    """Return the file with the vectors of some passages; write it if it is missing."""
    # The key makes sure that a file holds the vectors of these texts by this encoder.
    path = folder / f"{number:06d}-{content_key(encoder.fingerprint, *texts)}.npy"
    if not _is_whole(path, len(texts), encoder):
        write_npy(path, encoder.encode(texts))
    return path


def _is_whole(path: Path, rows: int, encoder: Encoder) -> bool:
    """Return whether a file holds unit vectors of so many texts; a damaged one is made again."""
    if not path.exists():
        return False
    try:
        vectors = read_array(path, np.float32, rows, encoder.dimensions)
    except DataError as error:
        _log.warning("%s; its texts are embedded again", error)
        return False
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _UNIT).all())


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """The file about a build."""

    source: str
    passages: Annotated[int, msgspec.Meta(ge=0)]
    encoder: str


class StoredTexts:
    """The passages of an index, mapped into memory.

    Args:
        folder: The folder that `build_index` wrote.

    Raises:
        MissingDataError: If the build was not finished.
        DataError: If the texts are damaged.

    Attributes:
        encoder: Fingerprint of the encoder that the passages were embedded with.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / _MANIFEST
        if not path.is_file():
            raise MissingDataError(
                f"{folder} holds no finished index: start `kgrl research index` again, it continues where it stopped"
            )
        told = read_json(path, _Manifest, _WAY_OUT)
        self.encoder = told.encoder
        self._ends: NDArray[np.int64] = read_array(folder / _ENDS, np.int64, told.passages + 1, way_out=_WAY_OUT)
        texts = folder / _TEXTS
        size = texts.stat().st_size if texts.is_file() else -1
        if self._ends[0] != 0 or self._ends[-1] != size or (np.diff(self._ends) < 0).any():
            raise DataError(texts, None, f"the file does not fit {_ENDS}: it is damaged; build the index again")
        self._bytes = b"" if size == 0 else np.memmap(texts, dtype=np.uint8, mode="r")  # no empty file can be mapped

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __repr__(self) -> str:
        return f"StoredTexts({len(self):,} passages)"

    def __getitem__(self, passage: int) -> str:
        return bytes(self._bytes[self._ends[passage] : self._ends[passage + 1]]).decode()
