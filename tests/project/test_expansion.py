"""Expansions survive a round trip through JSON and are shown as text, whatever their titles hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.expansion import Expansion, ExpansionList, Measurement
from tests.support.html_page import Page

losses = st.floats(0, 20, allow_nan=False)


@given(st.text(), st.lists(st.tuples(st.integers(0, 99), losses, losses), min_size=1, max_size=5), losses)
def test_json_round_trip(title: str, rows: list[tuple[int, float, float]], loss: float) -> None:
    topics, before, after = zip(*rows, strict=True)
    step = Expansion(
        1, 7, title, (7, 8), (70,), 50, 50, 100, loss, probes={"self": Measurement(topics, before, after)}, reward=-loss
    )
    line = step.to_json()
    assert "\n" not in line
    assert Expansion.from_json(line) == step


def test_wall_clock_does_not_make_two_expansions_differ() -> None:
    first = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, seconds={"learn": 1.0})
    second = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, seconds={"learn": 2.0})
    assert first == second


def test_a_loss_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, float("nan")).to_json()


def test_a_record_is_one_json_object() -> None:
    record = json.loads(Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2).to_json())
    assert (record["topic"], record["title"], record["tokens"]) == (7, "Logic", 50)


HOSTILE = "<script>alert(1)</script>\n\"><img src=x onerror=alert(1)> & 'so' on"


def steps_of(count: int, title: str = "Logic", reward: float | None = None) -> ExpansionList:
    probe = {"mean": Measurement((7,), (4.0,), (3.5,))}
    return ExpansionList(
        Expansion(i, 7, title, (7, 8), (70,), 1_050, 1_050 * (i + 1), 90_000, 3.25, probe if i else {}, reward=reward)
        for i in range(count)
    )


def test_a_record_is_shown_on_one_short_line() -> None:
    assert repr(steps_of(1)[0]) == "Expansion(0, 'Logic', 2 topics, 1,050 tokens, training loss 3.25)"
    assert repr(steps_of(1, reward=-0.5)[0]).endswith("training loss 3.25, reward -0.5)")
    assert repr(Measurement((), (), ())) == "Measurement(0 topics)"
    for shown in (repr(steps_of(2, HOSTILE * 100)[0]), repr(steps_of(2, HOSTILE * 100))):
        assert "\n" not in shown and len(shown) < 200


def test_a_list_of_expansions_is_a_list() -> None:
    steps = steps_of(5)
    assert steps == list(steps) and isinstance(steps[0], Expansion)
    assert isinstance(steps[1:3], ExpansionList) and steps[1:3] == list(steps)[1:3]
    assert repr(steps) == "ExpansionList(5 expansions from 'Logic' to 'Logic', 5,250 of 90,000 tokens)"
    assert repr(ExpansionList()) == "ExpansionList(0 expansions)"


def test_a_notebook_shows_a_row_for_each_expansion_and_hostile_titles_as_text() -> None:
    page = Page(steps_of(3, HOSTILE, reward=0.125)._repr_html_())
    tags = [tag for tag, _ in page.elements]
    assert tags.count("tr") == 4 and not {"script", "img"} & set(tags)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 3
    assert "mean gain" in page.text and "reward" in page.text and "0.125" in page.text
    assert "reward" not in Page(steps_of(3)._repr_html_()).text


def test_the_middle_of_a_long_list_is_cut_out() -> None:
    page = Page(steps_of(1_000)._repr_html_())
    assert [tag for tag, _ in page.elements].count("tr") == 1 + 20 + 1 + 20
    assert "960 more" in page.text
    assert [tag for tag, _ in Page(steps_of(40)._repr_html_()).elements].count("tr") == 1 + 40
    assert [tag for tag, _ in Page(ExpansionList()._repr_html_()).elements].count("tr") == 1
