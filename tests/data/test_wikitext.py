"""Wikitext: what is read from it, and what cannot hold a worker up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.wikimedia.wikitext import read_wikitext, redirect_target


def test_text_links_and_categories() -> None:
    article = read_wikitext(
        "{{Infobox|name=[[Hidden]]}}'''Logic''' is ''the'' [[study]] of [[reasoning|sound thought]]."
        "<ref>[[Cited]]</ref>\n"
        "== History ==\n* It is &amp; was [[Old#Part|old]]. [http://example.org a site]\n"
        "{| class=x\n| [[Celled]]\n|}\n[[File:x.png|thumb|A [[caption]]]] [[fr:Logique]] [[:Set_theory]]\n"
        "<!-- [[Unseen]] -->[[Category:Philosophy|*]] [[Kategorie:Denken]]"
    )
    words = "Logic is the study of sound thought. History It is & was old. a site Set_theory"
    assert article.text.split() == words.split()
    assert article.links == ("Study", "Reasoning", "Old", "Set theory")
    assert article.categories == ("Philosophy", "Denken")
    assert not article.disambiguation and not article.plain


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("#REDIRECT [[Set theory]]", "Set theory"),
        ("#redirect: [[set_theory#Axioms|x]]\n{{R from move}}", "Set theory"),
        ("#WEITERLEITUNG [[Menge]]", "Menge"),
        ("#REDIRECT nowhere", None),
        ("Text. #REDIRECT [[A]]", None),
    ],
)
def test_redirects(text: str, target: str | None) -> None:
    assert redirect_target(text) == target


@pytest.mark.parametrize("text", ["A is:\n{{disambiguation}}", "{{Disambig|geo}}", "{{hndis|x}}", "__DISAMBIG__"])
def test_choices_of_others_are_told(text: str) -> None:
    assert read_wikitext(text).disambiguation


@pytest.mark.parametrize(
    "bomb",
    [
        "{{" * 100_000,
        "[[" * 100_000,
        "[[" * 15_000,
        "{{a|" * 15_000,
        "{{a|" * 39 + "}}" * 39,
        "{|\n" * 9_000,
        "<div>" * 15_000,
        "<div>" * 100_000,
        "'''''" * 50_000,
        "[[a|" * 38 + "]]" * 38,
        "word " * 2_000_000,
        "[" * 1_000_000,
        "=" * 200_000,
        "{" * 100_000 + "}" * 100_000,
    ],
    ids=lambda bomb: f"{len(bomb)} of {bomb[:5]!r}",
)
def test_markup_that_was_made_to_be_slow_is_read_all_the_same(bomb: str) -> None:
    began = time.process_time()
    assert "Words" in read_wikitext(f"Words here.\n{bomb}").text
    # Not a measurement: what this is against took minutes, or never ended.
    assert time.process_time() - began < 60


@given(st.text(alphabet="[]{}|='<>/ab\n#*&;:!-", max_size=200))
def test_whatever_is_written_is_read(text: str) -> None:
    article = read_wikitext(text)
    assert all(title and not set(title) & set("[]{}|<>") for title in article.links)
