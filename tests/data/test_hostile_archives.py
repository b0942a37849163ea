"""Archives that claim sizes they do not have, or that are damaged: an error that names them, in bounded memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgrl.data.wikispeedia import archives
from kgrl.data.wikispeedia.archives import members
from kgrl.data.wikispeedia.traces import WikispeediaTraces
from kgrl.errors import DataError

GIBIBYTE = 1 << 30


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    tracemalloc.start()
    began = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert time.monotonic() - began < 5


def _header(name: str = "a.txt", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _block(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 512)


def _with_checksum(header: bytes, at: int, field: bytes) -> bytes:
    changed = header[:at] + field + header[at + len(field) :]
    total = sum(changed[:148]) + 8 * 32 + sum(changed[156:512])
    return changed[:148] + b"%06o\0 " % total + changed[156:]


PAX_SPARSE = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
HOSTILE = {
    "long-pax-header": _header(size=3 * GIBIBYTE, kind=tarfile.XHDTYPE) + b" " * (8 << 20),
    "long-global-header": _header(size=3 * GIBIBYTE, kind=tarfile.XGLTYPE) + b" " * (8 << 20),
    "long-name": _header(size=3 * GIBIBYTE, kind=tarfile.GNUTYPE_LONGNAME) + b"a" * (8 << 20),
    "long-link": _header(size=3 * GIBIBYTE, kind=tarfile.GNUTYPE_LONGLINK) + b"a" * (8 << 20),
    "headers-of-headers": (_header(size=5, kind=tarfile.GNUTYPE_LONGNAME) + _block(b"name\0")) * 2_000 + _header(),
    "large-file": _header(size=GIBIBYTE) + b" " * (8 << 20),
    "large-folder": _header(size=GIBIBYTE, kind=tarfile.DIRTYPE),
    "negative": _with_checksum(_header(), 124, b"\xff" * 11 + b"\x00"),
    "sparse-without-end": _header(size=len(PAX_SPARSE), kind=tarfile.XHDTYPE)
    + _block(PAX_SPARSE)
    + _header(size=512)
    + b"9" * 512,
    "damaged-header": _header() + b"\x07" * 512 + _header("b.txt"),
    "cut-file": _header(size=5_000) + b"x" * 1_000,
    "twice": _header() + _header() + b"\0" * 1024,
    "no-archive": b"nothing of the kind" * 100,
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_archive_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "texts.tar.gz"
    path.write_bytes(gzip.compress(HOSTILE[name], compresslevel=1))
    with pytest.raises(DataError, match=r"texts\.tar\.gz: "):
        for _ in members(path):
            pass


@pytest.mark.parametrize("packed", [b"", b"\x1f\x8b", b"plain", gzip.compress(_header() * 40)[:-9]])
def test_what_is_not_whole_is_named(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "texts.tar.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"texts\.tar\.gz: "):
        list(members(path))


def test_more_files_or_bytes_than_an_archive_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "texts.tar.gz"
    path.write_bytes(gzip.compress(b"".join(_header(f"{n}.txt", 512) + b"x" * 512 for n in range(30)) + b"\0" * 1024))
    assert len(list(members(path))) == 30
    with monkeypatch.context() as patched:
        patched.setattr(archives, "_MOST_MEMBERS", 20)
        with pytest.raises(DataError, match="more than 20 files"):
            list(members(path))
    monkeypatch.setattr(archives, "_LARGEST_CONTENT", 20_000)
    with pytest.raises(DataError, match="more than 20,000 bytes"):
        list(members(path))


def test_names_that_are_not_utf_8_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "texts.tar.gz"
    path.write_bytes(gzip.compress(_with_checksum(_header(), 0, b"\xff\xfe") + b"\0" * 1024))
    assert [name for name, _ in members(path)] == ["\udcff\udcfexxx"[:2] + "txt"]


@pytest.mark.parametrize(
    ("articles", "message"),
    [
        ("A%FF\n", r"articles\.tsv:1: the name 'A%FF' stands for bytes that are not UTF-8"),
        ("A_b\nA%20b\n", r"articles\.tsv:2: the article 'A%20b' is there already"),
        ("A\nA\n", r"articles\.tsv:2: the article 'A' is there already"),
    ],
)
def test_names_of_recorded_games_are_checked(tmp_path: Path, articles: str, message: str) -> None:
    for name, text in {"articles": articles, "categories": "", "links": ""}.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        WikispeediaTraces(tmp_path)


def test_tables_are_read_from_an_archive_by_their_whole_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "wikispeedia_paths-and-graph.tar.gz", "w:gz") as tar:
        for name, text in {"articles": "A\nB\n", "categories": "", "links": "A\tB\n"}.items():
            for folder, content in (("other", b"no\xff"), ("wikispeedia_paths-and-graph", text.encode())):
                info = tarfile.TarInfo(f"{folder}/{name}.tsv")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    assert WikispeediaTraces(tmp_path).graph.titles == ("A", "B")
