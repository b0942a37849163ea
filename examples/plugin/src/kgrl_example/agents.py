"""An agent."""

import numpy as np

from kgrl.agents import BaseAgent, View


class Even(BaseAgent):
    """Picks from the category of which least is learned; at random within it."""

    def choose(self, view: View) -> int:
        """Return the topic to learn next."""
        categories = np.array(view.graph.categories)
        learned = categories[view.frontier.learned]
        counts = np.array([np.sum(learned == category) for category in categories[view.candidates]])
        return int(view.rng.choice(view.candidates[counts == counts.min()]))
