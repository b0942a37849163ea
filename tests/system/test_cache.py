"""Cache entries are used as they were made, or made again; never otherwise."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kgrl.corpus import Corpus
from kgrl.data import processed as processed_module
from kgrl.data.processed import processed
from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import TopicGraph
from kgrl.learners.decoder.scratch import train_tokenizer
from kgrl.learners.decoder.token_store import TokenStore
from kgrl.system import cache
from kgrl.system.cache import cached, cached_arrays, is_sealed
from kgrl.system.files import cache_dir, write_npy, write_text
from kgrl.viewer.layout import stored_layout

Damage = Callable[[Path], object]


def _zero_the_end(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2))


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "zeros": _zero_the_end,
    "bit": _flip_a_bit,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\x93NUMPY\xff\xff nothing of the kind"),
    "missing": lambda path: path.unlink(),
}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    return cache_dir()


def _use_tokens(corpus: Corpus) -> list[int]:
    tokenizer = train_tokenizer(corpus, 300)
    return TokenStore.of(corpus, tokenizer, 0).ids.tolist()


def _use_corpus(corpus: Corpus) -> object:
    processed_module._LATEST.clear()  # an open corpus is not read again
    processed_module._OPEN.clear()
    return processed("tiny", ["content"], lambda: corpus).fingerprint


USES: dict[str, Callable[[Corpus], object]] = {
    "tokens": _use_tokens,
    # Without links, since forces take seconds.
    "layouts": lambda corpus: stored_layout(TopicGraph.from_links(list(corpus.graph.titles), [], [])).tolist(),
    "corpora": _use_corpus,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("use", USES)
def test_a_damaged_entry_is_made_again(
    own_cache: Path, tiny_corpus: Corpus, use: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = USES[use](tiny_corpus)
    for path in sorted(path for path in own_cache.rglob("*") if path.is_file() and path.suffix != ".lock"):
        before = path.read_bytes()
        DAMAGES[damage](path)
        if path.exists() and path.read_bytes() == before:  # zeros in place of zeros
            continue
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert USES[use](tiny_corpus) == whole
        assert path.read_bytes() == before
        said = [record for record in caplog.records if "made again" in record.message]
        assert len(said) == 1 or damage == "missing", path


def test_an_entry_without_a_seal_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.npy"
    write_npy(path, np.zeros(3))
    cached(path, make=lambda: write_npy(path, np.ones(3)))
    assert np.load(path).tolist() == [1, 1, 1]


def test_files_of_an_entry_belong_together(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"

    def make() -> None:
        write_text(one, "1")
        write_text(other, "2")

    cached(one, other, make=make)
    assert is_sealed(one, other)
    other.unlink()
    assert not is_sealed(one, other)
    cached(one, other, make=make)
    assert other.read_text() == "2"


def test_an_entry_that_cannot_be_made_leaves_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "entry.txt"

    def fail() -> None:
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached(path, make=fail)
    cached(path, make=lambda: write_text(path, "whole"))
    assert path.read_text() == "whole"


def test_one_of_several_makes_an_entry(tmp_path: Path) -> None:
    path, made = tmp_path / "entry.txt", list[int]()

    def make() -> None:
        made.append(1)
        write_text(path, "whole")

    threads = [threading.Thread(target=lambda: cached(path, make=make)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), path.read_text()) == (1, "whole")


def test_a_complete_entry_is_read_without_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "entry.txt"
    cached(path, make=lambda: write_text(path, "whole"))
    (tmp_path / "entry.txt.lock").unlink(missing_ok=True)
    monkeypatch.delattr(cache, "filelock")
    before = sorted(tmp_path.iterdir())
    cached(path, make=lambda: pytest.fail("made again"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path, tiny_corpus: Corpus) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "tokens" / "entry.txt"
    with pytest.raises(KgrlError, match=r"cache folder .*tokens cannot be written to .*set KGRL_CACHE"):
        cached(path, make=lambda: write_text(path, ""))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("4096 requested and 0 written")]
)
def test_a_full_cache_is_named_with_the_way_out(tmp_path: Path, error: OSError) -> None:
    def make() -> None:
        raise error

    with pytest.raises(KgrlError, match=r"(space left|requested and).*set KGRL_CACHE"):
        cached(tmp_path / "entry.txt", make=make)


def test_an_error_of_what_an_entry_is_made_from_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"):
        cached(tmp_path / "entry.txt", make=lambda: print((tmp_path.parent / "source").read_text()))


def test_arrays_of_an_entry_are_made_once_and_mapped(tmp_path: Path) -> None:
    made = []

    def make() -> list[np.ndarray]:
        made.append(1)
        return [np.arange(3), np.empty((0, 2), dtype=np.float32)]

    for _ in range(2):
        first, second = cached_arrays(tmp_path / "entry", ["first", "second"], make)
        assert first.tolist() == [0, 1, 2] and second.shape == (0, 2)
        assert not first.flags.writeable and len(made) == 1


def test_mapped_arrays_outlive_their_entry(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "entry"
    (first,) = cached_arrays(entry, ["first"], lambda: [np.arange(100_000)])
    shutil.rmtree(tmp_path / "cache")
    assert first.sum() == 4_999_950_000
    (again,) = cached_arrays(entry, ["first"], lambda: [np.arange(100_000)])
    assert np.array_equal(first, again)


def test_a_cache_folder_that_vanishes_while_an_entry_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "cached", lambda *paths, make: None)
    with pytest.raises(KgrlError, match=r"first\.npy: no such file; start again"):
        cached_arrays(tmp_path / "entry", ["first"], lambda: [np.arange(3)])


def test_a_cache_folder_that_vanishes_while_an_entry_is_made_does_no_harm(tmp_path: Path) -> None:
    def make() -> list[np.ndarray]:
        shutil.rmtree(tmp_path / "cache")
        return [np.arange(3)]

    (first,) = cached_arrays(tmp_path / "cache" / "entry", ["first"], make)
    assert first.tolist() == [0, 1, 2]
