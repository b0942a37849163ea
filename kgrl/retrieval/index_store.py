"""Indexes on disk: FAISS's file, ids, vectors, and a description that reveals damage and another encoder."""

from __future__ import annotations

import shutil
import tokenize
from pathlib import Path
from typing import Any, Literal, NamedTuple

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.system.files import new_folder, write_json, write_npy

__all__ = ["StoredIndex", "open_array", "open_index", "save_index"]

_VERSION = 1
_META, _INDEX, _IDS, _VECTORS = "meta.json", "index.faiss", "ids.npy", "vectors.npy"
_WAY_OUT = "build it again with `kgrl research index ... --rebuild`"


class _Version(msgspec.Struct):
    """The entry of `meta.json` that tells which versions of kgrl can read it."""

    version: int


class _About(msgspec.Struct, forbid_unknown_fields=True):
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
    ids: IntArray = open_array(folder / _IDS, np.int32, (index.ntotal,))
    if len(ids) and ids.min() < 0:
        raise DataError(folder / _IDS, None, f"an id is {ids.min()}; {_WAY_OUT}")
    ranked = about.kind == "ivfpq"
    vectors = open_array(folder / _VECTORS, np.float16, (index.ntotal, index.d)) if ranked else None
    return StoredIndex(about.kind, about.encoder, index, ids, vectors)


def open_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array of a file into memory.

    Args:
        path: The file, as `kgrl.system.files.write_npy` writes it.
        dtype: The type that its values must have.
        shape: The shape that it must have; -1 for any number.

    Raises:
        DataError: If the file is missing or damaged, or holds another array.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise DataError(path, None, f"this is no whole array ({error}); {_WAY_OUT}") from error
    fits = array.ndim == len(shape) and all(want in (-1, have) for have, want in zip(array.shape, shape, strict=True))
    if array.dtype != dtype or not fits:
        found = f"an array of {array.dtype} and shape {array.shape}"
        raise DataError(path, None, f"{found}, not of {np.dtype(dtype)} and shape {shape}; {_WAY_OUT}")
    return array


def _described(folder: Path) -> _About:
    """Return the description of an index, after a check of the sizes of its files."""
    path = folder / _META
    if not path.is_file():
        raise MissingDataError(f"{folder} holds no index: {_META} is missing; {_WAY_OUT}")
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).version
        if version != _VERSION:
            raise DataError(path, None, f"version {version} of an index, and this kgrl reads {_VERSION}; {_WAY_OUT}")
        about = msgspec.json.decode(content, type=_About)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(path, None, f"not the description of an index ({error}); {_WAY_OUT}") from error
    for name, size in about.files.items():
        file = folder / Path(name).name  # the name alone, whatever path a manipulated description holds
        there = file.stat().st_size if file.is_file() else None
        if there != size:
            state = "is missing" if there is None else f"has {there} bytes instead of {size}"
            raise DataError(file, None, f"{state}; {_WAY_OUT}")
    return about
