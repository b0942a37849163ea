"""Rewards that compare a loss with what was expected of it: by a reference, by neighbours, by what was before."""

from __future__ import annotations

import numpy as np

from kgrl.expansion import Expansion
from kgrl.rewards.base import Reward, RewardContext, RewardError, measure_of, probe_of
from kgrl.rewards.registry import rewards

__all__ = ["AbsoluteLearningProgress", "ForgettingPenalty", "FrontierSurprise", "ReducibleLoss"]


@rewards.register("absolute-learning-progress")
class AbsoluteLearningProgress(Reward):
    """Absolute learning progress: |SPG - EMA(SPG)|, how unusual an expansion's self prediction gain is.

    The average is of the expansions before this one, the first of which has none and is rewarded with |SPG|.
    Unit: nats per token. Range: 0 and above. Source: Oudeyer et al. 2007; Portelas et al. 2019. Needs: `"self"`.

    Args:
        rate: Weight of the latest gain in the exponential moving average.

    Example:
        >>> from kgrl.expansion import Measurement
        >>> step = Expansion(1, 7, "Logic", (7,), (70,), 50, 50, 100, 3.2, {"self": Measurement((7,), (4.0,), (3.0,))})
        >>> reward = AbsoluteLearningProgress()
        >>> reward(step), reward(step)
        (1.0, 0.0)
    """

    name = "absolute-learning-progress"
    needs = frozenset({"self"})

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate
        self.average: float | None = None

    def reset(self) -> None:
        """Forget the average."""
        self.average = None

    def score(self, expansion: Expansion) -> float:
        """Return how far the gain is from the average, and take it into the average."""
        gain = probe_of(expansion, "self", self.name).gain
        before = 0.0 if self.average is None else self.average
        self.average = gain if self.average is None else before + self.rate * (gain - before)
        return abs(gain - before)


@rewards.register("reducible-loss")
class ReducibleLoss(Reward):
    """Reducible loss (RHO): l_v(theta) - l_v(theta_reference) of the neighbourhood's probe passages, before the lesson.

    High where the learner does badly and a learner that has read widely does well; near 0 where nobody can do well,
    which is what tells it from a loss. The reference is the same learner taught train passages of all topics, shuffled.
    Unit: nats per token. Range: unbounded. Source: Mindermann et al. 2022. Needs: `"self"` and `"reference"`.
    """

    name = "reducible-loss"
    needs = frozenset({"self", "reference"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss before the lesson less the reference's."""
        before = float(np.mean(probe_of(expansion, "self", self.name).before))
        return before - measure_of(expansion, "reference", self.name)


@rewards.register("frontier-surprise")
class FrontierSurprise(Reward):
    """Frontier surprise: l_v(theta) of the picked topic less what its learned neighbours' losses predict.

    The prediction is the mean over the learned topics linked with v, in either direction, of their latest measured
    loss; over all measured learned topics where none of these was measured; and 0 surprise where nothing was.
    Unit: nats per token. Range: unbounded, positive where v is harder than its neighbours. Source: expectation
    violation as in Itti and Baldi 2009, with neighbours' losses as the expectation. Needs: `"self"` and `"graph"`.
    """

    name = "frontier-surprise"
    needs = frozenset({"self", "graph"})
    context: RewardContext | None = None

    def __init__(self) -> None:
        self.known: dict[int, float] = {}

    def bind(self, context: RewardContext) -> None:
        """Keep the graph at hand."""
        self.context = context

    def begin(self, nucleus: Expansion) -> None:
        """Begin with what was measured of the nucleus."""
        self.reset()
        self._note(nucleus)

    def reset(self) -> None:
        """Forget all losses."""
        self.known = {}

    def score(self, expansion: Expansion) -> float:
        """Return the surprise at the picked topic, and take note of the losses after the lesson."""
        own = probe_of(expansion, "self", self.name)
        if self.context is None:
            raise RewardError(f"reward {self.name!r} reads graph: call bind(context) first")
        losses = dict(zip(own.topics, own.before, strict=True))
        neighbours = self.context.graph.neighbours(expansion.topic).tolist()
        near = [self.known[topic] for topic in neighbours if topic in self.known]
        expected = near or list(self.known.values())
        surprise = losses[expansion.topic] - float(np.mean(expected)) if expected and expansion.topic in losses else 0.0
        self._note(expansion)
        return surprise

    def _note(self, expansion: Expansion) -> None:
        own = expansion.probes.get("self")
        if own is not None:
            learned = set(expansion.neighbourhood)
            self.known |= {t: loss for t, loss in zip(own.topics, own.after, strict=True) if t in learned}


@rewards.register("forgetting-penalty")
class ForgettingPenalty(Reward):
    """Forgetting penalty: -weight sum over learned topics j of max(0, l_j(theta') - best l_j so far).

    Over the learned topics that the mean probe measures; the best is of all moments at which they were measured.
    Unit: nats per token, summed over topics. Range: 0 and below. Source: forgetting as in Chaudhry et al. 2018.
    Needs: `"mean"`.

    Args:
        weight: The factor, lambda.
    """

    name = "forgetting-penalty"
    needs = frozenset({"mean"})

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.reset()

    def begin(self, nucleus: Expansion) -> None:
        """Begin with the nucleus's topics and the losses measured then."""
        self.reset()
        self._forgotten(nucleus)

    def reset(self) -> None:
        """Forget losses and learned topics."""
        self.best: dict[int, float] = {}
        self.learned: set[int] = set()

    def score(self, expansion: Expansion) -> float:
        """Return the penalty, and take note of the losses."""
        probe_of(expansion, "mean", self.name)
        return -self.weight * self._forgotten(expansion)

    def _forgotten(self, expansion: Expansion) -> float:
        """How far the losses of topics learned before are above their best; losses and topics are taken in."""
        mean = expansion.probes.get("mean")
        total = 0.0
        for topic, before, after in zip(mean.topics, mean.before, mean.after, strict=True) if mean else ():
            best = min(self.best.get(topic, before), before)
            if topic in self.learned:
                total += max(0.0, after - best)
            self.best[topic] = min(best, after)
        self.learned.update(expansion.neighbourhood)
        return total
