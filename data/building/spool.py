"""Documents on disk while a corpus is built: in memory are only the places where each begins."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import msgspec

from kgrl.data.building.document import Document

__all__ = ["Spool", "SpooledTexts", "TextFile"]


class Spool:
    """Documents in a file, which are added once and read as often as needed.

    Args:
        path: The file; it is made.

    Example:
        >>> import tempfile
        >>> spool = Spool(Path(tempfile.mkdtemp()) / "documents")
        >>> spool.add(Document("a.txt", "Logic"))
        >>> spool[0].title, len(spool)
        ('Logic', 1)
        >>> spool.close()
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._starts = array.array("q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> Document:
        self._file.seek(self._starts[number])
        return _DECODER.decode(self._file.read(self._starts[number + 1] - self._starts[number]))

    def add(self, document: Document) -> None:
        """Write a document behind those that are there."""
        self._file.seek(self._starts[-1])
        self._starts.append(self._starts[-1] + self._file.write(_ENCODER.encode(document)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TextFile:
    """Texts in a file, which are added once and read in any order, with eight bytes of each in memory.

    Args:
        path: The file; it is made.

    Example:
        >>> import tempfile
        >>> texts = TextFile(Path(tempfile.mkdtemp()) / "texts")
        >>> texts.add("Logic")
        >>> texts[0], len(texts), texts.size
        ('Logic', 1, 5)
        >>> texts.close()
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._starts = array.array("q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        self._file.seek(self._starts[number])
        return self._file.read(self._starts[number + 1] - self._starts[number]).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return self._starts[-1]

    def add(self, text: str) -> None:
        """Write a text behind those that are there."""
        self._file.seek(self._starts[-1])
        self._starts.append(self._starts[-1] + self._file.write(text.encode("utf-8", "surrogatepass")))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Document)


class SpooledTexts(Sequence[str]):
    """Texts that are read when they are asked for.

    Args:
        count: Number of texts.
        read: Returns the text of a number.
    """

    def __init__(self, count: int, read: Callable[[int], str]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self._read(number) for number in range(*at.indices(self._count))]
        return self._read(range(self._count)[at])

    def __iter__(self) -> Iterator[str]:
        return map(self._read, range(self._count))
