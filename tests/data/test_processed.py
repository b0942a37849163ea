"""Processed corpora: the same as those they were made from, read without a parser, whatever happens to the files."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kgrl.corpus import Corpus
from kgrl.data import folder as folder_module
from kgrl.data import load_corpus
from kgrl.data.folder import load_folder, open_folder, save_folder
from kgrl.data.invented.corpus import load_invented
from kgrl.data.load import DERIVED
from kgrl.data.processed import processed
from kgrl.data.text.build import build_corpus, with_places
from kgrl.errors import DataError, KgrlError
from kgrl.learners import ScratchLearner
from kgrl.system.files import cache_dir
from tests.support.made_corpora import corpora

TEXT = "{0} is a town by the sea. It has a harbour since 1400. It trades with {1} and others. It is known for {1}."


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; no corpus stays open when the test lets go of it."""
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("kgrl.data.processed._LATEST", deque(maxlen=0))
    return cache_dir()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder without splits."""
    names = ["Ahlen", "Bern", "Cork"]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "topics.jsonl").write_text("".join(json.dumps({"title": name}) + "\n" for name in names))
    (folder / "links.tsv").write_text("Ahlen\tBern\t3\nBern\tCork\t5\n")
    with (folder / "passages.jsonl").open("w") as file:
        for at, name in enumerate(names):
            for text in TEXT.format(name, names[at - 1]).split(". "):
                file.write(json.dumps({"topic": name, "text": text}) + "\n")
    return folder


def leads() -> Corpus:
    """A corpus made as the vital articles are."""
    names = ["Ahlen", "Bern", "Cork"]
    documents = [TEXT.format(name, names[at - 1]) for at, name in enumerate(names)]
    return with_places(build_corpus("leads", names, ["", "Towns", ""], documents, [0, 1, 2], [2, 0, 1]))


def assert_same(found: Corpus, made: Corpus) -> None:
    """Compare two corpora in all that others read of them."""
    assert (found.name, found.fingerprint) == (made.name, made.fingerprint)
    assert list(found.texts) == list(made.texts) and list(found.word_counts) == list(made.word_counts)
    assert np.array_equal(found.topics, made.topics) and np.array_equal(found.splits, made.splits)
    one, other = found.graph, made.graph
    assert list(one.titles) == list(other.titles) and list(one.categories) == list(other.categories)
    assert np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices)
    assert (one.places is None) == (other.places is None)
    assert other.places is None or np.array_equal(one.places, other.places)
    assert found.questions == made.questions and np.array_equal(found.told, made.told)
    # The stored fingerprint is that of the content, not of what was stored beside it.
    anew = Corpus(found.name, one, list(found.texts), found.topics, found.splits, found.questions)
    assert anew.fingerprint == made.fingerprint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpora())
def test_an_opened_corpus_is_the_one_that_was_kept(corpus: Corpus) -> None:
    opened = processed("any", [corpus.fingerprint, str(id(corpus))], lambda: corpus)
    assert opened is not corpus
    assert_same(opened, corpus)


def test_each_kind_of_corpus_is_the_same_when_it_is_opened(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_folder(mine), load_invented("invented:50"), leads()
    kept = made[1]
    folder, lead = open_folder(mine), processed("leads", ["a"], leads)
    assert_same(folder, made[0])
    assert_same(lead, made[2])
    fingerprint, texts = kept.fingerprint, list(kept.texts)
    del folder, lead, kept, made
    gc.collect()
    for place in ("folder.load_folder", "invented.corpus.write_corpus"):
        monkeypatch.setattr(f"kgrl.data.{place}", lambda *_: pytest.fail("made again"))
    assert open_folder(mine).graph.n_links == 2
    again = load_invented("invented:50:0")
    assert again.fingerprint == fingerprint and list(again.texts) == texts
    assert processed("leads", ["a"], lambda: pytest.fail("made again")).graph.n_links == 3


def test_a_second_process_reads_no_source_file(mine: Path) -> None:
    fingerprint = load_corpus(mine).fingerprint
    code = (
        "import sys, kgrl.data.folder as folder\n"
        "folder.json_lines = folder.lines_of = folder.near_duplicates = None\n"
        "from kgrl.data import load_corpus\n"
        "print(load_corpus(sys.argv[1]).fingerprint, *({'pyarrow', 'networkx', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(mine)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fingerprint]


def test_those_who_load_one_corpus_share_it_while_it_is_used(mine: Path) -> None:
    corpus = load_corpus(mine)
    assert load_corpus(str(mine)) is corpus and load_corpus(mine).texts is corpus.texts
    shutil.copytree(mine, mine.parent / "copy")
    other = load_corpus(mine.parent / "copy")
    assert other.name == "copy" and other.fingerprint == corpus.fingerprint


def test_the_corpora_opened_last_stay_open(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.data.processed._LATEST", deque(maxlen=2))
    monkeypatch.setattr("kgrl.data.processed._OPEN", WeakValueDictionary())
    number = id(load_corpus(mine))
    load_corpus("invented:8")
    gc.collect()
    assert id(load_corpus(mine)) == number
    load_corpus("invented:9"), load_corpus("invented:8")
    gc.collect()
    assert len(sys.modules["kgrl.data.processed"]._OPEN) == 2


@pytest.mark.parametrize("kind", ["noisy", "deceptive"])
def test_traps_are_laid_once(kind: str, tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tiny_corpus, tmp_path / "tiny")
    name = f"{kind}:{tmp_path / 'tiny'}"
    made = DERIVED[kind](load_corpus(tmp_path / "tiny")).corpus
    first = load_corpus(name)
    assert_same(first, made)
    assert load_corpus(name) is first
    fingerprint = first.fingerprint
    del first
    gc.collect()
    monkeypatch.setitem(DERIVED, kind, lambda corpus: pytest.fail("laid again"))
    assert load_corpus(name).fingerprint == fingerprint
    (tmp_path / "tiny" / "links.tsv").write_text("")
    with pytest.raises(pytest.fail.Exception):
        load_corpus(name)


def test_a_changed_folder_is_read_anew_and_open_corpora_stay(mine: Path) -> None:
    corpus = load_corpus(mine)
    before = list(corpus.texts)
    passages = mine / "passages.jsonl"
    passages.write_text(passages.read_text().replace("harbour", "airport"))
    assert list(corpus.texts) == before
    after = load_corpus(mine)
    assert sum("airport" in text for text in after.texts) == sum("harbour" in text for text in before) > 0
    assert after.fingerprint != corpus.fingerprint and list(corpus.texts) == before
    passages.write_text(passages.read_text().replace("airport", "harbour"))
    assert load_corpus(mine) is corpus


def test_files_that_change_while_they_are_read_are_named(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(folder: Path) -> Corpus:
        corpus = load_folder(folder)
        (folder / "links.tsv").write_text("Ahlen\tCork\t3\n")
        return corpus

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "load_folder", load)
        with pytest.raises(DataError, match="mine: its files changed while they were read"):
            open_folder(mine)
    assert open_folder(mine).graph.n_links == 1


def test_skipped_records_are_counted_at_each_load(mine: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (mine / "links.tsv").open("a") as file:
        file.write("Ahlen\tNowhere\t1\n")
    for _ in range(2):
        with pytest.raises(DataError, match="'Nowhere' is not a topic"):
            load_corpus(mine)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert load_corpus(mine, on_error="skip").graph.n_links == 2
        assert "skipped 1 records (dangling link: 1)" in caplog.text


def test_a_corpus_outlives_the_cache_folder(mine: Path, own_cache: Path) -> None:
    corpus = load_corpus(mine)
    before = list(corpus.texts)
    shutil.rmtree(own_cache)
    assert list(corpus.texts) == before and load_corpus(mine) is corpus
    fingerprint = corpus.fingerprint
    del corpus
    gc.collect()
    assert load_corpus(mine).fingerprint == fingerprint and own_cache.exists()


def test_a_curriculum_goes_on_when_the_cache_folder_vanishes(mine: Path, own_cache: Path) -> None:
    corpus = load_corpus(mine)
    learner = ScratchLearner(corpus, width=16, heads=2, vocabulary=300)
    learner.learn(corpus.select([0]), 50)
    shutil.rmtree(own_cache)
    everything = corpus.select(np.arange(len(corpus)))
    assert learner.learn(everything, 1000).passages == len(corpus)
    assert np.isfinite(learner.losses(everything)).all()
    assert ScratchLearner(corpus, width=16, heads=2, vocabulary=300).tokens[0].tolist() == learner.tokens[0].tolist()


def test_a_cache_folder_that_cannot_be_made_again_is_named(mine: Path, own_cache: Path) -> None:
    load_corpus(mine)
    gc.collect()
    shutil.rmtree(own_cache)
    own_cache.touch()
    with pytest.raises(KgrlError, match=r"cache folder .* cannot be written to .*set KGRL_CACHE"):
        load_corpus(mine)


def test_two_versions_share_a_cache_folder(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither opens, damages or removes the entry of the other."""
    module = sys.modules["kgrl.data.processed"]
    new = processed("leads", ["a"], leads).fingerprint
    monkeypatch.setattr(module, "_VERSION", "an older one")
    old = processed("leads", ["a"], leads)
    gc.collect()
    entries = sorted(path.name for path in (own_cache / "corpora").iterdir() if path.is_dir())
    monkeypatch.undo()
    monkeypatch.setenv("KGRL_CACHE", str(own_cache))
    assert len(entries) == 2 and old.fingerprint == new
    assert processed("leads", ["a"], lambda: pytest.fail("made again")).fingerprint == new


@pytest.mark.parametrize("name", ["a" * 200, "Größe/..", "two words", ""])
def test_any_name_has_an_entry(name: str, own_cache: Path) -> None:
    assert processed(name, ["a"], leads).name == name
    assert {path.parent for path in own_cache.rglob("corpus.json")} <= set((own_cache / "corpora").iterdir())
