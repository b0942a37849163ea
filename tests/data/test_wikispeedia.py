"""Wikispeedia's archives: read by name, checked by count, cleaned to prose."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Split
from kgrl.data.text.plaintext import clean_article
from kgrl.data.wikispeedia.corpus import load_wikispeedia, raw_name, read_graph, title_of
from kgrl.errors import DataError, MissingDataError

ARTICLES = "# comment\n\n%C3%89mile_Zola\nFrance\nPhysics\nDonation\n"
CATEGORIES = (
    "# comment\n\n%C3%89mile_Zola\tsubject.People.Writers\n%C3%89mile_Zola\tsubject.Art\nPhysics\tsubject.IT_x\n"
)
LINKS = "# comment\n\n%C3%89mile_Zola\tFrance\nFrance\t%C3%89mile_Zola\nFrance\tFrance\n"
PARAGRAPHS = (
    "This is the first of the paragraphs and it says little of note about {name}.",
    "A second one follows, in which {name} is praised for no reason that anybody knows.",
    "The last one of three is about what became of {name} when nobody was looking any more.",
)


def article(name: str) -> str:
    body = "\n\n".join(f"   {paragraph.format(name=name)}" for paragraph in PARAGRAPHS)
    head = f"   #copyright\n\n{name}\n\n2007 Schools Wikipedia Selection. Related subjects: Art;\nPeople\n\n"
    return (
        f'{head}{body}\n\n   Retrieved from " http://en.wikipedia.org/wiki/X"\n   This reference article is mainly.\n'
    )


TEXTS = {f"{raw}.txt": article(raw).encode() for raw in ("%C3%89mile_Zola", "France", "Physics")}


def pack(path: Path, folder: str, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def archives(root: Path, texts: dict[str, bytes] = TEXTS, **tables: str) -> Path:
    """Write small archives of SNAP's layout."""
    content = {"articles": ARTICLES, "categories": CATEGORIES, "links": LINKS} | tables
    graph = {f"{name}.tsv": table.encode("utf-8", "surrogateescape") for name, table in content.items()}
    pack(root / "wikispeedia_paths-and-graph.tar.gz", "wikispeedia_paths-and-graph", graph)
    pack(root / "wikispeedia_articles_plaintext.tar.gz", "plaintext_articles", texts)
    return root


def test_titles_categories_links_and_text_are_read(tmp_path: Path) -> None:
    corpus = load_wikispeedia(archives(tmp_path), counts=(4, 3))
    assert corpus.graph.titles == ("Émile Zola", "France", "Physics", "Donation")
    assert corpus.graph.categories == ("People", "", "IT x", "")
    assert corpus.graph.n_links == 2  # without the link from France to itself
    assert corpus.has(Split.TRAIN).tolist() == [True, True, True, False]
    assert corpus.of(1, Split.TRAIN).texts == [PARAGRAPHS[0].format(name="France")]


def test_the_processed_form_is_the_same_and_follows_the_content(tmp_path: Path) -> None:
    first = load_wikispeedia(archives(tmp_path), counts=(4, 3))
    assert load_wikispeedia(tmp_path, counts=(4, 3)).fingerprint == first.fingerprint
    changed = archives(tmp_path, texts=TEXTS | {"Donation.txt": article("Donation").encode()})
    assert load_wikispeedia(changed, counts=(4, 3)).fingerprint != first.fingerprint


def test_wrong_counts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 4 articles and 3 links, not 4604 and 119882"):
        load_wikispeedia(archives(tmp_path))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"links": "France\tMars\n"}, r"links\.tsv:1: 'Mars' is not an article"),
        ({"links": "France\n"}, r"links\.tsv:1: has 1 columns, not 2"),
        ({"articles": ARTICLES + "France\n"}, r"articles\.tsv:7: the article 'France' is there already"),
        ({"categories": "Mars\tsubject.Space\n"}, r"categories\.tsv:1: 'Mars' is not an article"),
        ({"articles": ARTICLES + "\udcff\n"}, r"articles\.tsv:7: invalid UTF-8"),
        ({"articles": ARTICLES + "A%FF\n"}, r"articles\.tsv:7: the name 'A%FF' stands for bytes that are not UTF-8"),
        ({"articles": ARTICLES + "A%0AB\n"}, r"articles\.tsv:7: the name 'A%0AB' does not stand for one line"),
        ({"articles": ARTICLES + "Fr%61nce\n"}, r"articles\.tsv:7: the article 'Fr%61nce' is there already"),
    ],
)
def test_bad_rows_are_named_or_skipped(tmp_path: Path, tables: dict[str, str], message: str) -> None:
    archives(tmp_path, **tables)
    with pytest.raises(DataError, match=message):
        load_wikispeedia(tmp_path, counts=(4, 3))
    links = 0 if "links" in tables else 3
    assert len(load_wikispeedia(tmp_path, on_error="skip", counts=(4, links)).graph) == 4


def test_text_that_is_not_utf8_is_named_by_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"France\.txt:2: invalid UTF-8"):
        load_wikispeedia(archives(tmp_path, texts=TEXTS | {"France.txt": b"good\n\xff"}), counts=(4, 3))


def test_two_texts_of_an_article_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"plaintext\.tar\.gz: holds two texts of 'France'"):
        load_wikispeedia(
            archives(tmp_path, texts=TEXTS | {"more/France.txt": article("France").encode()}), counts=(4, 3)
        )


def test_nothing_is_extracted_to_paths_that_an_archive_names(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    load_wikispeedia(archives(root, texts=TEXTS | {"../../../evil.txt": b"evil"}), counts=(4, 3))
    assert not list(tmp_path.rglob("evil.txt"))


def test_half_an_archive_is_an_error(tmp_path: Path) -> None:
    path = archives(tmp_path) / "wikispeedia_articles_plaintext.tar.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="not a whole"):
        load_wikispeedia(tmp_path, counts=(4, 3))


def test_a_root_without_archives_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="does not hold"):
        load_wikispeedia(tmp_path)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="_"), min_size=1).filter(
        str.strip
    )
)
def test_raw_names_come_back_as_titles(title: str) -> None:
    assert title_of(raw_name(title)) == title


LONG = "The city was founded by settlers from the north, who built the first wall of it"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (f"   {LONG}\n   around the harbour.", f"{LONG} around the harbour."),
        ("   Population 1,200\n   Area 30 km²\n   Mayor A. Person of the Party of the Town", ""),
        (
            f"   A wall of the old city seen from afar.\n   Enlarge\n   A wall of the old city.\n\n   {LONG}.",
            f"{LONG}.",
        ),
        (f"   {LONG[:70]}.\n   Enlarge\n   {LONG[:70]}.", ""),
        (f"   {LONG[:70]}.\n{'Enlarge':>73}\n   {LONG[:70]}.", ""),
        ("History\n\n   Short.", ""),
        (f"References\n\n   {LONG}.\n\nHistory\n\n   {LONG} again.", f"{LONG} again."),
        (f"     * {LONG}\n       itself.\n     * Name\n    1. Number", f"{LONG} itself."),
        (
            '   Water ( H[2]O) was brought , they say, from " afar" in 1821– 1859.',
            'Water (H2O) was brought, they say, from "afar" in 1821–1859.',
        ),
        ("   SOS Children works in the city. For more information see its page.", ""),
        ("   ^1 This is a note on the whole territory of the old Republic.", ""),
        (f"   {LONG}.\n\n   {LONG}.", f"{LONG}."),
    ],
)
def test_cleaning_keeps_prose_alone(lines: str, expected: str) -> None:
    header = "   #copyright\n\nTown\n\n2007 Schools Wikipedia Selection. Related subjects: Art\n\n"
    assert clean_article(f"{header}{lines}\n") == expected


@pytest.mark.integration
def test_the_real_archives_load_whole(wikispeedia_root: Path) -> None:
    corpus = load_wikispeedia(wikispeedia_root)
    assert len(corpus.graph) == 4604
    lacking = [title for title, has in zip(corpus.graph.titles, corpus.has(Split.TRAIN), strict=True) if not has]
    assert len(lacking) == 6
    assert "Donation" in lacking
    zirconium = corpus.of(corpus.graph.index("Zirconium"), Split.TRAIN).texts
    assert zirconium[0].startswith("Zirconium (IPA:")
    debris = ("Retrieved from", "#copyright", "CAPTION:", "Enlarge ")
    assert sum(any(word in text for word in debris) for text in corpus.texts) < 10  # of some 198,000


@pytest.mark.integration
def test_raw_names_are_those_of_the_archive(wikispeedia_root: Path) -> None:
    with tarfile.open(wikispeedia_root / "wikispeedia_paths-and-graph.tar.gz") as tar:
        file = tar.extractfile("wikispeedia_paths-and-graph/articles.tsv")
        assert file is not None
        names = [line for line in file.read().decode().splitlines() if line and not line.startswith("#")]
    assert [raw_name(title) for title in read_graph(wikispeedia_root).titles] == names
