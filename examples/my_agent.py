"""An agent of one's own, which reads on where it is: the candidate most like the topic that it picked last.

    kgrl run --learner scratch --agent examples/my_agent.py:TrainOfThought
    kgrl bench --tasks coverage --agents examples/my_agent.py:TrainOfThought,closure

Benchmarks know it as `my_agent.TrainOfThought`. Its tests inherit `kgrl.testing.AgentContract`.
"""

from __future__ import annotations

from kgrl.agents import BaseAgent, View
from kgrl.expansion import Expansion


class TrainOfThought(BaseAgent):
    """Picks the candidate whose text is most like that of the topic before."""

    reads_probes = False  # so that kgrl run probes nothing for it

    def reset(self, view: View) -> None:
        """Begin at the first topic of the nucleus."""
        self._last = int(view.nucleus[0])

    def choose(self, view: View) -> int:
        """Return the topic to learn next."""
        likeness = view.embeddings[view.candidates] @ view.embeddings[self._last]
        return int(view.candidates[likeness.argmax()])

    def observe(self, expansion: Expansion) -> None:
        """Go on from the topic that was learned."""
        self._last = expansion.topic
