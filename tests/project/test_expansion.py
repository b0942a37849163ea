"""Expansions survive a round trip through JSON, whatever their titles hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.expansion import Expansion, Measurement

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
