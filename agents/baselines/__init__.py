"""Baselines: agents that follow a fixed rule, an order or the true gain, and learn nothing."""
