"""Storage of a topic graph in a folder: memory-mapped arrays, and strings that are decoded on access.

A folder holds `graph.json` and NumPy files, without pickle. Titles are stored as their UTF-8 bytes end to end, with the
place where each begins; sorted hashes of all titles find one of them. The module knows arrays and strings, not the
graph.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kgrl.errors import DataError, MissingDataError
from kgrl.system.arrays import mapped_array
from kgrl.system.files import file_digest, new_folder, write_json
from kgrl.system.schemas import checked, read_json

__all__ = [
    "StoredCategories",
    "StoredStrings",
    "StoredTitles",
    "pack_strings",
    "pack_titles",
    "read_arrays",
    "write_arrays",
]

Arrays = Mapping[str, NDArray[Any]]

FORMAT = 1
"""Version of the folder's format."""
_ABOUT = "graph.json"
_WAY_OUT = "save the graph anew"
_AT_ONCE = 65_536
"""Strings that are decoded at a time when all are read."""
_MOST_ALIKE = 20_000
"""Most titles that are compared with one that was not found; all of Wikipedia's would take minutes."""


def write_arrays(folder: Path, arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write arrays and `graph.json`, which holds a SHA-256 of each file; either all of it or nothing is written.

    Args:
        folder: The folder; must not exist or be empty.
        arrays: Arrays by name.
        about: Further entries of `graph.json`.

    Raises:
        FileExistsError: If the folder is not empty.
    """
    with new_folder(folder) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        digests = {name: file_digest(temporary / f"{name}.npy") for name in arrays}
        write_json(temporary / _ABOUT, {"format": FORMAT, **about, "sha256": digests})


def read_arrays(folder: Path, *, verify: bool = True) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Map a folder's arrays into memory, read-only, and return them with the entries of `graph.json`.

    Args:
        folder: A folder that `write_arrays` wrote.
        verify: Read all files once to compare their hashes.

    Raises:
        MissingDataError: If the folder holds no topic graph.
        DataError: If its format is not known, or a file is missing or was changed.
    """
    about = _about(folder)
    for name, digest in about["sha256"].items():
        path = folder / f"{name}.npy"
        if not path.is_file():
            raise DataError(path, None, "missing from the stored topic graph; save the graph anew")
        if verify and file_digest(path) != digest:
            raise DataError(path, None, f"not as it was written ({_ABOUT} has another SHA-256); save the graph anew")
    arrays = {}
    for name in about["sha256"]:
        path = folder / f"{name}.npy"
        arrays[name] = mapped_array(path, way_out=_WAY_OUT)
    return arrays, about


class _About(Struct):
    """The part of `graph.json` that says how to read the arrays; the rest is the owner's."""

    format: int
    sha256: dict[str, str]


def _about(folder: Path) -> dict[str, Any]:
    """Return the entries of `graph.json`, checked."""
    path = folder / _ABOUT
    if not path.is_file():
        raise MissingDataError(f"no topic graph in {folder}: {_ABOUT} is missing; TopicGraph.save(folder) writes one")
    about = read_json(path, dict[str, Any], _WAY_OUT)
    if (found := about.get("format")) != FORMAT:
        raise DataError(path, None, f"is of format {found!r}, and this version of kgrl reads {FORMAT}; {_WAY_OUT}")
    # Identifiers only: a name with a path in it would open files outside of the folder.
    if any(not name.isidentifier() for name in checked(about, _About, path).sha256):
        raise DataError(path, None, "names files that are none of a stored topic graph")
    return about


def pack_strings(strings: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the UTF-8 bytes of strings end to end, and the place where each begins, plus the end of the last.

    Example:
        >>> [part.tolist() for part in pack_strings(["ab", "", "c"])]
        [[97, 98, 99], [0, 2, 2, 3]]
    """
    starts = np.zeros(len(strings) + 1, dtype=np.int64)
    packed = bytearray()
    for at, string in enumerate(strings, 1):
        packed += string.encode()
        starts[at] = len(packed)
    return np.frombuffer(packed, dtype=np.uint8), starts


def pack_titles(titles: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of `StoredTitles`, by name."""
    packed, starts = pack_strings(titles)
    hashes = np.fromiter((_hash(title) for title in titles), dtype=np.uint64, count=len(titles))
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    return {"titles": packed, "title_starts": starts, "title_hashes": hashes[order], "title_order": order}


def _hash(title: str) -> int:
    """A 64-bit hash that is the same in every process, as Python's own is not."""
    return int.from_bytes(hashlib.blake2b(title.encode(), digest_size=8).digest(), "little")


class _Strings(Sequence[str]):
    """A sequence of strings that equals a tuple or a list of the same strings, as the tuple that it stands for did."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | list | _Strings):
            return NotImplemented
        return self is other or (len(self) == len(other) and all(map(operator.eq, self, other)))

    __hash__ = None  # type: ignore[assignment] # as for a list: the hash of a tuple would take all strings


class StoredStrings(_Strings):
    """Strings kept as bytes and decoded on access.

    Args:
        packed: Their UTF-8 bytes end to end, uint8.
        starts: The place where each begins, and where the last ends, int64 `[strings + 1]`.

    Example:
        >>> strings = StoredStrings(*pack_strings(["Logic", "Set", "Zahlenkörper"]))
        >>> strings[-1], strings[:2], len(strings)
        ('Zahlenkörper', ('Logic', 'Set'), 3)
    """

    def __init__(self, packed: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self._packed, self._starts = packed, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(self[i] for i in range(*at.indices(len(self))))
        number = operator.index(at)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"string {at} of {len(self)}")
        return self._packed[self._starts[number] : self._starts[number + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _AT_ONCE):
            starts = self._starts[first : first + _AT_ONCE + 1].tolist()
            packed = self._packed[starts[0] : starts[-1]].tobytes()
            for start, end in itertools.pairwise(starts):
                yield packed[start - starts[0] : end - starts[0]].decode()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} strings)"

    def suggestions(self, text: str) -> list[str]:
        """Return strings to compare an unknown name with: all of them if they are 20,000 or fewer.

        Of more, up to 20,000 that begin with the first two bytes of `text`, ignoring the case of ASCII; the first
        twenty strings if there are none.
        """
        if len(self) <= _MOST_ALIKE:
            return list(self)
        wanted = np.frombuffer(text.casefold().encode()[:2].ljust(2, b"\0"), dtype=np.uint8)
        alike = np.diff(self._starts) >= len(wanted)
        for place, byte in enumerate(wanted):
            letters = self._packed[self._starts[:-1][alike] + place]
            capital = (letters >= ord("A")) & (letters <= ord("Z"))
            # In ASCII, bit 32 makes a capital lower case.
            alike[alike] = np.where(capital, letters | np.uint8(32), letters) == byte
        found = np.flatnonzero(alike)[:_MOST_ALIKE]
        return [self[i] for i in found] or list(self[:20])


class StoredTitles(StoredStrings):
    """Stored titles that can be found without decoding them all.

    Args:
        titles: UTF-8 bytes, see `StoredStrings`.
        title_starts: Places where titles begin, see `StoredStrings`.
        title_hashes: The titles' 64-bit hashes, ascending, uint64 `[titles]`.
        title_order: The number of the title that each hash belongs to, int32 `[titles]`.

    Example:
        >>> titles = StoredTitles(**pack_titles(["Logic", "Set"]))
        >>> titles.find("Set"), titles.find("Number")
        (1, None)
    """

    def __init__(
        self,
        titles: NDArray[np.uint8],
        title_starts: NDArray[np.int64],
        title_hashes: NDArray[np.uint64],
        title_order: NDArray[np.int32],
    ) -> None:
        super().__init__(titles, title_starts)
        self._hashes, self._order = title_hashes, title_order

    def find(self, title: str) -> int | None:
        """Return the number of a title, or None if it is not among them."""
        hash_ = np.uint64(_hash(title))
        at = int(np.searchsorted(self._hashes, hash_))
        while at < len(self) and self._hashes[at] == hash_:  # titles may share a hash
            if self[number := int(self._order[at])] == title:
                return number
            at += 1
        return None


class StoredCategories(_Strings):
    """The category names of topics, kept as numbers.

    Args:
        names: The different names.
        codes: The number of each topic's name, int32 `[topics]`.

    Example:
        >>> StoredCategories(["", "Science"], np.array([1, 0, 1]))[:2]
        ('Science', '')
    """

    def __init__(self, names: Sequence[str], codes: NDArray[np.int32]) -> None:
        self.names, self.codes = tuple(names), codes

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(self.names[code] for code in self.codes[at])
        return self.names[int(self.codes[at])]
