"""Building indexes: nothing is embedded twice, shards are as good as one, and a kill does no harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.cli import main
from kgrl.errors import KgrlError, MissingDataError, SettingError
from kgrl.retrieval import building
from kgrl.retrieval.building import StoredTexts, build_index
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.faiss_retriever import FaissRetriever
from kgrl.retrieval.sharded import ShardedRetriever, build_shards
from kgrl.retrieval.sources import PassageSource, passage_sources
from kgrl.system.executors import ProcessExecutor, RayExecutor

_SUBJECTS = ["rivers", "stones", "numbers", "proofs", "engines", "planets", "letters", "forests", "markets", "signals"]


class Counting(Encoder):
    """Encodes a text as a unit vector drawn from its letters, and counts."""

    dimensions = 16  # type: ignore[assignment]

    def __init__(self, fingerprint: str = "counting") -> None:
        super().__init__("none")
        self.name, self.encoded = fingerprint, 0

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return self.name

    def encode(self, texts: list[str]) -> NDArray[np.float32]:  # type: ignore[override]
        self.encoded += len(texts)
        rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=16) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(path: Path, first: int, count: int) -> PassageSource:
    texts = (f"Text {n} is about {_SUBJECTS[n % 10]} and the number {n * 7}." for n in range(first, first + count))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return PassageSource(str(path))


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_CHUNK", 32)


def test_passages_are_found_and_read(tmp_path: Path) -> None:
    encoder = Counting()
    assert build_index(write(tmp_path / "a.jsonl", 0, 100), tmp_path / "index", encoder) == 100
    texts = StoredTexts(tmp_path / "index")
    assert len(texts) == 100 and texts[42].startswith("Text 42 ")
    ids, scores = FaissRetriever.open(tmp_path / "index" / "index", "counting").search(encoder.encode([texts[42]]), 1)
    assert ids.tolist() == [[42]] and scores[0, 0] == pytest.approx(1)


def test_only_what_is_new_is_embedded(tmp_path: Path) -> None:
    build_index(write(tmp_path / "a.jsonl", 0, 100), tmp_path / "index", Counting())
    again = Counting()
    build_index(write(tmp_path / "a.jsonl", 0, 100), tmp_path / "index", again)
    assert again.encoded == 0
    build_index(write(tmp_path / "a.jsonl", 0, 160), tmp_path / "index", again)
    assert again.encoded == 160 - 96  # whole chunks stay
    assert len(StoredTexts(tmp_path / "index")) == 160
    fresh = Counting()
    build_index(write(tmp_path / "a.jsonl", 0, 160), tmp_path / "index", fresh, rebuild=True)
    assert fresh.encoded == 160


def test_a_build_that_breaks_off_goes_on(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", 0, 100)

    def stop(passages: int) -> None:
        if passages >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(source, tmp_path / "index", Counting(), on_chunk=stop)
    with pytest.raises(MissingDataError, match="it continues where it stopped"):
        StoredTexts(tmp_path / "index")
    again = Counting()
    build_index(source, tmp_path / "index", again)
    assert again.encoded == 100 - 64


def test_another_encoder_embeds_anew(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", 0, 100)
    build_index(source, tmp_path / "index", Counting())
    other = Counting("trained further")
    build_index(source, tmp_path / "index", other)
    assert other.encoded == 100
    with pytest.raises(
        SettingError, match=r"built with the encoder trained further, and queries are made with counting"
    ):
        FaissRetriever.open(tmp_path / "index" / "index", "counting")


def test_texts_of_one_build_are_never_joined_with_the_index_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(write(tmp_path / "a.jsonl", 0, 100), tmp_path / "index", Counting())

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FaissRetriever, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        build_index(write(tmp_path / "a.jsonl", 50, 100), tmp_path / "index", Counting())
    with pytest.raises(MissingDataError, match="holds no finished index"):
        StoredTexts(tmp_path / "index")


def test_shards_of_several_encoders_are_not_searched_together(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"{n}.jsonl", 40 * n, 40) for n in range(2)]
    for number, source in enumerate(sources):
        build_index(source, tmp_path / "index" / f"{number:05d}", Counting(f"encoder {number}"))
    (tmp_path / "index" / "shards.json").write_text('{"shards": ["00000", "00001"]}')
    with pytest.raises(SettingError, match=r"built by several encoders; build them again with --rebuild"):
        ShardedRetriever(tmp_path / "index")


@pytest.mark.parametrize(
    "damage", ["", "[]", '{"shards": 3}', '{"shards": [], "x": []}', "{}", '{"shards": ["\\ud800"]}']
)
def test_a_damaged_list_of_shards_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "shards.json").write_text(damage)
    with pytest.raises(KgrlError, match=r"shards.json: .*; build the index anew"):
        ShardedRetriever(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\0" * 2_000, b"half", b"cut"])
def test_damaged_chunks_are_embedded_again(tmp_path: Path, damage: bytes) -> None:
    source = write(tmp_path / "a.jsonl", 0, 100)
    build_index(source, tmp_path / "index", Counting())
    before = (tmp_path / "index" / "index" / "index.faiss").read_bytes()
    chunk = sorted((tmp_path / "index" / "chunks").glob("*.npy"))[1]
    whole = chunk.read_bytes()
    half = len(whole) // 2
    chunk.write_bytes({b"half": whole[:half] + bytes(half), b"cut": whole[:half]}.get(damage, damage))
    again = Counting()
    build_index(source, tmp_path / "index", again)
    assert again.encoded == 32 and chunk.read_bytes() == whole
    assert (tmp_path / "index" / "index" / "index.faiss").read_bytes() == before


@pytest.mark.parametrize("name", ["texts.npy", "texts.bin", "manifest.json"])
def test_damaged_texts_are_named(tmp_path: Path, name: str) -> None:
    build_index(write(tmp_path / "a.jsonl", 0, 100), tmp_path / "index", Counting())
    file = tmp_path / "index" / name
    whole = file.read_bytes()
    for content in (whole[:-2], b"", whole + b"x", bytes(len(whole))):
        file.write_bytes(content)
        if name == "texts.bin" and len(content) == len(whole):
            continue  # other letters, of which nothing tells
        if name == "texts.npy" and content == whole + b"x":
            continue  # behind the array, and never read
        with pytest.raises(KgrlError, match=r"texts|manifest"):
            StoredTexts(tmp_path / "index")


def test_nothing_to_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(KgrlError, match=r"a.jsonl has no passages"):
        build_index(PassageSource(str(tmp_path / "a.jsonl")), tmp_path / "index", Counting())


@pytest.mark.integration
@pytest.mark.parametrize("make", [ProcessExecutor, RayExecutor])
def test_shards_elsewhere_are_the_same_as_one_process(tmp_path: Path, make: type[ProcessExecutor]) -> None:
    sources = [write(tmp_path / "files" / f"{n}.jsonl", 40 * n, 40) for n in range(3)]
    encoder = Encoder()
    assert build_shards(sources, tmp_path / "here", encoder) == 120
    executor = make(2)
    assert build_shards(sources, tmp_path / "there", encoder, executor=executor) == 120
    queries = encoder.encode(["a planet far away", "how to prove it", "Text 77 is about forests"])
    here = ShardedRetriever(tmp_path / "here", encoder.fingerprint)
    there = ShardedRetriever(tmp_path / "there", encoder.fingerprint, executor)
    ids, scores = here.search(queries, 6)
    assert np.array_equal(ids, there.search(queries, 6)[0])
    np.testing.assert_allclose(scores, there.search(queries, 6)[1], atol=1e-5)
    whole = build_index(write(tmp_path / "all.jsonl", 0, 120), tmp_path / "one", encoder)
    one = FaissRetriever.open(tmp_path / "one" / "index").search(queries, 6)
    assert whole == len(here) == 120
    np.testing.assert_allclose(one[1], scores, atol=2e-2)  # batches differ, and with them the last bits of bfloat16
    assert here.text(int(ids[2, 0])).startswith("Text 77")


@pytest.mark.integration
def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(2):
        write(tmp_path / "files" / f"{n}.jsonl", 40 * n, 40)
    index, out = str(tmp_path / "index"), tmp_path / "out.json"
    assert main(["research", "index", str(tmp_path / "files"), "--out", index, "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == {"folder": index, "shards": 2, "passages": 80}
    for more in ([], ["--hybrid"]):
        assert main(["research", "search", index, "the number 273", "--k", "3", "--json", str(out), *more]) == 0
        found = json.loads(out.read_text())["found"]
        assert len(found) == 3 and all(hit["text"].startswith(f"Text {hit['passage']} ") for hit in found)
    assert found[0]["text"].startswith("Text 39 ")  # by its words: 39 times 7 is 273
    manifest = tmp_path / "index" / "00000" / "index" / "meta.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "encoder": "another"}))
    assert main(["research", "search", index, "rivers"]) == 2
    assert "built with the encoder another" in capsys.readouterr().err


@pytest.mark.integration
def test_a_build_that_is_killed_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 0, 7_000)
    command = [str(Path(sys.executable).with_name("kgrl")), "research", "index", str(tmp_path / "a.jsonl"), "--out"]
    process = subprocess.Popen([*command, str(tmp_path / "killed")], start_new_session=True)
    chunks = tmp_path / "killed" / "00000" / "chunks"
    deadline = time.monotonic() + 120
    while len(list(chunks.glob("0*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(MissingDataError):
        ShardedRetriever(tmp_path / "killed")
    kept = {path.name: path.stat().st_mtime_ns for path in chunks.glob("0*.npy")}
    subprocess.run([*command, str(tmp_path / "killed")], check=True, stdout=subprocess.DEVNULL)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in chunks.glob("0*.npy")}.items()
    retriever = ShardedRetriever(tmp_path / "killed")
    assert len(retriever) == 7_000
    assert retriever.text(6_999).startswith("Text 6999 ")


def test_an_index_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"holds no index; `kgrl research index SOURCE --out"):
        ShardedRetriever(tmp_path)
    assert passage_sources([str(write(tmp_path / "a.jsonl", 0, 1).place)])
    with pytest.raises(SettingError):
        ProcessExecutor(0)
