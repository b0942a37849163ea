"""Two rewards and an agent for kgrl."""
