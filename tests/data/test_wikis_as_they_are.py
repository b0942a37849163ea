"""Wikis of other languages, schemas and habits than the English Wikipedia's are imported as they are."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.data.wikimedia.dump import import_dump
from kgrl.data.wikimedia.dump_join import Imported
from kgrl.data.wikimedia.wiki_site import WikiSite
from kgrl.data.wikimedia.wikitext import read_wikitext, redirect_target


def _prose(name: str) -> str:
    return " ".join(f"{name} has the property {k}, which {name} shares with {k + 5} others." for k in range(12))


def _revision(text: str, when: str = "2024-01-01T00:00:00Z", more: str = "") -> str:
    return f"<revision><id>1</id><timestamp>{when}</timestamp>{more}<text>{escape(text)}</text></revision>"


def _page(title: str, *revisions: str, ns: str = "<ns>0</ns>", more: str = "") -> str:
    return f"<page><title>{title}</title>{ns}<id>1</id>{more}{''.join(revisions)}</page>"


def _imported(folder: Path, body: str, about: str = "", root: str = 'version="0.11"') -> tuple[Imported, Corpus]:
    path = folder / "wiki.xml"
    path.write_text(f"<mediawiki {root}><siteinfo>{about}</siteinfo>{body}</mediawiki>", encoding="utf-8")
    done = import_dump(path, folder / "out", workers=1)
    return done, load_corpus(str(folder / "out"))


def test_one_dump_with_many_oddities(tmp_path: Path) -> None:
    # One import for all, since each starts processes.
    about = '<case>first-letter</case><namespaces><namespace key="0"/><namespace key="14">Luokka</namespace>'
    about += '<namespace key="8">Järjestelmäviesti</namespace><namespace key="10">Malline</namespace></namespaces>'
    body = "".join(
        (
            _page(
                "Kissa",
                _revision(_prose("Koira"), "2001-01-01T00:00:00Z"),
                _revision(_prose("Kissa") + " [[luokka:Eläimet]] [[Re:Zero]]", "2020-01-01 10:00"),
                _revision(_prose("Lintu"), "20100101000000"),
            ),
            "<logitem><id>1</id></logitem><surprise>x</surprise>",
            _page("", _revision("x")),
            _page("Re:Zero", _revision(_prose("Zero")), more="<wikiteam>x</wikiteam>"),
            _page("Q42", _revision('{"a": "b"}' * 40, more="<model>wikibase-item</model>")),
            _page("Luettelo", _revision("# Chapter: [[Kissa]]\n" + _prose("Luettelo"))),
            _page("Kuu", _revision(_prose("Kuu") + "{{omamalline}}")),
            _page("Kisu", _revision("#OHJAUS [[Kissa]]"), more="<redirect/>"),
            _page(
                "Järjestelmäviesti:Disambiguationspage",
                _revision("[[Malline:Omamalline]]", more="<model>wikitext</model>"),
                ns="<ns>8</ns>",
            ),
        )
    )
    done, corpus = _imported(tmp_path, body, about)
    assert corpus.graph.titles == ("Kissa", "Re:Zero", "Luettelo")
    assert corpus.graph.categories[0] == "Eläimet"
    assert corpus.texts[0].startswith("Kissa has") and not any("Lintu" in text for text in corpus.texts)
    assert done.redirects == 1
    assert done.left_out == {
        "a log entry": 1,
        "unknown element <surprise>": 1,
        "no title": 1,
        "unknown element <wikiteam>": 1,
        "content model wikibase-item": 1,
        "another namespace": 1,
        "disambiguation": 1,
    }


def test_a_case_sensitive_wiki_of_an_old_schema(tmp_path: Path) -> None:
    about = "<case>case-sensitive</case><namespaces><namespace key='1'>Diskussion</namespace></namespaces>"
    body = "".join(
        (
            _page("polish", _revision(_prose("polish") + " [[Polish]]"), ns=""),
            _page("Polish", _revision(_prose("Polish") + " [[Glanz]]"), ns=""),
            _page("Diskussion:Polish", _revision(_prose("Talk")), ns=""),
            _page("Glanz", _revision("#WEITERLEITUNG [[polish]]"), ns=""),
        )
    )
    done, corpus = _imported(tmp_path, body, about, 'version="0.3"')
    assert corpus.graph.titles == ("polish", "Polish")
    assert corpus.graph.n_links == 2
    assert done.left_out == {"another namespace": 1} and done.redirects == 1


@pytest.mark.parametrize(
    "text",
    [
        "{{Begriffsklärung}}",
        "{{неоднозначность}}",
        "{{ 曖昧さ回避 }}",
        "{{Desambiguação|x}}",
        "{{airport_disambiguation}}",
        "{{Template:Disambig}}",
        "[[Category:Disambiguation pages]]",
        "[[Kategorie:Begriffsklärung]]",
    ],
)
def test_disambiguation_pages_of_many_wikis(text: str) -> None:
    assert read_wikitext(f"This may be:\n* [[A]]\n{text}").disambiguation


@pytest.mark.parametrize(
    "text",
    [
        "{{Begriffsklärungshinweis}}",
        "[[A]]{{disambiguation needed|date=May}}",
        "{{Dablinks}}",
        "<nowiki>{{disambiguation}} __DISAMBIG__</nowiki>",
        "<!-- {{disambig}} -->",
        "<pre>{{Homonymie}}</pre>",
        "[[Category:Articles with links needing disambiguation]]",
    ],
)
def test_articles_that_mention_disambiguation_are_articles(text: str) -> None:
    assert not read_wikitext(text).disambiguation


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A [[wikt:curse|curse]].", "A curse."),
        ("In [[:fr:Tours|Tours]].", "In Tours."),
        ("All [[:Category:Rivers|rivers]].", "All rivers."),
        ("See [[Help:IPA|the key]].", "See the key."),
        ("[[ru:Логика]]Logic", "Logic"),
        ("[[Datei:x.png|mini|hidden]]Logik", "Logik"),
        ("__NOTOC__Iron is __init__.", "Iron is __init__."),
        ('<mapframe latitude="1">{"a": 1}</mapframe>Prose<style>.a{}</style>.', "Prose."),
        ("<imagemap>\nFile:X.jpg\nrect 0 0 1 1 [[X]]\n</imagemap>Prose.", "Prose."),
        ("[[CSI:Miami]] runs.", "CSI:Miami runs."),
    ],
)
def test_links_show_their_words_unless_they_show_nothing(text: str, shown: str) -> None:
    assert read_wikitext(text).text == shown


@pytest.mark.parametrize(
    ("name", "language"),
    [("Categorie", "nl"), ("Kategori", "sv"), ("Категорія", "uk"), ("分类", "zh"), ("קטגוריה", "he"), ("תגית", "x")],
)
def test_categories_are_named_by_the_site(name: str, language: str) -> None:
    site = WikiSite(language, {name: 14})
    assert read_wikitext(f"x [[{name}:Q w]] [[Category:E]]", site).categories == ("Q w", "E")


@pytest.mark.parametrize("target", ["AT&amp;T", "AT%26T", "\u200eAT&T", "_AT&T_"])
def test_targets_are_read_as_they_are_meant(target: str) -> None:
    assert read_wikitext(f"[[{target}]]").links == ("AT&T",)


@pytest.mark.parametrize(
    ("language", "written", "title"),
    [("tr", "insan", "İnsan"), ("en", "insan", "Insan"), ("ka", "თბილისი", "თბილისი"), ("de", "ßa", "ßa")],
)
def test_capital_letters_are_those_of_the_language(language: str, written: str, title: str) -> None:
    assert WikiSite(language).title(written) == title


@pytest.mark.parametrize("word", ["重定向", "転送", "पुनर्प्रेषित", "เปลี่ยนทาง", "перенаправление", "YÖNLENDİRME", "تحويل"])
def test_words_that_redirect(word: str) -> None:
    assert redirect_target(f"#{word} [[Logic]]") == "Logic"
    assert redirect_target("# Chapter: [[Logic]]") is None
    assert redirect_target("#Whatever [[Logic]]", certain=True) == "Logic"
