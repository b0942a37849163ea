"""Learning-curve figures on cases that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.runs.metrics import aulc, continual_metrics, known, smooth, tokens_to_level, tokens_to_target

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


def test_gem_figures_by_the_reference_formulas() -> None:
    """With task i learned in lesson i: BWT = mean_{i<T} (R[T,i] - R[i,i]), FWT = mean_{i>1} (R[i-1,i] - b_i)."""
    rng = np.random.default_rng(0)
    losses = rng.uniform(1, 4, (6, 5))
    r, b = -losses[1:], -losses[0]
    result = continual_metrics(losses, np.arange(1, 6))
    assert result.acc == pytest.approx(r[-1].mean())
    assert result.bwt == pytest.approx(np.mean([r[-1, i] - r[i, i] for i in range(4)]))
    assert result.fwt == pytest.approx(np.mean([r[i - 1, i] - b[i] for i in range(1, 5)]))
    np.testing.assert_allclose(result.forgetting, r.max(axis=0) - r[-1])


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_forgetting_is_never_negative_and_tasks_not_learned_do_not_count(lessons: int, tasks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.uniform(0.5, 5, (lessons + 1, tasks + 1))
    learned_at = np.append(rng.integers(1, lessons + 1, tasks), 0)
    result = continual_metrics(losses, learned_at)
    assert (result.forgetting >= 0).all() and len(result.forgetting) == tasks
    losses[:, -1] = 99
    again = continual_metrics(losses, learned_at)
    assert (result.acc, result.bwt, result.fwt) == (again.acc, again.bwt, again.fwt)
    assert (result.bwt is None) == (learned_at[:-1] == lessons).all()


def test_gem_figures_need_a_task_that_was_learned() -> None:
    with pytest.raises(ValueError, match="at least one"):
        continual_metrics([[3.0], [2.0]], [0])
    with pytest.raises(ValueError, match="rows 1 to 1"):
        continual_metrics([[3.0], [2.0]], [2])


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_one_exam_alone_does_not_reach_a_level() -> None:
    """A share of .5 is reached between the means of the first two exams and of the last two."""
    curve = [(0, 0.0), (100, 0.6), (200, 0.2), (300, 0.9)]
    assert smooth([share for _, share in curve]) == pytest.approx([0.0, 0.3, 0.4, 0.55])
    assert tokens_to_level(curve, 0.5) == pytest.approx(200 + 100 * (0.1 / 0.15))
    assert tokens_to_level(curve, 0.6) is None


def test_what_was_known_by_hand() -> None:
    """200 questions over 2 million tokens: means 0, .3, .6, .45; the last quarter of the budget is not used."""
    curve = [(0, 0.0), (500_000, 0.6), (1_000_000, 0.6), (1_500_000, 0.3)]
    found = known(curve, 2_000_000, asked=200, level=0.15)
    assert found.recall == pytest.approx(0.45) and found.tokens_to_level == pytest.approx(250_000)
    assert found.area == pytest.approx((0.15 + 0.45 + 0.525 + 0.45) / 4)
    assert found.per_million == pytest.approx(0.45 * 200 / 1.5)
    assert found.retained == pytest.approx(0.75)


def test_nothing_recalled_and_nothing_read_have_no_figures() -> None:
    found = known([(0, 0.0)], 100, asked=5)
    assert (found.retained, found.per_million, found.tokens_to_level) == (None, None, None)


@given(SHARES)
def test_figures_of_recall_are_shares(shares: list[float]) -> None:
    """And a later better exam never lowers what is retained."""
    found = known([(100 * at, share) for at, share in enumerate(shares)], 100 * len(shares), asked=10)
    assert 0 <= found.recall <= 1 and 0 <= found.area <= 1 + 1e-9
    assert found.retained is None or 0 <= found.retained <= 1
    again = known([(100 * at, share) for at, share in enumerate([*shares, 1.0, 1.0])], 1_000, asked=10)
    assert again.retained == 1.0
