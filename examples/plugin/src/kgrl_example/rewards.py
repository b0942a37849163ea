"""Two rewards: a class, which may know the graph and keep state, and a plain function of an expansion."""

import numpy as np

from kgrl.expansion import Expansion
from kgrl.rewards import Reward, RewardContext


class Evenness(Reward):
    """The change of the entropy of learned topics over categories: positive where their spread gets more even.

    Unit: nats. Range: unbounded. Needs: `"graph"`.
    """

    name = "evenness"
    needs = frozenset({"graph"})

    def bind(self, context: RewardContext) -> None:
        """Number the topics' categories."""
        _, self._category = np.unique(context.graph.categories, return_inverse=True)
        self.reset()

    def begin(self, nucleus: Expansion) -> None:
        """Count the nucleus's topics."""
        self.reset()
        self._learn(nucleus)

    def reset(self) -> None:
        """Forget the learned topics."""
        self._counts = np.zeros(self._category.max() + 1)

    def score(self, expansion: Expansion) -> float:
        """Return the entropy after the expansion minus the entropy before it."""
        before = self._entropy()
        self._learn(expansion)
        return self._entropy() - before

    def _learn(self, expansion: Expansion) -> None:
        np.add.at(self._counts, self._category[list(expansion.neighbourhood)], 1)

    def _entropy(self) -> float:
        # Empty categories add nothing: p ln p goes to 0 with p.
        shares = self._counts[self._counts > 0] / max(1, self._counts.sum())
        return float(-(shares * np.log(shares)).sum())


def relative_gain(expansion: Expansion) -> float:
    """Return the share of the mean probe loss that the expansion removed."""
    probe = expansion.probes["mean"]
    return probe.gain / float(np.mean(probe.before))


relative_gain.needs = {"mean"}  # without it every probe would be measured, which costs time
