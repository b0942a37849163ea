"""Bandits that follow learning progress: teacher-student curriculum learning and absolute learning progress."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from kgrl.agents.bandits.arms import ArmBandit, Floats, Mask, RunningScale, payoff, softmax
from kgrl.agents.base import agents, check_setting
from kgrl.errors import SettingError
from kgrl.expansion import Expansion

__all__ = ["LearningProgress", "TeacherStudent"]

Variant = Literal["online", "window", "sampling"]


@agents.register("tscl")
class TeacherStudent(ArmBandit):
    """Teacher-student curriculum learning (Matiisen et al. 2017): prefers arms whose scores change most, up or down.

    The payoff is the change of an arm's score by a pull, so the score is the sum of the arm's payoffs. Variants:

    - `online`: Q_a <- alpha payoff + (1 - alpha) Q_a.
    - `window`: Q_a is the slope of the regression of the arm's last scores over the number of its pulls.
    - `sampling`: each arm draws one of its last payoffs; the arm with the largest absolute draw is pulled.

    For the first two, an arm's chance is in proportion to exp(|Q_a| / (temperature max |Q|)). The paper does not divide
    by max |Q|. Payoffs differ between learners and rewards by orders of magnitude, and one temperature would fit only
    one of them. An arm never pulled counts as one of the largest; the paper does so for `sampling`.

    Args:
        variant: The estimate of Q.
        alpha: Weight of a new payoff in Q, `online` only.
        temperature: Temperature of the Boltzmann distribution, in units of max |Q|; not for `sampling`.
        window: Number of latest payoffs of an arm that are kept; not for `online`.

    Raises:
        SettingError: If one of them is out of range.
    """

    def __init__(
        self, variant: Variant = "online", alpha: float = 0.1, temperature: float = 0.2, window: int = 10
    ) -> None:
        if variant not in ("online", "window", "sampling"):
            raise SettingError(f"variant must be online, window or sampling, not {variant!r}")
        check_setting("alpha", alpha, 0, 1, above=True)
        check_setting("temperature", temperature, 0, above=True)
        check_setting("window", window, 1)
        self.variant, self.alpha, self.temperature, self.window = variant, alpha, temperature, window

    def begin(self, n: int) -> None:
        """Forget all payoffs."""
        self._q, self._pulled = np.zeros(n), np.zeros(n, dtype=bool)
        self._payoffs: list[deque[float]] = [deque(maxlen=self.window) for _ in range(n)]

    def distribution(self, available: Mask) -> Floats:
        """Return the Boltzmann distribution, or the chances of drawing the largest payoff."""
        chances = np.zeros(len(self._q))
        if self.variant == "sampling":
            new = np.array([np.inf])  # an arm never pulled wins against all that were
            arms = np.flatnonzero(available)
            draws = [np.abs(self._payoffs[arm]) if self._pulled[arm] else new for arm in arms]
            chances[available] = largest_chances(draws)
        else:
            sizes = np.abs(self._q)
            sizes[~self._pulled] = sizes.max()
            # `or 1.0`: before any payoff all sizes are 0.
            chances[available] = softmax(sizes[available] / (sizes.max() or 1.0) / self.temperature)
        return chances

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Update the arm's Q with the payoff."""
        gained = payoff(expansion)
        self._pulled[arm] = True
        self._payoffs[arm].append(gained)
        if self.variant == "window":
            self._q[arm] = slope(self._payoffs[arm])
        else:
            self._q[arm] += self.alpha * (gained - self._q[arm])


def slope(changes: deque[float]) -> float:
    """Return the slope of the least-squares line through an arm's scores, given the changes from one to the next.

    The first score is 0. Unit: score per pull.

    Example:
        >>> slope(deque([1.0, 2.0, 3.0]))
        2.0
    """
    scores = np.concatenate([[0.0], np.cumsum(changes)])
    times = np.arange(len(scores)) - len(changes) / 2  # centred, so the scores need not be
    return float(times @ scores / (times @ times))


def largest_chances(draws: list[Floats]) -> Floats:
    """Return the probability that each arm's draw is the largest, if each arm draws one of its numbers uniformly.

    The result is exact. Of equal draws each wins with the same probability.

    Args:
        draws: The numbers of each arm, one array for each arm.

    Returns:
        Probabilities, `[arms]`.

    Example:
        >>> largest_chances([np.array([1.0, 3.0]), np.array([2.0]), np.array([2.0])]).tolist()
        [0.5, 0.25, 0.25]
    """
    # Give each draw a tie-breaker x, uniform from 0 to 1: it beats an equal draw with probability x. The probability of
    # beating all other arms is a polynomial in x of degree below the number of arms, so Gauss-Legendre quadrature with
    # half as many points gives its mean over x exactly.
    points, weights = np.polynomial.legendre.leggauss(len(draws) // 2 + 1)
    points, weights = (points + 1) / 2, weights / 2
    numbers, counts = np.concatenate(draws), np.array([len(own) for own in draws])
    starts, owners = np.cumsum(counts) - counts, np.repeat(np.arange(len(draws)), counts)
    # The share of each arm's numbers that are smaller than, or equal to, each number, [numbers, arms].
    smaller = np.add.reduceat(numbers < numbers[:, None], starts, axis=1, dtype=np.float64) / counts
    equal = np.add.reduceat(numbers == numbers[:, None], starts, axis=1, dtype=np.float64) / counts
    beaten = smaller[..., None] + equal[..., None] * points  # [numbers, arms, points]
    beaten[np.arange(len(numbers)), owners] = 1.0  # an arm does not compete with itself
    chances: Floats = np.add.reduceat(beaten.prod(axis=1) @ weights, starts) / counts
    return chances


@agents.register("alp")
class LearningProgress(ArmBandit):
    """Absolute learning progress with a fast and a slow average (Kanitscheider et al. 2021, "Multi-task curriculum").

    After a pull with rescaled payoff r, p_f <- a r + (1 - a) p_f, then p_s <- a p_f + (1 - a) p_s. An arm's score is
    |f(p_f) - f(p_s)| with f(p) = p (1 - h) / (p + h (1 - 2 p)), which spreads small p out. Both averages begin at the
    arm's first r, so an arm of constant payoff has made no learning progress: the score measures change, not height.

    f needs p in [0, 1], like the success rates of the paper. r is therefore the payoff rescaled by the running 20th and
    80th percentiles of all payoffs, see `RunningScale`. Arms are drawn in proportion to the score, mixed with a uniform
    share, as in Portelas et al. 2019; the paper's own rule selects the best tenth of thousands of tasks. An arm never
    pulled counts as one of the largest score.

    Args:
        rate: a. The paper's averages span about 1,250 updates; arms are pulled less often than that.
        focus: h, the p that f maps to one half.
        exploration: Share that is drawn uniformly over all arms.

    Raises:
        SettingError: If one of them is out of range.
    """

    def __init__(self, rate: float = 0.1, focus: float = 0.1, exploration: float = 0.2) -> None:
        check_setting("rate", rate, 0, 1, above=True)
        check_setting("focus", focus, 0.001, 0.999)
        check_setting("exploration", exploration, 0, 1, above=True)
        self.rate, self.focus, self.exploration = rate, focus, exploration

    def begin(self, n: int) -> None:
        """Forget all payoffs."""
        self._fast, self._slow, self._scale = np.full(n, np.nan), np.full(n, np.nan), RunningScale()

    def scores(self) -> Floats:
        """Return the score of each arm, NaN where it was never pulled."""
        sizes: Floats = np.abs(self._spread(self._fast) - self._spread(self._slow))
        return sizes

    def _spread(self, p: Floats) -> Floats:
        """f(p)."""
        spread: Floats = p * (1 - self.focus) / (p + self.focus * (1 - 2 * p))
        return spread

    def distribution(self, available: Mask) -> Floats:
        """Return chances in proportion to the score, mixed with uniform ones."""
        scores = self.scores()
        known = scores[~np.isnan(scores)]
        scores = np.nan_to_num(scores, nan=known.max(initial=0.0))
        total, n = scores.sum(), len(scores)
        proportional = scores / total if total > 0 else np.full(n, 1 / n)
        mixed: Floats = (1 - self.exploration) * proportional + self.exploration / n
        return mixed

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Update the arm's two averages."""
        r = self._scale(payoff(expansion))
        if np.isnan(self._fast[arm]):
            self._fast[arm] = self._slow[arm] = r
        self._fast[arm] += self.rate * (r - self._fast[arm])
        self._slow[arm] += self.rate * (self._fast[arm] - self._slow[arm])
