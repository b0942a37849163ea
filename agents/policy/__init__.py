"""The curiosity policy: its network, and the agent that acts by it."""
