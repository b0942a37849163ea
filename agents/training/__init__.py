"""Training of the curiosity policy by reinforcement learning, as recipes describe it."""
