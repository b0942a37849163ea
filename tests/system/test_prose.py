"""Prose of pages: headings, lists of sources and formulas go, sentences stay whole, in any language."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import cut
from kgrl.system.prose import clean_text


def test_huge_lines_are_cleaned_in_bounded_time() -> None:
    began = time.monotonic()
    cleaned = clean_text("word " * 400_000)
    assert max(map(len, cut(cleaned))) <= 1_000
    assert "".join(cut(clean_text("x" * 2_000_000))) == "x" * 2_000_000
    assert time.monotonic() - began < 30


@given(st.text(max_size=300))
def test_cleaned_text_is_clean_and_stays_as_it_is(text: str) -> None:
    cleaned = clean_text(text)
    assert not any((ord(c) < 32 and c != "\n") or 0xD800 <= ord(c) < 0xE000 for c in cleaned)
    assert clean_text(cleaned) == cleaned


def _formula(letters: str, tex: str) -> str:
    """A formula as TextExtracts gives it: each letter on an indented line, then TeX."""
    indented = "".join(f"        {letter}\n" for letter in letters.split())
    return f"\n\n  \n    \n{indented}      \n    {{\\displaystyle {tex}}}\n  \n\n"


@pytest.mark.parametrize(
    "formula",
    [
        _formula("E = m c 2", "E=mc^{2}"),
        _formula("x", "\\nabla \\times \\left(\\mathbf {J} +{\\frac {a}{b}}\\right)"),
        " E = m c 2 {\\displaystyle E=mc^{2}} ",
        " μ sin x {\\textstyle \\mu \\sin x} ",
    ],
)
def test_formulas_leave_their_sentence_whole(formula: str) -> None:
    text = f"In physics energy is so{formula}and waves are as well."
    assert clean_text(text) == "In physics energy is so and waves are as well."


def test_words_before_a_formula_stay() -> None:
    assert clean_text("Let a mass be a {\\displaystyle a}, which is at rest here.") == (
        "Let a mass be, which is at rest here."
    )
    assert clean_text("It is unclosed {\\displaystyle a}{ and goes on as it did before.").startswith("It is unclosed")


@pytest.mark.parametrize("heading", ["See also", "Einzelnachweise", "Примечания", "関連項目", "같이 보기", "المراجع"])
def test_appendices_are_left_out_with_what_they_list(heading: str) -> None:
    listed = "Smith, Ada (1990). A long title of a book about the history of logic. London."
    text = f"Logic is old.\n\n== {heading} ==\n{listed}\n=== More ===\n{listed}\n== History ==\nIt began early."
    assert clean_text(text) == "Logic is old.\n\nIt began early."


@pytest.mark.parametrize("ending", [".", "。", "؟", "।", "։", "።", "។", "»", ".“", "！」"])
def test_short_sentences_of_every_script_stay(ending: str) -> None:
    line = f"Логика{'.' if ending == '»' else ''}{ending}"
    assert clean_text(f"{line}\nHeading") == line
