"""An agent that spreads its picks over the categories."""

import numpy as np

from kgrl.agents import BaseAgent, View


class Even(BaseAgent):
    """Picks at random from the category with the fewest learned topics."""

    def choose(self, view: View) -> int:
        """Return the topic to learn next."""
        categories = np.array(view.graph.categories)
        learned = categories[view.frontier.solid]
        counts = np.array([np.sum(learned == category) for category in categories[view.candidates]])
        return int(view.rng.choice(view.candidates[counts == counts.min()]))
