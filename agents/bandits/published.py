"""Published bandits over arms: Exp3.S, online data mixing, discounted UCB and prioritised level replay.

Symbols: N or K is the number of arms, t the number of the pull, pi_i the chance of arm i. Payoffs are rewards per
thousand tokens, see `kgrl.agents.bandits.arms.payoff`.
"""

from __future__ import annotations

import math

import numpy as np

from kgrl.agents.bandits.arms import ArmBandit, Floats, Mask, RunningScale, payoff, softmax
from kgrl.agents.base import agents, check_setting
from kgrl.expansion import Expansion

__all__ = ["DiscountedUCB", "Exp3S", "OnlineDataMixing", "PrioritizedLevels"]


@agents.register("exp3s")
class Exp3S(ArmBandit):
    """Exp3.S as used by Graves et al. 2017 ("Automated curriculum learning for neural networks").

    pi_i = (1 - e) softmax(w)_i + e / N. After a pull of arm a, r~_i = (r 1[i = a] + beta) / pi_i and
    w_i <- log[(1 - alpha_t) exp(w_i + eta r~_i) + alpha_t / (N - 1) sum over j != i of exp(w_j + eta r~_j)] with
    alpha_t = 1 / t. r is the payoff rescaled to [-1, 1] by its running 20th and 80th percentiles and clipped. For arms
    without candidates r~ is 0.

    Args:
        rate: eta. The paper's value is for many thousands of pulls.
        exploration: e, the share that is drawn uniformly over all arms.
        beta: Added to the payoff of every arm: a bonus for arms of small chance.

    Raises:
        SettingError: If one of them is out of range.
    """

    def __init__(self, rate: float = 0.001, exploration: float = 0.05, beta: float = 0.0) -> None:
        check_setting("rate", rate, 0, above=True)
        check_setting("exploration", exploration, 0, 1, above=True)
        check_setting("beta", beta, 0)
        self.rate, self.exploration, self.beta = rate, exploration, beta

    def begin(self, n: int) -> None:
        """Set all weights to 0."""
        self._weights, self._pulls, self._scale = np.zeros(n), 0, RunningScale()

    def distribution(self, available: Mask) -> Floats:
        """Return pi."""
        return (1 - self.exploration) * softmax(self._weights) + self.exploration / len(self._weights)

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Update the weights."""
        self._pulls += 1
        estimates = np.where(chances > 0, self.beta, 0.0)
        estimates[arm] += 2 * self._scale(payoff(expansion)) - 1
        np.divide(estimates, chances, out=estimates, where=chances > 0)
        weights = _shared(self._weights + self.rate * estimates, 1 / self._pulls)
        self._weights = weights - weights.max()  # leaves pi unchanged, and keeps the exponentials in range


def _shared(weights: Floats, share: float) -> Floats:
    """The logarithms of weights after each arm has given a share of its weight to the others in equal parts."""
    # In logarithms throughout: exp(weights) may overflow.
    n = len(weights)
    if n == 1:
        return weights
    others = np.tile(weights, (n, 1))
    np.fill_diagonal(others, -np.inf)
    kept = math.log1p(-share) if share < 1 else -np.inf
    mixed: Floats = np.logaddexp(kept + weights, math.log(share / (n - 1)) + np.logaddexp.reduce(others, axis=1))
    return mixed


@agents.register("odm")
class OnlineDataMixing(ArmBandit):
    """Online data mixing (Albalak et al. 2023, "Efficient online data mixing for language model pre-training").

    pi_i = (1 - K e_t) softmax(e_{t-1} R)_i + e_t with e_t = min(1 / K, sqrt(ln K / (K t))). After a pull of arm a,
    R_a <- s R_a + (1 - s) loss / pi_a, where the loss is the expansion's training loss in nats per token: the method
    prefers arms of high loss. Rewards play no part. As e_t falls, the chances of all arms become equal again.

    Args:
        smoothing: s, the weight of the past.

    Raises:
        SettingError: If it is out of range.
    """

    reads_probes = False

    def __init__(self, smoothing: float = 0.9) -> None:
        check_setting("smoothing", smoothing, 0, 1)
        self.smoothing = smoothing

    def begin(self, n: int) -> None:
        """Set all smoothed losses to 0."""
        self._losses, self._pulls = np.zeros(n), 0

    def distribution(self, available: Mask) -> Floats:
        """Return pi for the coming pull."""
        n, t = len(self._losses), self._pulls + 1
        return (1 - n * _floor(n, t)) * softmax(_floor(n, t - 1) * self._losses) + _floor(n, t)

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Update the arm's smoothed loss."""
        self._pulls += 1
        weighted = expansion.train_loss / chances[arm]
        self._losses[arm] = self.smoothing * self._losses[arm] + (1 - self.smoothing) * weighted


def _floor(n: int, t: int) -> float:
    """Return e_t, the least chance of each of n arms at pull t."""
    return min(1 / n, math.sqrt(math.log(n) / (n * t))) if t else 1 / n


@agents.register("d-ucb")
class DiscountedUCB(ArmBandit):
    """Discounted UCB (Garivier and Moulines 2011, "On upper-confidence bound policies for switching bandits").

    Pulls the arm with the largest mean + c sqrt(ln n_g / n_{g,i}). A pull k pulls ago has the weight g^k: in the mean
    of the arm's payoffs, in its number of pulls n_{g,i}, and in n_g, the sum over arms. Arms never pulled come first.
    Ties are broken at random. The paper assumes payoffs in [0, 1]; each is rescaled when it arrives, see
    `RunningScale`.

    Args:
        width: c. The default is the paper's 2 sqrt(xi) with xi = 1/2.
        discount: g. The default is the paper's 1 - sqrt(changes / pulls) / 4 for one change in 200 pulls, rounded.

    Raises:
        SettingError: If one of them is out of range.
    """

    def __init__(self, width: float = 1.414, discount: float = 0.98) -> None:
        check_setting("width", width, 0)
        check_setting("discount", discount, 0, 1, above=True)
        self.width, self.discount = width, discount

    def begin(self, n: int) -> None:
        """Forget all pulls."""
        self._counts, self._sums, self._scale = np.zeros(n), np.zeros(n), RunningScale()
        self._pulled = np.zeros(n, dtype=bool)

    def distribution(self, available: Mask) -> Floats:
        """Return equal values for the arms of the largest bound, 0 for others; `chances` normalises them."""
        new = available & ~self._pulled
        if new.any():
            return new.astype(np.float64)
        counts = np.maximum(self._counts, np.finfo(np.float64).tiny)  # discounting may have taken a count to 0
        # Rounding may leave slightly less than one pull in sum, whose logarithm would be negative.
        spread = math.log(max(1.0, self._counts.sum()))
        bounds = np.where(available, self._sums / counts + self.width * np.sqrt(spread / counts), -np.inf)
        largest: Floats = (bounds == bounds.max()).astype(np.float64)
        return largest

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Discount the past and add the pull."""
        self._counts *= self.discount
        self._sums *= self.discount
        self._counts[arm] += 1
        self._sums[arm] += self._scale(payoff(expansion))
        self._pulled[arm] = True


@agents.register("plr")
class PrioritizedLevels(ArmBandit):
    """Prioritised level replay (Jiang et al. 2021, "Prioritized level replay"), with arms as levels.

    Learned topics are not replayed on a frontier, so the levels are the arms, which persist. A level's score is the
    absolute value of its last payoff; its staleness is the number of pulls since. Levels pulled before are drawn by
    (1 - rho) P_S + rho P_C, with P_S in proportion to rank(score)^(-1/beta) and P_C to staleness. A level never pulled
    is drawn with a probability of 1 / (number of levels), as by the paper's schedule in proportion to the levels seen.
    Levels of equal score share the better rank. Only arms that have candidates are ranked.

    Args:
        temperature: beta; the smaller, the more often the level of the largest score is drawn.
        staleness: rho, the weight of staleness.

    Raises:
        SettingError: If one of them is out of range.
    """

    def __init__(self, temperature: float = 0.1, staleness: float = 0.1) -> None:
        check_setting("temperature", temperature, 0, above=True)
        check_setting("staleness", staleness, 0, 1)
        self.temperature, self.staleness = temperature, staleness

    def begin(self, n: int) -> None:
        """Forget all pulls."""
        self._scores, self._last, self._pulls = np.full(n, np.nan), np.zeros(n), 0

    def distribution(self, available: Mask) -> Floats:
        """Return the chances of levels never pulled and of those pulled before, `[arms]`."""
        new, seen = available & np.isnan(self._scores), available & ~np.isnan(self._scores)
        chances: Floats = new / available.sum()
        if seen.any():
            chances[seen] = seen.sum() / available.sum() * self._replay(seen)
        return chances

    def _replay(self, seen: Mask) -> Floats:
        """The chances among levels pulled before, `[levels seen]`."""
        scores, stale = self._scores[seen], self._pulls - self._last[seen]
        ranks = 1 + (scores > scores[:, None]).sum(axis=1)
        by_score = softmax(-np.log(ranks) / self.temperature)
        by_age = stale / stale.sum() if stale.any() else np.full(len(stale), 1 / len(stale))
        mixed: Floats = (1 - self.staleness) * by_score + self.staleness * by_age
        return mixed

    def learn(self, arm: int, expansion: Expansion, chances: Floats) -> None:
        """Set the level's score."""
        self._pulls += 1
        self._scores[arm], self._last[arm] = abs(payoff(expansion)), self._pulls
