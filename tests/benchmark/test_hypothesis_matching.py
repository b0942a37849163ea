"""Matching and findings of the hypothesis suite, on cases small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kgrl.benchmark.hypothesis.findings import finding, with_holm
from kgrl.benchmark.hypothesis.plan import Calipers, Covariates, match_pairs, standardised_difference


def covariates(
    cosine: list[float], log_degree: list[float] | None = None, category: list[int] | None = None
) -> Covariates:
    n = len(cosine)
    return Covariates(np.array(cosine), np.array(log_degree or [1.0] * n), np.array(category or [0] * n))


def test_pairs_are_the_nearest_ones() -> None:
    linked, pool = covariates([0.50, 0.70]), covariates([0.69, 0.52, 0.46, 0.10])
    assert match_pairs(linked, pool).tolist() == [1, 0]


def test_no_topic_serves_twice_and_as_many_are_matched_as_can_be() -> None:
    # Both are nearest to 0.50; the second has another within the caliper, the first does not.
    linked, pool = covariates([0.48, 0.51]), covariates([0.50, 0.55])
    assert match_pairs(linked, pool).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (covariates([0.56]), "cosine"),
        (covariates([0.5], log_degree=[1.8]), "degree"),
        (covariates([0.5], category=[1]), "category"),
        (covariates([]), "nobody"),
    ],
)
def test_outside_the_calipers_nobody_is_matched(pool: Covariates, why: str) -> None:
    assert match_pairs(covariates([0.5]), pool).tolist() == [-1], why


def test_wider_calipers_match_the_nearest_whatever_its_category() -> None:
    anything = Calipers(np.inf, np.inf, category=False)
    assert match_pairs(covariates([0.5]), covariates([0.9, 0.8], category=[0, 1]), anything).tolist() == [1]


def test_more_linked_topics_than_controls_leave_some_unmatched() -> None:
    found = match_pairs(covariates([0.5, 0.51, 0.52]), covariates([0.515]))
    assert sorted(found.tolist()) == [-1, -1, 0] and found[0] == -1


def test_what_does_not_vary_has_no_standardised_difference() -> None:
    assert standardised_difference(np.ones(3), np.ones(3)) == 0.0


def test_a_finding_says_on_which_side_its_interval_is() -> None:
    about = ("order", "loss", "vital", "scratch", "seeds")
    words = [finding(values, *about) for values in ([1.0, 1.1, 0.9], [-1.0, -1.1, -0.9], [1.0, -1.1, 0.2])]
    assert [found.word for found in words if found] == ["supported", "contradicted", "not distinguishable"]
    assert words[0] is not None and words[0].standardised == pytest.approx(10.0)
    assert finding([1.0], *about) is None


def test_many_findings_make_each_weaker() -> None:
    about = ("order", "loss", "vital", "scratch", "seeds")
    found = [finding(np.array([1.0, 1.1, 0.9]) * scale + shift, *about) for scale, shift in [(1, 0), (9, 0), (9, -9)]]
    corrected = with_holm([f for f in found if f is not None])
    assert [c.holm >= c.p for c in corrected] == [True] * 3 and corrected[0].holm == pytest.approx(3 * corrected[0].p)
    assert all(c.holm <= 1 for c in corrected)
