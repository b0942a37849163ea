"""Corpora built from raw text: topics, links and categories as the rules say, and bad sources named."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from kgrl.cli import main
from kgrl.corpus import Split
from kgrl.data import build_folder, load_corpus
from kgrl.data.building import passages as passages_module
from kgrl.data.building.repeats import Sketches
from kgrl.data.invented.corpus import load_invented
from kgrl.errors import DataError, KgrlError, MissingDataError

ROOT = Path(__file__).parents[2]
SUBJECTS = ("logic", "music", "rivers", "metals", "birds", "ships", "bread", "law", "maps", "glass", "tides", "coins")


def sentences(subject: str, n: int = 9) -> str:
    """Sentences about a subject that are those of no other."""
    return " ".join(
        f"The {subject} of kind {i} are told apart by the {subject}{i * i} of their {subject}{i}." for i in range(n)
    )


def write_texts(folder: Path, ending: str = ".txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        (folder / f"{subject}{ending}").write_text(sentences(subject), encoding="utf-8")
    return folder


def links_of(folder: Path) -> set[tuple[str, str]]:
    """The links of a corpus folder by title."""
    graph = load_corpus(folder).graph
    return {(graph.titles[a], graph.titles[b]) for a, b in zip(*(ends.tolist() for ends in graph.links()), strict=True)}


def test_a_folder_of_text_becomes_a_corpus_that_is_one_graph(tmp_path: Path) -> None:
    built = build_folder(write_texts(tmp_path / "texts"), tmp_path / "corpus")
    corpus = load_corpus(tmp_path / "corpus")
    assert corpus.graph.titles == tuple(sorted(SUBJECTS))
    assert corpus.graph.components.max() == 0 and corpus.graph.degree.min() >= 4
    assert all(corpus.has(split).all() for split in Split)
    assert yaml.safe_load((tmp_path / "corpus" / "build.yaml").read_text()) == built.decisions
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == [
        *("build.yaml", "links.tsv", "passages.jsonl", "topics.jsonl"),
    ]


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts")
    for out in ("one", "two"):
        build_folder(tmp_path / "texts", tmp_path / out)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_links_of_pages_lead_to_topics_wherever_these_are(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    write_texts(texts / "a", ".md")
    (texts / "b").mkdir()
    page = f"<title>Winds</title><p>{sentences('winds')} <a href='../a/logic.md'>x</a> <a href='/a/music#top'>y</a>"
    (texts / "b" / "winds.html").write_text(page + "<a href='https://example.org/'>z</a><a href='#here'>w</a>")
    (texts / "b" / "README.md").write_text(f"# Sounds\n{sentences('sounds')} [[Winds]] and [it](../a/birds.md).")
    (texts / "a" / "coins.md").write_text(f"{sentences('coins')} See [there](../b/).")
    built = build_folder(texts, tmp_path / "corpus")
    assert built.decisions["links"]["hyperlinks"] == 5
    assert built.decisions["links_elsewhere"] == 1
    assert {("Winds", "logic"), ("Winds", "music"), ("Sounds", "Winds"), ("Sounds", "birds"), ("coins", "Sounds")} <= (
        links_of(tmp_path / "corpus")
    )


def test_titles_that_texts_mention_are_links(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    for name in ("Kestrel Island", "Ada Quillfeather"):
        (texts / f"{name}.txt").write_text(sentences(name.split()[0].lower()))
    (texts / "birds.txt").write_text(sentences("birds") + " They were counted on Kestrel Island by Ada Quillfeather.")
    build_folder(texts, tmp_path / "corpus")
    assert {("birds", "Kestrel Island"), ("birds", "Ada Quillfeather")} <= links_of(tmp_path / "corpus")


def test_folders_are_categories_else_communities(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    for number, subject in enumerate(SUBJECTS):
        folder = texts / "all" / ("odd" if number % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{subject}.txt").write_text(sentences(subject))
    built = build_folder(texts, tmp_path / "corpus")
    assert built.decisions["categories"] == {"count": 2, "rule": "folders"}
    assert load_corpus(tmp_path / "corpus").graph.category_names == ("even", "odd")
    built = build_folder(write_texts(tmp_path / "flat"), tmp_path / "other")
    assert built.decisions["categories"]["rule"] == "communities of the graph"


BOOK = "\n\n".join(f"## {n + 1}. On {subject}\n\n{sentences(subject)}" for n, subject in enumerate(SUBJECTS))


def test_sections_of_few_documents_are_topics(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("Old", "New"):
        text = BOOK.replace(" of kind ", f" of {name} sort ").replace("told apart by", f"{name} or known through")
        (tmp_path / "texts" / f"{name}.md").write_text(
            f"# {name} book\n\n{sentences(name)}\n\n{text}\n\n### Short\n\nIt ends.\n"
        )
    built = build_folder(tmp_path / "texts", tmp_path / "corpus")
    graph = load_corpus(tmp_path / "corpus").graph
    assert built.decisions["topics"]["kind"] == "sections" and built.decisions["categories"]["rule"] == "documents"
    assert "Old book: On law" in graph.titles and "Old book" in graph.titles and "Short" not in graph.titles
    assert ("Old book", "Old book: On law") in links_of(tmp_path / "corpus")
    built = build_folder(tmp_path / "texts", tmp_path / "whole", topics="documents")
    assert built.decisions["topics"]["count"] == 2


def test_repeats_are_left_out_and_links_to_them_lead_to_the_first(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", ".md")
    shutil.copy(texts / "birds.md", texts / "zz-copy.md")
    (texts / "zz-near.md").write_text(
        (texts / "maps.md").read_text().replace("told apart", "kept apart", 1) + " It ends."
    )
    (texts / "coins.md").write_text(f"{sentences('coins')} [x](zz-copy.md) [y](zz-near.md)")
    built = build_folder(texts, tmp_path / "corpus")
    assert built.decisions["repeats"] == {"exact": 1, "near": 1}
    assert {("coins", "birds"), ("coins", "maps")} <= links_of(tmp_path / "corpus")


def test_near_repeats_are_those_that_share_four_fifths_of_their_runs() -> None:
    """Against all pairs of documents whose words were replaced more and more."""
    rng = np.random.default_rng(3)
    base = [f"w{i}" for i in range(300)]
    texts = []
    for changed in (0, 1, 2, 4, 8, 16, 32):
        words = list(base)
        for at in rng.choice(300, changed, replace=False):
            words[at] = f"x{changed}{at}"
        texts.append(" ".join(words))
    sketches = Sketches()
    for text in texts:
        sketches.add(text)

    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}

    alike = [len(runs(texts[0]) & runs(t)) / len(runs(texts[0]) | runs(t)) for t in texts]
    found = sketches.repeats(texts.__getitem__).first.tolist()
    assert [number != own for own, number in enumerate(found)][1:] == [share >= 0.8 for share in alike][1:]


def records() -> list[dict[str, Any]]:
    return [
        {"text": sentences(subject), "meta": {"title": subject.title(), "pile_set_name": "even" if n % 2 else "odd"}}
        for n, subject in enumerate(SUBJECTS)
    ]


def write_records(folder: Path, ending: str) -> Path:
    folder.mkdir()
    path = folder / f"shard{ending}"
    lines = "".join(json.dumps(record) + "\n" for record in records()).encode()
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(records()), path)
    else:
        path.write_bytes({".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)(lines))
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_records_become_topics_with_what_they_tell_about_themselves(tmp_path: Path, ending: str) -> None:
    build_folder(write_records(tmp_path / "texts", ending), tmp_path / "corpus")
    graph = load_corpus(tmp_path / "corpus").graph
    assert graph.titles == tuple(subject.title() for subject in SUBJECTS)
    assert graph.category_names == ("even", "odd")


def test_a_dataset_on_disk_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(records()).save_to_disk(tmp_path / "saved")
    for number, source in enumerate((f"hf:{tmp_path / 'saved'}", str(tmp_path / "saved"))):
        build_folder(source, tmp_path / f"corpus{number}")
        assert len(load_corpus(tmp_path / f"corpus{number}").graph) == len(SUBJECTS)
    with pytest.raises(KgrlError, match=r"no 'body', only text, meta"):
        build_folder(f"hf:{tmp_path / 'saved'}", tmp_path / "c", text_field="body")


def test_without_the_package_a_dataset_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDataError, match="pip install"):
        build_folder("hf:any", tmp_path / "c")


def test_untitled_records_get_titles_from_their_text(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_text("".join(json.dumps({"text": sentences(s)}) + "\n" for s in SUBJECTS))
    built = build_folder(path, tmp_path / "corpus")
    assert built.decisions["topics"]["made_titles"] == len(SUBJECTS)
    assert built.decisions["links"]["mentions"] == 0
    assert load_corpus(tmp_path / "corpus").graph.titles[0] == "The logic of kind 0 are told apart"


def test_titles_are_made_unique(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_text("".join(json.dumps({"text": sentences(s), "title": "Same"}) + "\n" for s in SUBJECTS[:3]))
    build_folder(path, tmp_path / "corpus")
    assert load_corpus(tmp_path / "corpus").graph.titles == ("Same", "Same (2)", "Same (3)")


def test_texts_of_any_script_are_cut_at_their_sentences(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for subject, mark in (("数", "学"), ("音", "乐"), ("河", "流")):
        text = "".join(f"{subject}{mark}的第{i}种被{mark}{subject}{mark}所知道{i * i}。" for i in range(30))
        (texts / f"{subject}{mark}.txt").write_text(text, encoding="utf-8")
    build_folder(texts, tmp_path / "corpus", language="zh")
    corpus = load_corpus(tmp_path / "corpus")
    assert len(corpus) > 9 and all(text.endswith("。") for text in corpus.texts)


def test_no_train_passage_repeats_a_held_out_one_across_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages_module, "_AT_ONCE", 4)
    shared = "This very sentence with its many words stands in each and every one of the documents here."
    path = tmp_path / "shard.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": f"{sentences(s, 12)}\n\n{' '.join(f'{shared} {shared}' for _ in range(2))}"}) + "\n"
            for s in SUBJECTS
        )
    )
    build_folder(path, tmp_path / "corpus")
    corpus = load_corpus(tmp_path / "corpus")
    held_out = {text for text, split in zip(corpus.texts, corpus.splits, strict=True) if split != Split.TRAIN}
    assert not held_out & {
        text for text, split in zip(corpus.texts, corpus.splits, strict=True) if split == Split.TRAIN
    }


@pytest.mark.integration
def test_texts_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the documents take twice the time, and hardly more memory."""
    monkeypatch.setattr(passages_module, "_AT_ONCE", 500)
    peaks = []
    for n in (100, 300):
        rng = np.random.default_rng(0)
        path = tmp_path / f"{n}.jsonl"
        with path.open("w") as file:
            for _ in range(n):
                words = rng.integers(0, 5_000, 1_200)
                text = " ".join(f"w{word}" + "." * (i % 12 == 11) for i, word in enumerate(words))
                file.write(json.dumps({"text": text}) + "\n")
        tracemalloc.start()
        build_folder(path, tmp_path / f"corpus{n}", topics="documents")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    added_text = 200 * 1_200 * 6
    assert peaks[1] - peaks[0] < added_text / 2


BAD = {
    "nothing there": ({}, "holds no file that can be read"),
    "no readable file": ({"a.png": b"x", "b.png": b"x", "c": b"x"}, r"\(2 \.png, 1 no ending\)"),
    "binary file": ({"a.txt": b"PNG\0\0"}, r"a\.txt: binary file, not text"),
    "no prose": ({"a.md": b"# Only\n\n## Headings\n"}, "no prose"),
    "all alike": ({f"{n}.txt": sentences("logic").encode() for n in range(5)}, "all of its 5 documents are alike"),
    "one document": ({"a.txt": sentences("logic").encode()}, "it has 1 document, which is one topic"),
    "no such column": ({"a.jsonl": b'{"body": "x", "n": 1}\n'}, r"a\.jsonl:1: .*it has body, n"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sources_are_named(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    files, why = BAD[case]
    (tmp_path / "texts").mkdir()
    for name, data in files.items():
        (tmp_path / "texts" / name).write_bytes(data)
    with pytest.raises(KgrlError, match=why):
        build_folder(tmp_path / "texts", tmp_path / "corpus")
    assert main(["data", "build", str(tmp_path / "texts"), "--out", str(tmp_path / "corpus")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts"]


def test_a_missing_column_of_parquet_is_named_with_those_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'body'; it has text, meta"):
        build_folder(write_records(tmp_path / "texts", ".parquet"), tmp_path / "corpus", text_field="body")


def test_records_of_something_else_are_skipped_if_that_is_asked_for(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    pq.write_table(pa.table({"n": [1, 2]}), texts / "numbers.parquet")
    with pytest.raises(DataError, match="no column 'text'; it has n"):
        build_folder(texts, tmp_path / "corpus")
    built = build_folder(texts, tmp_path / "corpus", on_error="skip")
    assert built.decisions["read"]["skipped"] == {"file of records that cannot be read": 1}


def test_mixed_encodings_are_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts = write_texts(tmp_path / "texts")
    french = "L'été à la plage est très agréable, où l'on goûte des crêpes salées. Après la forêt, le château. " * 4
    for name in ("a", "b"):
        (texts / f"{name}.txt").write_bytes(f"{french} {sentences(name)}".encode("utf-16"))
    (texts / "image.txt").write_bytes(b"\0" * 9)
    with caplog.at_level(logging.WARNING):
        built = build_folder(texts, tmp_path / "corpus", on_error="skip")
    assert "2 files in utf-16, not UTF-8: a.txt, b.txt" in caplog.text
    assert built.decisions["read"]["encodings"] == {"utf-8": len(SUBJECTS), "utf-16": 2}
    assert built.decisions["read"]["skipped"] == {"binary file": 1}


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    with pytest.raises(FileExistsError):
        build_folder(texts, texts)
    assert len(list(texts.iterdir())) == len(SUBJECTS)


def test_the_command_prints_and_writes_what_was_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, out = write_texts(tmp_path / "texts"), tmp_path / "corpus"
    told = tmp_path / "told.json"
    assert main(["data", "build", str(texts), "--out", str(out), "--json", str(told)]) == 0
    assert "topics: count" in capsys.readouterr().out
    assert json.loads(told.read_text())["topics"]["count"] == len(SUBJECTS)


def test_the_documents_of_this_repository_become_a_corpus(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs/results").glob("*.md")),
    ]:
        (texts / path.parent.relative_to(ROOT)).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, texts / path.relative_to(ROOT))
    built = build_folder(texts, tmp_path / "corpus")
    corpus = load_corpus(tmp_path / "corpus")
    assert built.decisions["topics"]["kind"] == "sections" and built.decisions["links"]["hyperlinks"] > 20
    assert (
        corpus.graph.components.max() == 0
        and "Vocabulary (one word per idea, everywhere: code, CLI, docs)" in corpus.graph.titles
    )


def test_facts_of_an_invented_world_are_found_as_links(tmp_path: Path) -> None:
    """Titles are names that nobody else has, and every passage tells its facts."""
    world = load_invented("invented:120")
    path = tmp_path / "world.jsonl"
    with path.open("w") as file:
        for topic, title in enumerate(world.graph.titles):
            text = "\n\n".join(world.of(topic, Split.TRAIN).texts)
            file.write(json.dumps({"title": title, "text": text}) + "\n")
    build_folder(path, tmp_path / "corpus")
    graph = world.graph
    facts = {(graph.titles[a], graph.titles[b]) for a, b in zip(*(e.tolist() for e in graph.links()), strict=True)}
    assert len(facts & links_of(tmp_path / "corpus")) > 0.9 * len(facts)
