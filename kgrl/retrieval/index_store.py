"""Indexes on disk: FAISS's file, ids, vectors, and a description that reveals damage and another encoder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.system.arrays import read_array
from kgrl.system.files import new_folder, write_json, write_npy
from kgrl.system.schemas import read_json

__all__ = ["StoredIndex", "open_index", "save_index"]

_VERSION = 1
_META, _INDEX, _IDS, _VECTORS = "meta.json", "index.faiss", "ids.npy", "vectors.npy"
_WAY_OUT = "build it again with `kgrl research index ... --rebuild`"


class _About(Struct, forbid_unknown_fields=True):
    """The content of `meta.json`."""

    version: int
    kind: Literal["flat", "hnsw", "ivfpq"]
    encoder: str
    files: dict[str, int]
    rows: int
    dimensions: int


class StoredIndex(NamedTuple):
    """The parts of an index that are saved.

    Args:
        kind: The kind of index.
        encoder: Fingerprint of the encoder that made its vectors; `""` if unknown.
        index: FAISS's index.
        ids: The passage id of each row.
        vectors: Vectors to rank candidates by, None if the index does that itself.
    """

    kind: str
    encoder: str
    index: Any
    ids: IntArray
    vectors: NDArray[np.float16] | None


def save_index(folder: Path, stored: StoredIndex) -> None:
    """Write an index to a folder, whole or not at all; an index in it is replaced.

    Raises:
        FileExistsError: If the folder holds something else.
    """
    import faiss  # here and below, as in `kgrl.retrieval.faiss_retriever`

    # Written beside the folder and then renamed. What an interrupted save left there is deleted.
    staged = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    with new_folder(staged) as temporary:
        faiss.write_index(stored.index, str(temporary / _INDEX))
        write_npy(temporary / _IDS, stored.ids)
        if stored.vectors is not None:
            write_npy(temporary / _VECTORS, stored.vectors)
        # Sizes reveal files that are cut off; digests would mean reading gigabytes at each opening.
        sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
        about = {"version": _VERSION, "kind": stored.kind, "encoder": stored.encoder, "files": sizes}
        write_json(temporary / _META, {**about, "rows": len(stored.ids), "dimensions": stored.index.d})
    _replace(staged, folder)


def _replace(staged: Path, folder: Path) -> None:
    """Rename a folder to another one's name; the other one is deleted."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _META).is_file():
            raise FileExistsError(f"{folder} holds something that is not an index")
        # Two renames: a folder cannot be renamed to one that is not empty. Between them there is no index for a moment.
        folder.rename(old)
    staged.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def open_index(folder: Path, encoder: str | None) -> StoredIndex:
    """Open an index; its lists are read, its vectors are mapped into memory.

    Raises:
        MissingDataError: If the folder holds no index.
        DataError: If a file is missing, cut off or of another version.
        SettingError: If it was built by another encoder.
    """
    import faiss

    about = _described(folder)
    if encoder is not None and about.encoder not in ("", encoder):
        raise SettingError(
            f"{folder} was built with the encoder {about.encoder}, and queries are made with {encoder}: use the "
            f"same model, or {_WAY_OUT}"
        )
    try:
        # Maps the codes of flat and HNSW indexes into memory instead of reading them.
        index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise DataError(folder, None, f"the index cannot be read ({error}); {_WAY_OUT}") from error
    if (index.ntotal, index.d) != (about.rows, about.dimensions):
        found = f"{index.ntotal} vectors of {index.d} entries, and {_META} says {about.rows} of {about.dimensions}"
        raise DataError(folder / _INDEX, None, f"{found}; {_WAY_OUT}")
    ids: IntArray = read_array(folder / _IDS, np.int32, index.ntotal, way_out=_WAY_OUT)
    if len(ids) and ids.min() < 0:
        raise DataError(folder / _IDS, None, f"an id is {ids.min()}; {_WAY_OUT}")
    ranked = about.kind == "ivfpq"
    vectors = read_array(folder / _VECTORS, np.float16, index.ntotal, index.d, way_out=_WAY_OUT) if ranked else None
    return StoredIndex(about.kind, about.encoder, index, ids, vectors)


def _described(folder: Path) -> _About:
    """Return the description of an index, after a check of the sizes of its files."""
    path = folder / _META
    if not path.is_file():
        raise MissingDataError(f"{folder} holds no index: {_META} is missing; {_WAY_OUT}")
    told = read_json(path, dict[str, Any], _WAY_OUT)
    if (version := told.get("version")) != _VERSION:
        raise DataError(path, None, f"version {version!r} of an index, and this kgrl reads {_VERSION}; {_WAY_OUT}")
    about = read_json(path, _About, _WAY_OUT)
    for name, size in about.files.items():
        file = folder / Path(name).name  # the name alone, whatever path a manipulated description holds
        there = file.stat().st_size if file.is_file() else None
        if there != size:
            state = "is missing" if there is None else f"has {there} bytes instead of {size}"
            raise DataError(file, None, f"{state}; {_WAY_OUT}")
    return about
