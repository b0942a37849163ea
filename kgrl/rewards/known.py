"""Rewards of the state of knowledge: what became known, and what faded.

Notation: l_t is the loss of topic t's probe passage, and u the level of loss of topics that were not read yet, in nats
per token. g_t = max(0, u - l_t) is what is known of t, b_t the largest g_t so far, and s_t is g_t before the first
lesson at which t was measured, above 0 for text that is easy or known from other topics. The level u begins as the mean
loss of unread topics at the first expansion, and changes with each expansion by the mean change of the unread topics
that are measured before and after it. So it falls by what any text teaches, and not with the choice of topics to
measure. The lesson's own topics are measured, and those that were measured longest ago.
"""

from __future__ import annotations

from dataclasses import dataclass

from kgrl.expansion import Expansion
from kgrl.rewards.base import Reward, RewardError
from kgrl.rewards.measured import measure_of
from kgrl.rewards.registry import rewards

__all__ = ["FactsGain", "KnowledgeGain", "Retention"]

_PER = 1_000
"""Tokens that what becomes known is paid by."""
_READ, _UNREAD = "read", "unread"


@dataclass
class _Account:
    """Account of one topic.

    Args:
        start: What was known before its first lesson, s_t.
        best: The most that was known so far, b_t.
        worth: The knowledge gain that was paid for it, w_t.
        kept: The share of what was learned that is still known, k_t.
    """

    start: float
    best: float
    worth: float = 0.0
    kept: float = 1.0

    def share(self, known: float) -> float:
        """Return the share of what was learned that is known now."""
        learned = self.best - self.start
        return min(1.0, max(0.0, (known - self.start) / learned)) if learned > 0 else 1.0


class _OfKnowledge(Reward):
    """A reward that keeps account of what is known of each topic."""

    needs = frozenset({"knowledge"})

    def __init__(self) -> None:
        self.reset()

    def begin(self, nucleus: Expansion) -> None:
        """Begin with what the nucleus made known."""
        self.reset()
        if nucleus.probes.keys() & {_READ, _UNREAD}:
            self._book(nucleus)

    def reset(self) -> None:
        """Forget what was known."""
        self._accounts: dict[int, _Account] = {}
        self._level: float | None = None

    def _book(self, expansion: Expansion) -> tuple[float, float]:
        """Book an expansion; return what became known, and what was kept of the worth of earlier gains, less before.

        Raises:
            RewardError: If what is known was not measured.
        """
        read, unread = (expansion.probes.get(name) for name in (_READ, _UNREAD))
        if read is None and unread is None:
            raise RewardError(
                f"reward {self.name!r} reads what is known, but expansion {expansion.index} did not measure it; a "
                "curriculum that has the reward does"
            )
        if self._level is None:
            first = unread or read  # a first lesson that leaves no topic unread reads topics that were unread
            self._level = first.mean_before if first else 0.0
        level, self._level = self._level, self._level - (unread.gain if unread else 0.0)
        gained = kept = 0.0
        for topic, before, after in zip(read.topics, read.before, read.after, strict=True) if read else ():
            was, now = max(0.0, level - before), max(0.0, self._level - after)
            account = self._accounts.setdefault(topic, _Account(was, was))
            had = account.kept * account.worth
            best = max(account.best, was)  # a rise that came with other lessons is not paid to this one
            rise = max(0.0, now - best) * _PER / max(1, expansion.tokens)
            account.best = max(best, now)
            account.kept = account.share(now)
            kept += account.kept * account.worth - had
            account.worth += rise
            gained += rise
        return gained, kept


@rewards.register("knowledge-gain")
class KnowledgeGain(_OfKnowledge):
    """Knowledge gain: what became known per thousand tokens, (1000/n) sum over t of max(0, g_t' - max(b_t, g_t)).

    n are the tokens of the expansion, g_t is before and g_t' after it, and the sum is over the topics measured. Only a
    rise above the best that was ever known of a topic is paid for. So a curriculum earns no more for a topic than it
    came to know of it: reading again what is known pays nothing, and neither does relearning what was forgotten, in
    however many turns. What is forgotten in between is not taken back; `Retention` does that. Text that cannot be
    learned stays above the level of unread topics and pays nothing. Noise of the losses is paid for where it exceeds
    the best.
    Unit: nats per token, summed over topics, per thousand tokens. Range: 0 and above. Source: this project, after the
    learning progress of Oudeyer et al. 2007. Needs: `"knowledge"`.

    Example:
        >>> from kgrl.expansion import Measurement
        >>> def step(index: int, before: float, after: float) -> Expansion:
        ...     probes = {"read": Measurement((7,), (before,), (after,)), "unread": Measurement((8,), (6.0,), (6.0,))}
        ...     return Expansion(index, 7, "", (7,), (70,), 500, 500 * index, 5000, 3.2, probes)
        >>> reward = KnowledgeGain()
        >>> reward(step(1, 6.0, 5.0)), reward(step(2, 5.0, 5.5)), reward(step(3, 5.5, 4.75))
        (2.0, 0.0, 0.5)
    """

    name = "knowledge-gain"

    def score(self, expansion: Expansion) -> float:
        """Return what became known."""
        return self._book(expansion)[0]


@rewards.register("retention")
class Retention(_OfKnowledge):
    """Retention: minus what faded, the change of sum over topics t of w_t (k_t - 1), with the w_t of before.

    w_t is all that `KnowledgeGain` has paid for the topic, and k_t = (g_t - s_t) / (b_t - s_t), within 0 and 1, is the
    share of what was learned that is still known. What fades is taken back at the price at which it was paid, when it
    is measured, and given again if it returns. So the sum over a curriculum is never above 0, in whatever order topics
    are forgotten and relearned and however long the lessons are; and `knowledge-gain + retention` sums to what became
    known less what faded.
    Unit: that of `KnowledgeGain`. Range: unbounded; the sum of all so far is 0 or below. Source: this project; the
    difference of a potential, as in Ng et al. 1999. Needs: `"knowledge"`.

    Example:
        >>> from kgrl.expansion import Measurement
        >>> def step(index: int, before: float, after: float) -> Expansion:
        ...     probes = {"read": Measurement((7,), (before,), (after,)), "unread": Measurement((8,), (6.0,), (6.0,))}
        ...     return Expansion(index, 7, "", (7,), (70,), 500, 500 * index, 5000, 3.2, probes)
        >>> reward = Retention()
        >>> reward(step(1, 6.0, 5.0)), reward(step(2, 5.0, 5.5)), reward(step(3, 5.5, 4.75))
        (0.0, -1.0, 1.0)
    """

    name = "retention"

    def score(self, expansion: Expansion) -> float:
        """Return what was kept of earlier gains, less what was kept of them before."""
        return self._book(expansion)[1]


@rewards.register("facts-gain")
class FactsGain(Reward):
    """Facts gain: the rise of the share of all facts that a simulated learner knows, per thousand tokens.

    It is the truth, which no test of a real learner tells so exactly: for training policies in simulations, whose
    observations do not have it. The sum over a curriculum of lessons of equal length is what is known at the end less
    what the nucleus made known, so forgetting is taken back and no cycle pays.
    Unit: percentage points per thousand tokens. Range: unbounded. Source: this project; the difference of a potential,
    as in Ng et al. 1999. Needs: `"facts"`, which only the learner `remembering` tells.

    Example:
        >>> shares = {"facts_before": 0.10, "facts_after": 0.12}
        >>> round(FactsGain()(Expansion(1, 7, "", (7,), (70,), 500, 500, 5000, 3.2, measures=shares)), 6)
        4.0
    """

    name = "facts-gain"
    needs = frozenset({"facts"})

    def score(self, expansion: Expansion) -> float:
        """Return the rise."""
        before, after = (measure_of(expansion, f"facts_{when}", self.name) for when in ("before", "after"))
        return 100 * (after - before) * _PER / expansion.tokens
