"""Documents of a source, one at a time: folders and files of text, records of JSON Lines and Parquet, and datasets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgrl.data.building.decoding import BINARY, decode_text
from kgrl.data.building.document import Document
from kgrl.data.building.html_pages import read_html
from kgrl.data.building.markup_files import read_markdown, read_plain, read_rst
from kgrl.data.reading import Problems
from kgrl.errors import DataError, MissingDataError
from kgrl.retrieval.sources import HUB, RECORD_ENDINGS, PassageSource, is_saved_dataset
from kgrl.system.prose import clean_line

__all__ = ["TEXT_ENDINGS", "Readings", "documents_of"]

TEXT_ENDINGS: dict[str, Callable[[str, str], Document]] = {
    **dict.fromkeys((".txt", ".text"), read_plain),
    **dict.fromkeys((".md", ".markdown"), read_markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), read_html),
    ".rst": read_rst,
}
"""The reader of text files by the ending of their names."""
_PLAIN = {".txt", ".text"}
_TWIN = "plain text beside a page of the same name"
_LARGEST = 64 << 20
"""Bytes of the largest text file; a larger one is no document."""
_NAMELESS = {"index", "readme"}
"""Names of files that stand for their folder."""
_ABOUT = ("meta", "metadata")
_FIELDS = {"title": ("title",), "category": ("category", "pile_set_name"), "key": ("url",)}
"""Fields of a record, or of its `meta`, that tell more than the text."""
_MOST_LISTED = 10


@dataclass
class Readings:
    """Counts of what was read from a source, and of what was not.

    Args:
        files: Files that were read, by ending.
        passed_over: Files of a folder that kgrl does not read, by ending.
        encodings: Text files by encoding.
        not_utf8: The first few files of each encoding other than UTF-8.
        left_out: Elements of pages without prose, by kind.
    """

    files: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    not_utf8: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def note_encoding(self, encoding: str, name: str) -> None:
        """Count a text file."""
        self.encodings[encoding] += 1
        named = [] if encoding == "utf-8" else self.not_utf8.setdefault(encoding, [])
        if len(named) < _MOST_LISTED:
            named.append(name)


def documents_of(source: str, text_field: str, problems: Problems, readings: Readings) -> Iterator[Document]:
    """Yield the documents of a source in the order of file names, lines and rows; one is in memory at a time.

    Args:
        source: A folder, a file, or a dataset as `hf:NAME[:SPLIT[:CONFIGURATION]]`.
        text_field: The name of the text in a record.
        problems: Gets the files that cannot be read.
        readings: Gets the counts.

    Raises:
        MissingDataError: If the source does not exist, or holds no file that can be read.
        DataError: If a file or record cannot be used, and such are not skipped.
    """
    path = Path(source)
    if source.startswith(HUB) or (path.is_dir() and is_saved_dataset(path)):
        name = source if source.startswith(HUB) else f"{HUB}{source}"
        readings.files["dataset"] += 1
        yield from _records(PassageSource(name, text_field, problems.on_error))
        return
    if not path.exists():
        raise MissingDataError(f"{source} does not exist: a source is a folder, a file, or a dataset as {HUB}NAME")
    root = path if path.is_dir() else path.parent
    files = list(_files(path, readings))
    if not files:
        raise MissingDataError(_nothing_to_read(source, readings))
    for file in files:
        readings.files[_ending(file)] += 1
        if file.name.endswith(RECORD_ENDINGS):
            try:
                yield from _records(PassageSource(str(file), text_field, problems.on_error))
            except DataError as error:  # for one that is skipped, the records before the error count
                problems.report(file, error.line, "file of records that cannot be read", error.reason)
        elif document := _text_document(file, root, problems, readings):
            readings.left_out.update(document.left_out)
            yield document


def _files(path: Path, readings: Readings) -> Iterator[Path]:
    """Yield the files that can be read, and count the others; hidden ones and links to folders do not count.

    A plain text beside a page of the same name is the page's source or a copy of it.
    """
    walked = os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]
    for folder, folders, names in walked:
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pages = {Path(name).stem for name in names if _ending(Path(name)) in TEXT_ENDINGS.keys() - _PLAIN}
        for name in sorted(name for name in names if path.is_file() or not name.startswith(".")):
            file = Path(folder) / name
            if _ending(file) in _PLAIN and file.stem in pages:
                readings.passed_over[_TWIN] += 1
            elif file.is_file() and (_ending(file) in TEXT_ENDINGS or name.endswith(RECORD_ENDINGS)):
                yield file
            else:
                readings.passed_over[_ending(file) or "no ending"] += 1


def _ending(file: Path) -> str:
    packed = next((ending for ending in RECORD_ENDINGS if file.name.endswith(ending)), None)
    return packed or file.suffix.lower()


def _nothing_to_read(source: str, readings: Readings) -> str:
    there = ", ".join(f"{n:,} {ending}" for ending, n in readings.passed_over.most_common(_MOST_LISTED))
    read = ", ".join([*TEXT_ENDINGS, *RECORD_ENDINGS])
    return f"{source} holds no file that can be read ({there or 'it is empty'}); read are files that end with {read}"


def _text_document(file: Path, root: Path, problems: Problems, readings: Readings) -> Document | None:
    """Return the document of a text file; None if it cannot be read, and such are skipped."""
    key = file.relative_to(root).as_posix()
    if file.stat().st_size > _LARGEST:
        problems.report(file, None, "file that is too large", f"larger than {_LARGEST >> 20} MiB: split it")
        return None
    try:
        text, encoding = decode_text(file.read_bytes())
    except ValueError as error:
        binary = str(error) == BINARY
        why = f"{error}{', not text' if binary else ''}; convert it to UTF-8, or leave it out with --on-error skip"
        problems.report(file, None, BINARY if binary else "file in no known encoding", why)
        return None
    readings.note_encoding(encoding, key)
    document = TEXT_ENDINGS[_ending(file)](text, key)
    named = file.parent.name if file.stem.lower() in _NAMELESS and file.parent != root else file.stem
    document.stem = clean_line(named.replace("_", " "))
    return document


def _records(source: PassageSource) -> Iterator[Document]:
    """Yield the documents of records; title, category and URL may be in the record or in its `meta`."""
    also = [*_ABOUT, *(name for names in _FIELDS.values() for name in names)]
    for number, record in source.records(also):
        told = {kind: _told(record, names) for kind, names in _FIELDS.items()}
        document = read_plain(record[source.field], told["key"] or f"{source.place}#{number}")
        document.title, document.category = told["title"], told["category"]
        yield document


def _told(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first text that a record, or what it holds about itself, has under one of some names."""
    for place in (record, *(record.get(name) for name in _ABOUT)):
        if isinstance(place, Mapping):
            found = (place.get(name) for name in names)
            if line := next((clean_line(value) for value in found if isinstance(value, str) and value.strip()), ""):
                return line
    return ""
