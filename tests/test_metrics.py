"""Learning-curve figures on cases that can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.metrics import aulc, tokens_to_target

losses = st.lists(st.floats(0.1, 10), min_size=2, max_size=10)


def test_aulc_of_a_straight_line_is_its_middle() -> None:
    assert aulc([(0, 4.0), (50, 3.0), (100, 2.0)], 100) == pytest.approx(3.0)


def test_an_early_end_keeps_its_last_loss() -> None:
    assert aulc([(0, 4.0), (100, 2.0)], 400) == pytest.approx((3.0 * 100 + 2.0 * 300) / 400)


@given(losses)
def test_aulc_lies_between_the_losses(values: list[float]) -> None:
    curve = [(100 * i, loss) for i, loss in enumerate(values)]
    assert min(values) - 1e-9 <= aulc(curve, curve[-1][0]) <= max(values) + 1e-9


def test_aulc_needs_the_start() -> None:
    with pytest.raises(ValueError, match="0 tokens"):
        aulc([(10, 4.0)], 100)


@given(losses, st.floats(0.1, 10))
def test_tokens_to_target_is_where_the_curve_first_gets_there(values: list[float], target: float) -> None:
    curve = [(100 * i, loss) for i, loss in enumerate(values)]
    tokens = tokens_to_target(curve, target)
    assert (tokens is None) == (min(values) > target)
    if tokens is not None and tokens > 0:
        before = int(tokens // 100)
        assert all(loss > target for _, loss in curve[: before if tokens % 100 == 0 else before + 1])
