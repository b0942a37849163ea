"""Matching: for each topic of interest another as similar, as popular and of the same category, but not linked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["CALIPERS", "Calipers", "Covariates", "match_pairs", "standardised_difference"]

FloatArray = NDArray[np.float64]

_NEVER = 1e6
"""The cost of a pair outside the calipers: above any sum of costs inside."""


@dataclass(frozen=True)
class Covariates:
    """What topics are matched on.

    Args:
        cosine: The cosine of each topic's embedding to what is learned, shape `[n]`.
        log_degree: The natural logarithm of 1 plus the number of its links, shape `[n]`.
        category: The number of its category, shape `[n]`.
    """

    cosine: FloatArray
    log_degree: FloatArray
    category: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cosine)

    def take(self, rows: NDArray[np.int64]) -> Covariates:
        """Return those of some topics, by position."""
        return Covariates(self.cosine[rows], self.log_degree[rows], self.category[rows])


@dataclass(frozen=True)
class Calipers:
    """How far the two of a pair may be apart.

    Args:
        cosine: Most difference of the cosines.
        log_degree: Most difference of the logarithms of degrees.
        category: Whether they are of one category.
    """

    cosine: float
    log_degree: float
    category: bool


CALIPERS = Calipers(cosine=0.05, log_degree=float(np.log(2)), category=True)
"""Degrees differ by a factor of two at most; cosines of a topic to others of an encyclopaedia spread by about 0.1."""


def match_pairs(treated: Covariates, pool: Covariates, calipers: Calipers = CALIPERS) -> NDArray[np.int64]:
    """Match each topic to one of a pool, no two to the same, as many as can be, and then as near as can be.

    Nearness is the root of the summed squares of the differences of cosine and log-degree, each in units of its caliper
    in `CALIPERS`.

    Args:
        treated: The topics to match.
        pool: Those that they are matched to.
        calipers: How far the two of a pair may be apart.

    Returns:
        Positions in the pool, -1 for topics that nothing within the calipers is left for, int64 of shape `[treated]`.

    Example:
        >>> linked = Covariates(np.array([0.5, 0.9]), np.zeros(2), np.zeros(2, int))
        >>> others = Covariates(np.array([0.1, 0.47, 0.52]), np.zeros(3), np.zeros(3, int))
        >>> match_pairs(linked, others).tolist()
        [2, -1]
    """
    found = np.full(len(treated), -1, dtype=np.int64)
    if not len(treated) or not len(pool):
        return found
    cosine = np.abs(treated.cosine[:, None] - pool.cosine)
    degree = np.abs(treated.log_degree[:, None] - pool.log_degree)
    allowed = (cosine <= calipers.cosine) & (degree <= calipers.log_degree)
    if calipers.category:
        allowed &= treated.category[:, None] == pool.category
    cost = np.hypot(cosine / CALIPERS.cosine, degree / CALIPERS.log_degree)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, _NEVER))
    kept = allowed[rows, columns]
    found[rows[kept]] = columns[kept]
    return found


def standardised_difference(ours: FloatArray, theirs: FloatArray) -> float:
    """Return the difference of two means in units of the pooled standard deviation; 0 where nothing varies.

    Example:
        >>> round(standardised_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0])), 3)
        0.707
    """
    spread = (
        float(np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 2)) if min(len(ours), len(theirs)) > 1 else 0.0
    )
    return float(ours.mean() - theirs.mean()) / spread if spread else 0.0
