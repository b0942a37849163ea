"""Passages of any source: read as they are asked for, and what cannot be used is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
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


def test_a_dataset_by_name_is_read_from_the_cache_of_the_hub_where_that_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    datasets, hub = pytest.importorskip("datasets"), pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    copy = tmp_path / "datasets--somebody--notes" / "snapshots" / ("7" * 40)
    write(copy / "data", ".jsonl")
    (copy / "data" / "shard.jsonl").rename(copy / "data" / "train.jsonl")
    refs = tmp_path / "datasets--somebody--notes" / "refs"
    refs.mkdir()
    (refs / "main").write_text("7" * 40)
    assert list(PassageSource("hf:somebody/notes").documents()) == DOCUMENTS
    assert "the hub cannot be reached; what its cache has of it is read" in caplog.text
    with pytest.raises(KgrlError, match=r"Bad split: test. Available splits: \['train'\]"):
        list(PassageSource("hf:somebody/notes:test").documents())
    with pytest.raises(KgrlError, match=r"row 0 .* has no 'body', only text"):
        list(PassageSource("hf:somebody/notes", "body").documents())
    with pytest.raises(KgrlError, match="cache on this machine has no copy of it"):
        list(PassageSource("hf:somebody/else").documents())


def test_a_configuration_of_a_dataset_is_named_behind_the_split(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    for name in ("old", "new"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"The {name} one."}) + "\n")
    configurations = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("old", "new"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configurations}---\n")
    assert list(PassageSource(f"hf:{tmp_path}:train:new").documents()) == ["The new one."]
    with pytest.raises(KgrlError, match=r"pick one among the available configs: \['old', 'new'\]"):
        list(PassageSource(f"hf:{tmp_path}").documents())


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


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_of_parquet_is_read_as_other_programs_write_it(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.array(["Évora is old.", "Two."]).cast(kind)
    pq.write_table(pa.table({"text": values}), tmp_path / "shard.parquet")
    assert list(PassageSource(str(tmp_path / "shard.parquet")).documents()) == ["Évora is old.", "Two."]


def test_rows_behind_a_damaged_part_are_read_under_skip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "shard.parquet"
    texts = [f"Sentence {n} of many." for n in range(4_000)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=1_000, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a whole Parquet file"):
        list(PassageSource(str(path)).documents())
    assert list(PassageSource(str(path), on_error="skip").documents()) == texts[:1_000] + texts[2_000:]
    assert "1,000 records left out (in a damaged part of the file: 1,000)" in caplog.text


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_text(json.dumps({"text": "A sentence of some words. " * 400_000}) + "\n")
    assert sum(1 for _ in PassageSource(str(path)).passages()) > 10_000


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array(["One.", None, "Two."]), "it is not text but null"),
        (pa.array([["a b.", "c d."], ["e f."]]), "it is not text but list"),
        (pa.array([1, 2]), "it is not text but int"),
    ],
    ids=["null", "lists", "numbers"],
)
def test_a_value_that_is_no_text_never_becomes_a_passage(
    tmp_path: Path, values: pa.Array, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    datasets = pytest.importorskip("datasets")
    pq.write_table(pa.table({"text": values}), tmp_path / "shard.parquet")
    datasets.Dataset.from_dict({"text": values.to_pylist()}).save_to_disk(tmp_path / "saved")
    texts = [value for value in values.to_pylist() if isinstance(value, str)]
    for place in (str(tmp_path / "shard.parquet"), f"hf:{tmp_path / 'saved'}"):
        with pytest.raises(DataError, match=reason):
            list(PassageSource(place).documents())
        caplog.clear()
        assert list(PassageSource(place, on_error="skip").documents()) == texts
        assert f"left out ({reason}: {len(values) - len(texts)})" in caplog.text


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_columns_of_every_kind_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"text": pa.array(DOCUMENTS).cast(kind)}), tmp_path / "shard.parquet")
    assert list(PassageSource(str(tmp_path / "shard.parquet")).documents()) == DOCUMENTS


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"validation": datasets.Dataset.from_dict({"text": DOCUMENTS})}).save_to_disk(tmp_path / "d")
    with pytest.raises(KgrlError, match="no split 'train', only validation"):
        list(PassageSource(f"hf:{tmp_path / 'd'}").documents())


def test_a_mark_of_byte_order_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    (tmp_path / "shard.jsonl").write_bytes(b"\xef\xbb\xbf" + _lines())
    assert list(PassageSource(str(tmp_path / "shard.jsonl"), on_error="skip").documents()) == DOCUMENTS


def test_a_long_window_of_zstandard_is_read(tmp_path: Path) -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=30, compression_level=3)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    (tmp_path / "shard.jsonl.zst").write_bytes(packer.compress(_lines()) + packer.flush())
    assert list(PassageSource(str(tmp_path / "shard.jsonl.zst")).documents()) == DOCUMENTS


def test_of_a_cut_archive_all_that_is_whole_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twelve missing bytes cost the lines that they hold, and the message says what was lost behind which line."""
    numbers = np.random.default_rng(0).integers(10**12, size=(5_000, 6)).tolist()
    lines = [json.dumps({"text": " ".join(map(str, row))}) + "\n" for row in numbers]
    path = tmp_path / "shard.jsonl.gz"
    path.write_bytes(gzip.compress("".join(lines).encode())[:-12])
    kept = list(PassageSource(str(path), on_error="skip").documents())
    assert len(kept) > 4_990 and f"cut off behind line {len(kept)}" in caplog.text


def test_padding_behind_an_archive_is_not_damage(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl.gz"
    path.write_bytes(gzip.compress(_lines()) + bytes(512))
    assert list(PassageSource(str(path)).documents()) == DOCUMENTS
