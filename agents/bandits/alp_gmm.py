"""Absolute learning progress in topic-embedding space, modelled by a Gaussian mixture (Portelas et al. 2019)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.agents.bandits.arms import payoff
from kgrl.agents.base import BaseAgent, agents, check_setting
from kgrl.curriculum.view import View
from kgrl.expansion import Expansion
from kgrl.system.memo import keep_recent

__all__ = ["AlpGmm", "Mixture", "fit_mixture", "principal_coordinates"]

Array = NDArray[np.float64]

_MOST_FOR_COMPONENTS = 4096
"""Number of topics that the principal components are computed from; those of a larger graph are sampled at equal
distances."""
_LEAST_VARIANCE = 1e-9
"""Principal components of less variance are rounding errors and are dropped."""
_FIT: dict[str, Any] = {"tol": 0.01, "reg_covar": 1e-4, "max_iter": 30, "init_params": "k-means++", "random_state": 0}
"""Settings of the mixture's fit. It takes a third of the time of the library's defaults; points are few and noisy."""
_FEWEST_COMPONENTS = 2


class Mixture(NamedTuple):
    """Gaussian components over a point's coordinates and, in the last column, its learning progress.

    Args:
        means: `[components, dimensions + 1]`.
        covariances: `[components, dimensions + 1, dimensions + 1]`.
    """

    means: Array
    covariances: Array

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw a component in proportion to its mean progress, and a point from it, shape `[dimensions]`.

        If no component has made progress, the component is drawn uniformly.

        Args:
            rng: Draws both.
        """
        worth = np.maximum(self.means[:, -1], 0.0)
        chances = worth / worth.sum() if worth.sum() > 0 else np.full(len(worth), 1 / len(worth))
        drawn = rng.choice(len(chances), p=chances)
        mean, covariance = self.means[drawn, :-1], self.covariances[drawn, :-1, :-1]
        # Factored by hand: NumPy's multivariate_normal warns of rounding if the points lie in a plane.
        values, vectors = np.linalg.eigh(covariance)
        point: Array = mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(mean)))
        return point


def fit_mixture(points: Array, k_max: int) -> Mixture:
    """Fit a Gaussian mixture of 2 to `k_max` components, their number chosen by Akaike's information criterion.

    Args:
        points: The points, `[n, columns]`, at least two rows.
        k_max: Most components. Fewer are tried if there are few rows, so that each component has more rows than
            columns: a component of a single row would be infinitely likely.

    Example:
        >>> two_heaps = np.repeat([[0.0, 0.0], [9.0, 1.0]], 6, axis=0) + np.tile([[0.1, 0.0], [0.0, 0.1]], (6, 1))
        >>> np.sort(fit_mixture(two_heaps, 2).means[:, 0]).round(2).tolist()
        [0.05, 9.05]
    """
    from sklearn.mixture import GaussianMixture  # takes a second to import, and only this agent needs it

    fits: list[tuple[float, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence and of few distinct points; the criterion decides
        most = min(k_max, max(_FEWEST_COMPONENTS, len(points) // (points.shape[1] + 1)))
        for k in range(_FEWEST_COMPONENTS, most + 1):
            mixture = GaussianMixture(k, **_FIT).fit(points)
            fits.append((float(mixture.aic(points)), mixture))
    best = min(fits, key=lambda fit: fit[0])[1]
    return Mixture(best.means_, best.covariances_)


@keep_recent(8)
def principal_coordinates(embeddings: NDArray[np.float32], dimensions: int) -> Array:
    """Return the first principal components of embeddings, each scaled to unit variance, `[topics, dimensions]`.

    The results of the last few calls are kept.

    Args:
        embeddings: Topic embeddings, `[topics, columns]`; rows of zeros, of topics without text, are left out.
        dimensions: Number of components; fewer are returned if fewer vary.

    Example:
        >>> line = np.array([[1, 0], [2, 0], [3, 0]], dtype=np.float32)
        >>> np.abs(principal_coordinates(line, 2)).round(2).tolist()
        [[1.22], [0.0], [1.22]]
    """
    there = np.flatnonzero(embeddings.any(axis=1))
    sample = embeddings[there[:: max(1, len(there) // _MOST_FOR_COMPONENTS)]].astype(np.float64)  # [sample, columns]
    if not len(sample):
        return np.empty((len(embeddings), 0))
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh((sample - mean).T @ (sample - mean) / len(sample))
    largest = np.argsort(-variances)[:dimensions]
    kept = largest[variances[largest] > _LEAST_VARIANCE]
    coordinates: Array = (embeddings - mean) @ directions[:, kept] / np.sqrt(variances[kept])
    coordinates.flags.writeable = False
    return coordinates


@agents.register("alp-gmm")
class AlpGmm(BaseAgent):
    """ALP-GMM (Portelas et al. 2019): the candidate nearest to a point drawn where learning progress is large.

    After an expansion with payoff r, the absolute learning progress (ALP) of its topic is |r - r'|, where r' is the
    payoff of the earlier pick with the largest cosine to it. Every `refit` expansions, a mixture of Gaussians is fitted
    to the picks' coordinates and ALP. A choice draws a component in proportion to its mean ALP, draws a point from it,
    and picks the candidate nearest to the point. A share of the choices, and all before the first fit, is uniform over
    the candidates.

    The payoff is progress per thousand tokens, see `kgrl.agents.bandits.arms.payoff`. Coordinates are the first
    principal components of the topic embeddings, each scaled to unit variance. In a fit, ALP is divided by its root
    mean square, so that all columns have about the same scale.

    Args:
        random: Share of choices that are uniform.
        refit: Expansions between two fits; a budget of the benchmark is some 20 expansions.
        window: Number of latest expansions that a fit reads.
        k_max: Most components of the mixture; at least 2.
        dimensions: Number of coordinates of a topic.

    Raises:
        SettingError: If an argument is out of range.
    """

    def __init__(
        self, random: float = 0.2, refit: int = 5, window: int = 200, k_max: int = 10, dimensions: int = 4
    ) -> None:
        import sklearn.mixture  # noqa: F401 - takes a second; here it is not part of the curriculum's first fit

        check_setting("random", random, 0, 1)
        for name, value in (("refit", refit), ("window", window), ("k_max", k_max)):
            check_setting(name, value, _FEWEST_COMPONENTS)
        check_setting("dimensions", dimensions, 1)
        self.random, self.refit, self.window, self.k_max = random, refit, window, k_max
        self.dimensions = dimensions

    def reset(self, view: View) -> None:
        """Compute the topics' coordinates, and forget all picks."""
        self._embeddings = view.embeddings
        self._coordinates = principal_coordinates(view.embeddings, self.dimensions)
        self._picks: list[int] = []
        self._payoffs: list[float] = []
        self._alp: list[float] = []
        self._mixture: Mixture | None = None
        self._fitted = 0

    def observe(self, expansion: Expansion) -> None:
        """Record the learning progress of the pick.

        Raises:
            SettingError: If the record holds neither a reward nor a gain.
        """
        topic, paid = expansion.topic, payoff(expansion)
        if self._picks:
            nearest = int(np.argmax(self._embeddings[self._picks] @ self._embeddings[topic]))
            self._alp.append(abs(paid - self._payoffs[nearest]))
        else:
            self._alp.append(0.0)
        self._picks.append(topic)
        self._payoffs.append(paid)

    def choose(self, view: View) -> int:
        """Return the candidate nearest to a point drawn from the mixture, or a uniform one."""
        candidates = view.candidates
        mixture = self._latest()
        if mixture is None or view.rng.random() < self.random:
            return int(view.rng.choice(candidates))
        distances = np.linalg.norm(self._coordinates[candidates] - mixture.draw(view.rng), axis=1)
        return int(candidates[np.argmin(distances)])

    def _latest(self) -> Mixture | None:
        """The latest mixture, fitted when it is first needed: a resumed run fits one, not all earlier ones."""
        due = len(self._picks) // self.refit * self.refit
        if due > self._fitted:
            rows = slice(max(0, due - self.window), due)
            alp = np.array(self._alp[rows])
            scale = np.sqrt(np.mean(alp**2)) or 1.0
            points = np.column_stack([self._coordinates[self._picks[rows]], alp / scale])
            self._mixture, self._fitted = fit_mixture(points, self.k_max), due
        return self._mixture
