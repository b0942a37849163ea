"""Rewards that compare a loss with an expectation: earlier losses, a reference learner's, or the neighbours'."""

from __future__ import annotations

import numpy as np

from kgrl.expansion import Expansion
from kgrl.rewards.base import Reward, RewardContext, RewardError
from kgrl.rewards.measured import measure_of, probe_of
from kgrl.rewards.registry import rewards

__all__ = ["AbsoluteLearningProgress", "ForgettingPenalty", "FrontierSurprise", "ReducibleLoss"]


@rewards.register("absolute-learning-progress")
class AbsoluteLearningProgress(Reward):
    """Absolute learning progress: |SPG - EMA(SPG)|, the distance of the self prediction gain from its moving average.

    The average is over the expansions before this one. The first expansion has no average; its reward is |SPG|.
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
        """Return the distance of the gain from the average, then update the average."""
        gain = probe_of(expansion, "self", self.name).gain
        before = 0.0 if self.average is None else self.average
        self.average = gain if self.average is None else before + self.rate * (gain - before)
        return abs(gain - before)


@rewards.register("reducible-loss")
class ReducibleLoss(Reward):
    """Reducible loss (RHO): l_v(theta) - l_v(theta_reference) of the neighbourhood's probe passages, before the lesson.

    It is high where the learner does badly and a learner that has read widely does well. It is near 0 where no learner
    can do well, and that is its advantage over the loss itself. The reference is the same learner after reading train
    passages of all topics, shuffled.
    Unit: nats per token. Range: unbounded. Source: Mindermann et al. 2022. Needs: `"self"` and `"reference"`.
    """

    name = "reducible-loss"
    needs = frozenset({"self", "reference"})

    def score(self, expansion: Expansion) -> float:
        """Return the mean loss before the lesson minus the reference's."""
        before = probe_of(expansion, "self", self.name).mean_before
        return before - measure_of(expansion, "reference", self.name)


@rewards.register("frontier-surprise")
class FrontierSurprise(Reward):
    """Frontier surprise: l_v(theta) of the picked topic v minus the loss that its learned neighbours predict.

    The prediction is the mean latest measured loss of the learned topics linked with v, in either direction. If none of
    these was measured, it is the mean over all measured learned topics; if nothing was measured, the surprise is 0.
    Unit: nats per token. Range: unbounded, positive where v is harder than its neighbours. Source: expectation
    violation as in Itti and Baldi 2009, with neighbours' losses as the expectation. Needs: `"self"` and `"graph"`.
    """

    name = "frontier-surprise"
    needs = frozenset({"self", "graph"})
    context: RewardContext | None = None

    def __init__(self) -> None:
        self.known: dict[int, float] = {}

    def bind(self, context: RewardContext) -> None:
        """Keep the context, for its graph."""
        self.context = context

    def begin(self, nucleus: Expansion) -> None:
        """Begin with the nucleus's measured losses."""
        self.reset()
        self._note(nucleus)

    def reset(self) -> None:
        """Forget all losses."""
        self.known = {}

    def score(self, expansion: Expansion) -> float:
        """Return the surprise at the picked topic, then record the losses after the lesson."""
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
        """Record the losses of the topics that the expansion learned."""
        own = expansion.probes.get("self")
        if own is not None:
            learned = set(expansion.neighbourhood)
            self.known |= {t: loss for t, loss in zip(own.topics, own.after, strict=True) if t in learned}


@rewards.register("forgetting-penalty")
class ForgettingPenalty(Reward):
    """Forgetting penalty: -weight sum over learned topics j of max(0, l_j(theta') - best l_j so far).

    The sum is over the learned topics that the mean probe measures; the best is over all their measurements.
    Unit: nats per token, summed over topics. Range: 0 and below. Source: forgetting as in Chaudhry et al. 2018.
    Needs: `"mean"`.

    Args:
        weight: The factor.

    Example:
        >>> from kgrl.expansion import Measurement
        >>> def step(index: int, topic: int, before: float, after: float) -> Expansion:
        ...     probes = {"mean": Measurement((7,), (before,), (after,))}
        ...     return Expansion(index, topic, "", (topic,), (70,), 50, 50, 100, 3.2, probes)
        >>> reward = ForgettingPenalty()
        >>> reward(step(1, 7, 4.0, 3.0)), reward(step(2, 8, 3.0, 3.5))  # topic 7 is learned, then partly forgotten
        (-0.0, -0.5)
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
        """Return the penalty, then record the losses."""
        probe_of(expansion, "mean", self.name)
        return -self.weight * self._forgotten(expansion)

    def _forgotten(self, expansion: Expansion) -> float:
        """Return the sum of rises above the best of topics learned before, and record losses and topics."""
        mean = expansion.probes.get("mean")
        total = 0.0
        for topic, before, after in zip(mean.topics, mean.before, mean.after, strict=True) if mean else ():
            best = min(self.best.get(topic, before), before)
            if topic in self.learned:
                total += max(0.0, after - best)
            self.best[topic] = min(best, after)
        self.learned.update(expansion.neighbourhood)
        return total
