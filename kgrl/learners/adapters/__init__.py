"""Adapters: PEFT folders with a model card, and the composition of several into one."""
