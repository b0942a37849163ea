"""Display: the expression that makes an object, counts, and tables in which text stays text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.system.display import constructor_text, count_text, html_table, options_of, title_text
from tests.support.html_page import Page


class Made:
    def __init__(self, size: int, *, rate: float = 0.5, name: str = "x", drop: Any = None) -> None:
        self.size, self.rate, self.name = size, rate, name


class Bare: ...


def test_the_expression_has_the_arguments_that_are_kept() -> None:
    assert constructor_text(Made(3, rate=1.0)) == "Made(size=3, rate=1.0, name='x')"
    assert constructor_text(Bare()) == "Bare()"


@pytest.mark.parametrize(
    ("made", "changed"),
    [
        (Made(3), {"size": 3}),
        (Made(3, rate=0.25, name="x"), {"size": 3, "rate": 0.25}),
        (Made(0, rate=1), {"size": 0, "rate": 1}),
    ],
)
def test_options_that_have_their_default_can_be_left_out(made: Made, changed: dict[str, Any]) -> None:
    assert options_of(made, changed=True) == changed


def test_an_array_is_compared_with_no_default() -> None:
    made = Made(np.arange(3))  # type: ignore[arg-type]
    assert list(options_of(made, changed=True)) == ["size"]


@pytest.mark.parametrize(("count", "text"), [(0, "0 topics"), (1, "1 topic"), (1_234, "1,234 topics")])
def test_counts_have_their_noun(count: int, text: str) -> None:
    assert count_text(count, "topic") == text


@given(st.text())
def test_a_title_is_one_short_line(title: str) -> None:
    shown = title_text(title)
    assert len(shown.splitlines()) == 1 and len(shown) <= 60


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(caption: str, head: str, cell: str) -> None:
    page = Page(html_table(caption, [head], [[cell], [1.5]]))
    assert [tag for tag, _ in page.elements] == [
        "table",
        "caption",
        "thead",
        "tr",
        "th",
        "tbody",
        "tr",
        "td",
        "tr",
        "td",
    ]


def test_cells_are_texts_numbers_and_gaps() -> None:
    page = Page(html_table("", ["a", "b", "c", "d"], [["<i>", 12_345, 0.123456, None]]))
    assert page.text == "abcd<i>12,3450.1235"
    assert len(Page(html_table("", ["a"], [["x" * 10_000]])).text) < 300
