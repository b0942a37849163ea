"""Statistics of comparisons: invariants, cases worked by hand, and the values that rliable publishes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kgrl.benchmark.statistics import (
    bootstrap_interval,
    efficiency_curve,
    interquartile_mean,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    speedup,
    verdict,
)

numbers = st.floats(-100, 100)
runs = st.lists(numbers, min_size=1, max_size=6)
tasks = st.lists(runs, min_size=1, max_size=4)
paired_tasks = st.lists(st.tuples(runs, runs), min_size=1, max_size=4)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8)
tokens = st.one_of(st.none(), st.floats(1, 1000))
few = settings(max_examples=25, deadline=None)

# The scores of rliable's own tests (Apache-2.0, tests/rliable/metrics_test.py), here as one array for each task, and
# what those tests expect of them: interquartile means of 1.5 and 2, and 1/3 for the probability of improvement.
RLIABLE_X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]).T
RLIABLE_Y = np.array([[1, 1], [2, 2], [3, 3]]).T


def test_interquartile_mean_of_rliables_scores() -> None:
    assert interquartile_mean(list(RLIABLE_X)) == 1.5
    assert interquartile_mean(list(RLIABLE_Y)) == 2.0


def test_probability_of_improvement_of_rliables_scores() -> None:
    assert probability_of_improvement(list(RLIABLE_X), list(RLIABLE_Y)).value == pytest.approx(1 / 3)


def test_intervals_of_rliables_larger_case_hold_the_value_strictly() -> None:
    scores = np.arange(80).reshape(5, 16)  # tests/library_test.py: 5 runs of 16 tasks, and the same upside down
    iqm = bootstrap_interval(list(scores.T))
    assert iqm.low < iqm.value < iqm.high
    improvement = probability_of_improvement(list(scores.T), list(scores[::-1].T))
    assert improvement.low < improvement.value == 0.5 < improvement.high


@given(tasks)
def test_interquartile_mean_lies_between_the_scores_and_ignores_their_order(scores: list[list[float]]) -> None:
    flat = [score for task in scores for score in task]
    value = interquartile_mean(scores)
    assert min(flat) - 1e-9 <= value <= max(flat) + 1e-9
    assert value == pytest.approx(interquartile_mean([flat[::-1]]), abs=1e-9)


@few
@given(tasks, st.integers(0, 5))
def test_a_bootstrap_interval_holds_its_value(scores: list[list[float]], seed: int) -> None:
    interval = bootstrap_interval(scores, draws=40, seed=seed)
    assert interval.low <= interval.value <= interval.high


def test_an_interval_is_widened_to_a_statistic_that_no_draw_reaches() -> None:
    interval = bootstrap_interval([np.arange(20)], lambda strata: float(len(np.unique(strata[0]))))
    assert interval.low < interval.value == interval.high == 20


def test_the_bootstrap_draws_within_tasks_only() -> None:
    apart = bootstrap_interval([[0.0, 0.0], [10.0, 10.0]])
    together = bootstrap_interval([[0.0, 0.0, 10.0, 10.0]])
    assert (apart.low, apart.high) == (5.0, 5.0)
    assert (together.low, together.high) == (0.0, 10.0)


def test_the_bootstrap_agrees_with_scipys() -> None:
    scores = np.random.default_rng(3).normal(size=40)
    ours = bootstrap_interval([scores], lambda strata: float(strata[0].mean()), draws=5000)
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_more_confidence_is_wider() -> None:
    scores = [list(np.random.default_rng(0).normal(size=20))]
    narrow, wide = bootstrap_interval(scores, level=0.5), bootstrap_interval(scores, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@given(tasks, st.lists(numbers, min_size=2, max_size=6))
def test_a_profile_falls_from_one_to_zero(scores: list[list[float]], thresholds: list[float]) -> None:
    profile = performance_profile(scores, [-101, *sorted(thresholds), 100])
    assert profile[0] == 1 and profile[-1] == 0
    assert (np.diff(profile) <= 1e-12).all()


def test_a_profile_weighs_tasks_the_same() -> None:
    assert performance_profile([[1.0], [0.0, 0.0, 0.0]], [0.5, 1.0]).tolist() == [0.5, 0.0]


@few
@given(paired_tasks)
def test_probabilities_of_improvement_add_up_to_one(both: list[tuple[list[float], list[float]]]) -> None:
    x, y = [a for a, _ in both], [b for _, b in both]
    forth, back = probability_of_improvement(x, y), probability_of_improvement(y, x)
    assert forth.value + back.value == pytest.approx(1)
    assert 0 <= forth.low <= forth.value <= forth.high <= 1


def test_probability_of_improvement_is_mann_whitneys_u_with_ties_one_half() -> None:
    x, y = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 1.0]
    expected = stats.mannwhitneyu(x, y).statistic / 12
    assert probability_of_improvement([x], [y]).value == pytest.approx(expected)


def test_both_sides_need_the_same_tasks() -> None:
    with pytest.raises(ValueError, match="1 tasks and Y has 2"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])


@given(pairs)
def test_a_paired_difference_turns_its_sign_with_its_sides(both: list[tuple[float, float]]) -> None:
    ours, baseline = zip(*both, strict=True)
    forth, back = paired_difference(ours, baseline), paired_difference(baseline, ours)
    assert forth.low <= forth.value <= forth.high
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_a_few_seeds_get_students_interval() -> None:
    differences = [0.1, 0.4, 0.2, 0.5]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    interval = paired_difference(differences, [0.0] * 4)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_many_seeds_get_the_bootstraps_interval() -> None:
    skewed = np.random.default_rng(0).exponential(size=30) ** 2
    interval = paired_difference(skewed, np.zeros(30))
    assert interval.high - interval.value > 1.1 * (interval.value - interval.low)


def test_one_seed_has_an_infinite_interval() -> None:
    interval = paired_difference([1.0], [3.0])
    assert (interval.value, interval.low, interval.high) == (-2.0, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("ours", "baseline", "message"),
    [([1.0], [1.0, 2.0], "same seeds"), ([], [], "empty"), ([math.nan], [1.0], "finite"), ([[1.0]], [[1.0]], "shape")],
)
def test_what_cannot_be_paired_is_refused(ours: list[float], baseline: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(ours, baseline)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_is_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        verdict([1.0], [2.0], level)
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval([[1.0, 2.0]], level=level, draws=10)


def test_a_speedup_is_the_geometric_mean_of_ratios() -> None:
    result = speedup([400, 800], [200, 100], budget=1000)  # ratios 2 and 8
    assert result.ratio.value == pytest.approx(4)
    assert (result.censored_baseline, result.censored_ours, result.bound) == (0, 0, "equal")
    logs = stats.ttest_1samp(np.log([2, 8]), 0).confidence_interval(0.95)
    assert (result.ratio.low, result.ratio.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))


@pytest.mark.parametrize(
    ("baseline", "ours", "ratio", "bound"),
    [
        ([None, 400.0], [500.0, 200.0], 2.0, "at least"),
        ([250.0, 500.0], [None, 1000.0], math.sqrt(1 / 8), "at most"),
        ([None, 250.0], [250.0, None], 1.0, "unknown"),
        ([None, None], [None, None], 1.0, "unknown"),
    ],
)
def test_a_censored_run_counts_as_the_budget(
    baseline: list[float | None], ours: list[float | None], ratio: float, bound: str
) -> None:
    result = speedup(baseline, ours, budget=1000)
    assert result.ratio.value == pytest.approx(ratio)
    assert result.bound == bound
    assert (result.censored_baseline, result.censored_ours) == (baseline.count(None), ours.count(None))
    assert (result.ratio.high == math.inf) is (None in baseline)
    assert (result.ratio.low == 0) is (None in ours)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=6), st.sampled_from([0.5, 0.95, 0.9999]))
def test_a_speedup_lies_in_its_interval(both: list[tuple[float | None, float | None]], level: float) -> None:
    baseline, ours = zip(*both, strict=True)
    ratio = speedup(baseline, ours, budget=1000, level=level).ratio
    assert 0 <= ratio.low <= ratio.value <= ratio.high


@pytest.mark.parametrize("wrong", [0.0, 1001.0])
def test_tokens_lie_within_the_budget(wrong: float) -> None:
    with pytest.raises(ValueError, match="budget of 1000"):
        speedup([wrong], [10.0], budget=1000)


def test_an_efficiency_curve_trims_seeds_and_keeps_last_losses() -> None:
    # The outermost of four curves are trimmed; the two in the middle end at 100 tokens.
    curves = [[(0, start), (100, start - 1.0)] for start in (3.0, 4.0, 5.0, 90.0)]
    points = efficiency_curve(curves, [0, 50, 100, 500])
    assert [point.value for point in points] == pytest.approx([4.5, 4.0, 3.5, 3.5])
    assert all(point.low < point.value < point.high for point in points)


def test_an_efficiency_curve_has_the_intervals_of_the_bootstrap() -> None:
    losses = [2.0, 2.5, 3.0, 3.5, 7.0]
    (point,) = efficiency_curve([[(0, loss)] for loss in losses], [10])
    expected = bootstrap_interval([losses])
    assert (point.value, point.low, point.high) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("curves", [[], [[]], [[(10, 3.0)]]])
def test_an_efficiency_curve_needs_the_start(curves: list[list[tuple[int, float]]]) -> None:
    with pytest.raises(ValueError, match="0 tokens"):
        efficiency_curve(curves, [0])


@given(runs)
def test_identical_losses_are_not_distinguishable(losses: list[float]) -> None:
    result = verdict(losses, losses)
    assert (result.word, result.more_seeds, result.difference.value) == ("not distinguishable", None, 0)


@given(pairs)
def test_a_verdict_says_what_its_interval_does(both: list[tuple[float, float]]) -> None:
    ours, baseline = zip(*both, strict=True)
    result = verdict(ours, baseline)
    expected = (
        "better" if result.difference.high < 0 else "worse" if result.difference.low > 0 else "not distinguishable"
    )
    assert result.word == expected
    assert (result.more_seeds == 0) is (expected != "not distinguishable")
    assert result.sentence.startswith(expected.capitalize())


def test_more_seeds_are_the_fewest_that_would_do() -> None:
    differences = np.array([-3.0, 1.0, -2.0, 2.0, -1.5])  # mean -0.7
    result = verdict(differences, np.zeros(5))
    assert result.word == "not distinguishable" and result.more_seeds is not None

    def reach(seeds: int) -> float:
        return float(stats.t.ppf(0.975, seeds - 1) * differences.std(ddof=1) / math.sqrt(seeds))

    total = 5 + result.more_seeds
    assert reach(total) < 0.7 <= reach(total - 1)
    assert f"{result.more_seeds} more seeds" in result.sentence
    assert f"{result.difference.low:.3g} to {result.difference.high:.3g}, 5 paired seeds" in result.sentence


def test_no_feasible_number_of_seeds_is_said() -> None:
    result = verdict([1.0, -1.0, 0.001], [0.0, 0.0, 0.0])
    assert result.more_seeds is None and "over 10,000" in result.sentence
    assert "mean is 0" in verdict([1.0, -1.0], [0.0, 0.0]).sentence


def test_one_seed_needs_two() -> None:
    result = verdict([1.0], [3.0])
    assert (result.word, result.more_seeds) == ("not distinguishable", None)
    assert "two seeds are needed" in result.sentence


def test_worse_is_said_with_its_size() -> None:
    result = verdict([3.0, 3.2, 2.8], [2.0, 2.1, 1.9])
    assert (
        result.sentence == "Worse (difference 1, 95% interval 0.752 to 1.25, 3 paired seeds): the loss is higher by 1."
    )


@pytest.mark.parametrize(
    ("ours", "baseline"), [([2.0, 2.0], [2.001, 2.001]), ([0.3] * 3, [0.1 + 0.2] * 3), ([1.0] * 40, [2.0] * 40)]
)
def test_seeds_that_all_differ_by_the_same_show_no_spread(ours: list[float], baseline: list[float]) -> None:
    result = verdict(ours, baseline)
    assert (result.word, result.more_seeds) == ("not distinguishable", None)
    assert "show no spread" in result.sentence and math.isinf(result.difference.high)
