"""Passages of any source: read as they are asked for, and what cannot be used is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from kgrl.errors import DataError, KgrlError, MissingDataError
from kgrl.retrieval import PassageSource, passage_sources

DOCUMENTS = [
    f"Document {n} is the {n}th. It has three sentences. This one says {n * n}. 数学 is in it too." for n in range(300)
]


def _lines(field: str = "text") -> bytes:
    return "".join(json.dumps({field: text, "meta": {"n": n}}) + "\n" for n, text in enumerate(DOCUMENTS)).encode()


def write(folder: Path, ending: str) -> Path:
    path = folder / f"shard{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    if ending == ".parquet":
        pq.write_table(pa.table({"text": DOCUMENTS, "n": list(range(len(DOCUMENTS)))}), path)
    else:
        pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}[ending]
        path.write_bytes(pack(_lines()))
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_every_kind_of_file_gives_the_same(tmp_path: Path, ending: str) -> None:
    source = PassageSource(str(write(tmp_path, ending)))
    assert list(source.documents()) == DOCUMENTS
    assert " ".join(source.passages()) == " ".join(DOCUMENTS)


def test_several_frames_of_zstandard_are_one_file(tmp_path: Path) -> None:
    lines = _lines().splitlines(keepends=True)
    path = tmp_path / "shard.jsonl.zst"
    path.write_bytes(b"".join(zstandard.compress(b"".join(lines[k : k + 50])) for k in range(0, 300, 50)))
    assert list(PassageSource(str(path)).documents()) == DOCUMENTS


def test_a_dataset_is_read_in_streams(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": DOCUMENTS}).save_to_disk(tmp_path / "saved")
    assert list(PassageSource(f"hf:{tmp_path / 'saved'}").documents()) == DOCUMENTS
    write(tmp_path / "files", ".jsonl")
    assert list(PassageSource(f"hf:{tmp_path / 'files'}").documents()) == DOCUMENTS
    with pytest.raises(KgrlError, match=r"row 0 .* has no 'body', only text"):
        list(PassageSource(f"hf:{tmp_path / 'saved'}", "body").documents())


def test_a_folder_stands_for_its_shards_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / name, ".jsonl")
    (tmp_path / "a" / "notes.txt").touch()
    assert [source.place for source in passage_sources([str(tmp_path)])] == [
        str(tmp_path / "a" / "shard.jsonl"),
        str(tmp_path / "b" / "shard.jsonl"),
    ]
    with pytest.raises(MissingDataError, match="not a folder, a dataset"):
        passage_sources([str(tmp_path / "a" / "notes.txt")])
    (tmp_path / "c").mkdir()
    with pytest.raises(MissingDataError, match="holds no file that ends with"):
        passage_sources([str(tmp_path / "c")])


@pytest.mark.parametrize("ending", [".jsonl.gz", ".jsonl.zst"])
def test_an_archive_that_is_cut_off_is_named_with_its_line(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, ending)
    for cut_off in (10, len(path.read_bytes()) // 2):
        path.write_bytes(path.read_bytes()[:-cut_off])
        with pytest.raises(DataError, match=r"shard.jsonl.*:\d+: the archive is damaged or cut off .*--on-error skip"):
            list(PassageSource(str(path)).documents())
        kept = list(PassageSource(str(path), on_error="skip").documents())
        assert kept == DOCUMENTS[: len(kept)]


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, ".parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"shard.parquet: not a whole Parquet file"):
        list(PassageSource(str(path)).documents())
    with pytest.raises(DataError, match="no column 'body'; it has text, n"):
        list(PassageSource(str(write(tmp_path, ".parquet")), "body").documents())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}\n", "JSONDecodeError"),
        (b'{"body": "x"}\n', "KeyError: 'text'"),
        (b'{"text": 3}\n', "it is not text"),
        (b'{"text": "\\ud800"}\n', "UnicodeEncodeError"),
        (b"\xff\xfe\n", "UnicodeDecodeError"),
        (b"[]\n", "TypeError"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_or_skipped(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_bytes(b'{"text": "One."}\n' + line + b'\n{"text": "Two."}\n')
    with pytest.raises(DataError, match=rf"shard.jsonl:2: not a record with a 'text' \(.*{reason}"):
        list(PassageSource(str(path)).documents())
    assert list(PassageSource(str(path), on_error="skip").documents()) == ["One.", "Two."]


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_text(json.dumps({"text": "A sentence of some words. " * 400_000}) + "\n")
    assert sum(1 for _ in PassageSource(str(path)).passages()) > 10_000
