"""Bandits: agents that pull arms, such as categories, and learn the payoff of each."""
