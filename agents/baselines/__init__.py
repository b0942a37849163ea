"""Baselines: agents that follow a fixed rule or order, or try candidates out, and learn nothing."""
