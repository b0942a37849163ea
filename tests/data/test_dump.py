"""Dumps become corpora: the same however they are carried out, and what cannot be used is named."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import zstandard

from kgrl.cli import main
from kgrl.corpus import Corpus, Split
from kgrl.data import load_corpus
from kgrl.data.wikimedia.dump import import_dump
from kgrl.errors import DataError, KgrlError
from kgrl.graph import TopicGraph
from tests.support.mediawiki import MediaWikiServer
from tests.support.wiki_languages import InlineExecutor

_HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n<siteinfo><sitename>W'
    '</sitename><dbname>w</dbname><namespaces><namespace key="0" /></namespaces></siteinfo>\n'
)
_PAGE = (
    "<page><title>{title}</title><ns>{ns}</ns><id>{id}</id>{redirect}<revision><id>{id}</id>"
    "<timestamp>2026-01-01T00:00:00Z</timestamp><text>{text}</text></revision></page>\n"
)


def _text(name: str, links: str = "") -> str:
    return (
        " ".join(f"{name} is number {k} of the things that {name} says about {k + len(name)}." for k in range(12))
        + links
    )


PAGES = {
    "Logic": _text(
        "Logic", " See [[reasoning]], [[Maths]], [[Ring A]], [[Nowhere]] and [[Talk:Logic]]. [[Category:Philosophy]]"
    ),
    "Reasoning": _text("Reasoning", " [[Logic]] {{cite|x}}"),
    "Mathematics": _text("Mathematics", " [[Logic]] [[数学]]"),
    "Math": "#REDIRECT [[Maths]]",
    "Maths": "#REDIRECT [[Mathematics]]",
    "Ring A": "#REDIRECT [[Ring B]]",
    "Ring B": "#REDIRECT [[Ring A]]",
    "Mercury": "Mercury may be:\n* [[Logic]]\n{{disambiguation}}",
    "数学": _text("数学", " [[Mathematics]]"),
    "../../x": _text("Path"),
    "Empty": " ",
    "Template:Cite": "cited",
    "Talk:Logic": "Is it?",
    "Line": "One line. " * 100_000,
    "Bomb": "Bombs tick. " * 30 + "{{" * 100_000,
}


def xml_of(pages: Mapping[str, str]) -> str:
    """A dump as MediaWiki writes it, without what the import does not read."""
    body = ""
    for number, (title, text) in enumerate(pages.items(), 1):
        ns = {"Template": 10, "Talk": 1}.get(title.partition(":")[0], 0)
        target = text.partition("[[")[2].partition("]]")[0]
        redirect = f'<redirect title="{target}" />' if text.startswith("#REDIRECT") else ""
        body += _PAGE.format(title=escape(title), ns=ns, id=number, redirect=redirect, text=escape(text))
    return f"{_HEAD}{body}</mediawiki>\n"


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "wiki.xml.bz2"
    path.write_bytes(bz2.compress(xml_of(PAGES).encode()))
    return path


def _links(corpus: Corpus) -> set[tuple[str, str]]:
    titles = corpus.graph.titles
    return {(titles[s], titles[t]) for s in range(len(titles)) for t in corpus.graph.out(s)}


def test_a_dump_becomes_a_corpus(dump: Path, tmp_path: Path) -> None:
    done = import_dump(dump, tmp_path / "out")
    corpus = load_corpus(str(tmp_path / "out"))
    assert corpus.graph.titles == ("Logic", "Reasoning", "Mathematics", "数学", "../../x", "Line", "Bomb")
    expected = {("Logic", "Reasoning"), ("Logic", "Mathematics"), ("Reasoning", "Logic")}
    assert _links(corpus) == expected | {("Mathematics", "Logic"), ("Mathematics", "数学"), ("数学", "Mathematics")}
    assert corpus.graph.categories[0] == "Philosophy"
    assert done.left_out == {"another namespace": 2, "disambiguation": 1, "no text": 1}
    assert (done.pages, done.topics, done.links, done.redirects) == (15, 7, 6, 2)  # the ring leads nowhere
    assert done.passages == dict(zip(("train", "probe", "exam"), corpus.split_counts.tolist(), strict=True))
    assert TopicGraph.open(tmp_path / "out" / "graph").titles[3] == "数学"
    assert not (tmp_path / "out.parts").exists()
    assert not any("{{" in text or "[[" in text for text in corpus.texts)


def test_passages_of_one_split_are_not_in_another(tmp_path: Path) -> None:
    # In pieces of their own, since a batch has at most two hundred pages.
    shared = _text("Everybody")
    pages = {f"Page {n}": shared if n % 150 == 0 else _text(f"Page {n}") for n in range(400)}
    path = tmp_path / "wiki.xml"
    path.write_text(xml_of(pages))
    import_dump(path, tmp_path / "out")
    corpus = load_corpus(str(tmp_path / "out"))
    by_split = [{corpus.texts[i] for i in range(len(corpus)) if corpus.splits[i] == split} for split in Split]
    assert not by_split[0] & by_split[1] and not by_split[0] & by_split[2] and not by_split[1] & by_split[2]


@pytest.mark.parametrize("ending", [".xml", ".xml.gz", ".xml.bz2", "multistream"])
def test_every_packing_gives_the_same(tmp_path: Path, dump: Path, ending: str) -> None:
    text = xml_of(PAGES).encode()
    half = len(text) // 2
    packed = {
        ".xml": text,
        ".xml.gz": gzip.compress(text),
        ".xml.bz2": bz2.compress(text),
        "multistream": bz2.compress(text[:half]) + bz2.compress(text[half:]),
    }[ending]
    path = tmp_path / f"other{'.xml.bz2' if ending == 'multistream' else ending}"
    path.write_bytes(packed)
    import_dump(dump, tmp_path / "one", workers=1)
    import_dump(path, tmp_path / "two", workers=3)
    _same(tmp_path / "one", tmp_path / "two")


def _same(one: Path, two: Path) -> None:
    for name in ("topics.jsonl", "passages.jsonl", "links.tsv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_dump_that_is_cut_off_is_named_and_what_was_read_is_kept(dump: Path, tmp_path: Path) -> None:
    whole = dump.read_bytes()
    rng = np.random.default_rng(0)  # what cannot be packed small fills more than one block
    pages = {f"Page {n}": _text(f"Page {n}") + rng.bytes(2_000).hex() for n in range(900)}
    many = bz2.compress(xml_of(pages).encode())
    for data, reached in ((whole[:-20], "cut off"), (many[: len(many) // 2], "cut off after 'Page"), (b"", "cut off")):
        dump.write_bytes(data)
        with pytest.raises(DataError, match=rf"wiki.xml.bz2: the dump is damaged or {reached}"):
            import_dump(dump, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        for piece in (tmp_path / "out.parts").iterdir():
            piece.unlink()
    dump.write_bytes(many[: len(many) // 2])
    done = import_dump(dump, tmp_path / "out", on_error="skip")
    assert "cut off" in done.incomplete
    assert 0 < len(load_corpus(str(tmp_path / "out")).graph) == done.topics < 900


@pytest.mark.parametrize("text", ["no xml at all", "<mediawiki><page><title>A</titl", "<html></html>"])
def test_what_is_no_dump_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wiki.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"wiki.xml: the dump is damaged or cut off at its beginning"):
        import_dump(path, tmp_path / "out")


def test_entities_that_grow_are_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    path = tmp_path / "wiki.xml"
    path.write_text(
        f"<!DOCTYPE mediawiki [{entities}]>{_HEAD}" + _PAGE.format(title="A", ns=0, id=1, redirect="", text="&e9;")
    )
    with pytest.raises(DataError, match="amplification"):
        import_dump(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.xml.BZ2", bz2.compress),
        ("b.xml.zst", zstandard.compress),
        ("c.xml.GZ", gzip.compress),
        ("d.dump", lzma.compress),
        ("e.bz2", gzip.compress),  # called what it is not
        ("f.xml", lambda text: b"\n  " + text),
        ("g.xml", lambda text: b"\xef\xbb\xbf" + text),
    ],
)
def test_a_dump_is_read_whatever_it_is_called(
    name: str, pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgrl.data.wikimedia.dump.ProcessPoolExecutor", InlineExecutor)
    (tmp_path / name).write_bytes(pack(b'<?xml version="1.0"?>' + xml_of({"Logic": _text("Logic")}).encode()))
    assert import_dump(tmp_path / name, tmp_path / "out").topics == 1


@pytest.mark.parametrize(
    ("start", "program"), [(b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"PK\x03\x04", "ZIP"), (b"Rar!\x1a", "RAR")]
)
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_archives_are_refused_with_the_way_out(start: bytes, program: str, on_error: str, tmp_path: Path) -> None:
    (tmp_path / "wiki.xml").write_bytes(start + b"x" * 100)
    with pytest.raises(DataError, match=f"this is a {program} archive; unpack it, and import the XML file in it"):
        import_dump(tmp_path / "wiki.xml", tmp_path / "out", on_error=on_error)
    assert [path.name for path in tmp_path.iterdir()] == ["wiki.xml"]


def test_pieces_of_another_import_are_not_used(dump: Path, tmp_path: Path) -> None:
    broken = dump.read_bytes()[:-20]
    dump.write_bytes(broken)
    with pytest.raises(DataError):
        import_dump(dump, tmp_path / "out")
    with pytest.raises(KgrlError, match=r"out.parts holds the pieces of another import; delete it"):
        import_dump(dump, tmp_path / "out", limit=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(KgrlError, match="holds something already"):
        import_dump(dump, tmp_path / "full")


@pytest.mark.integration
def test_an_import_killed_in_the_middle_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "wiki.xml.bz2"
    pages = {f"Page {n}": _text(f"Page {n}", f" [[Page {n // 2}]] {{{{cite|{n}}}}}" * 20) for n in range(6_000)}
    path.write_bytes(bz2.compress(xml_of(pages).encode()))
    command = [str(Path(sys.executable).with_name("kgrl")), "data", "import-dump", str(path), "--out"]
    for _ in range(3):
        process = subprocess.Popen([*command, str(tmp_path / "parts")], start_new_session=True)
        deadline, before = time.monotonic() + 30, len(list((tmp_path / "parts.parts").glob("*.jsonl")))
        while len(list((tmp_path / "parts.parts").glob("*.jsonl"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "parts").exists()
    subprocess.run([*command, str(tmp_path / "parts")], check=True, stdout=subprocess.DEVNULL)
    import_dump(path, tmp_path / "whole")
    _same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.integration
def test_a_dump_written_by_mediawiki(tmp_path: Path) -> None:
    # MediaWiki cannot have a title with dots between slashes.
    pages = {title: text for title, text in PAGES.items() if title not in {"../../x", "Empty"}}
    site = MediaWikiServer(tmp_path / "wiki", pages)
    site.dump(tmp_path / "wiki.xml")
    result = tmp_path / "out.json"
    assert (
        main(["data", "import-dump", str(tmp_path / "wiki.xml"), "--out", str(tmp_path / "out"), "--json", str(result)])
        == 0
    )
    corpus, done = load_corpus(str(tmp_path / "out")), json.loads(result.read_text())
    titles = {"Logic", "Reasoning", "Mathematics", "数学", "Line", "Bomb", "Main Page"}
    assert set(corpus.graph.titles) == titles
    assert done["topics"] == len(titles) and done["redirects"] == 2
    by_hand = Path(tmp_path / "by-hand.xml")
    by_hand.write_text(xml_of(pages))
    import_dump(by_hand, tmp_path / "same")
    same = load_corpus(str(tmp_path / "same"))
    assert _links(corpus) == _links(same)
    logic = [corpus.of(corpus.graph.index("Logic"), split).texts for split in Split]
    assert logic == [same.of(same.graph.index("Logic"), split).texts for split in Split]
