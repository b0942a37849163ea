"""Adapters: PEFT folders, their composition, and the routing of passages to them."""
