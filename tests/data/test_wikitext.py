"""Wikitext: what is read from it, and what cannot hold a worker up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import cut
from kgrl.data.wikimedia.wikitext import read_wikitext, redirect_target
from kgrl.system.prose import clean_text


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
    assert not article.disambiguation


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


_SLOW = (
    '<span class="x ', "\n", "[http://a.org x ", ":", ";a : b\n", "{{", "{{a|", "{{{", "[[", "[[a|", "[[File:a|",
    "<ref", "<ref>", "''", "'''''", "<!--", "-{", "-{zh:", "{|\n", "{|\n|-\n", "<div>", "<table>", "__", "&#1", "=a=\n",
    "!\n", "http://,", "<math>", "<nowiki>", "]", "}}", " ", "\n ", "*", "{\\displaystyle ",
)  # fmt: skip


@pytest.mark.parametrize("mark", _SLOW)
def test_marks_without_end_are_read_in_time_proportional_to_the_text(mark: str) -> None:
    text = "Words here are more than eight, so that they are prose.\n" + mark * (200_000 // len(mark))
    began = time.process_time()
    article = read_wikitext(text)
    assert "Words" in article.text and cut(clean_text(article.text))
    # Not a measurement: what this is against takes minutes.
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("opens", "closes"),
    [("{{a|", "}}"), ("[[a|", "]]"), ("{{{", "}}}"), ("-{zh:", "}-"), ("{|\n", "\n|}"), ("<div>", "</div>")],
)
def test_nesting_is_read_in_time_proportional_to_the_text(opens: str, closes: str) -> None:
    many = 200_000 // len(opens + closes)
    began = time.process_time()
    assert "Words" in read_wikitext("Words here.\n" + opens * many + "x" + closes * many).text
    assert time.process_time() - began < 10


@given(st.text(alphabet="[]{}|='<>/ab\n#*&;:!-", max_size=200))
def test_whatever_is_written_is_read(text: str) -> None:
    article = read_wikitext(text)
    assert all(title and not set(title) & set("[]{}|<>") for title in article.links)
