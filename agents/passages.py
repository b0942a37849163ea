"""The curriculum without topics: the order in which a data mixture is read where nobody thinks about one."""

from __future__ import annotations

from kgrl.agents.base import agents
from kgrl.expansion import Expansion
from kgrl.graph import IntArray
from kgrl.view import View

__all__ = ["UniformPassages"]


@agents.register("iid")
class UniformPassages:
    """Uniform over passages, without replacement: an expansion reads passages drawn from all that are unread.

    It knows neither graph nor topics, and nothing is researched for it. A topic counts as learned once a passage of it
    was read, so that a few expansions spread over most of a small graph.
    """

    frontier_only = False
    reads_passages = True

    def reset(self, view: View) -> None:
        """Nothing is remembered: what is unread is the curriculum's to know."""

    def choose(self, view: View) -> IntArray:
        """Return all unread passages in an order drawn uniformly; the expansion reads as far as its tokens go."""
        return view.rng.permutation(view.unread())

    def observe(self, expansion: Expansion) -> None:
        """Nothing is learned from what a draw led to."""
