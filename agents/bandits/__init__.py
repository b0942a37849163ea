"""Bandits: agents that pull arms which persist, such as categories, and learn what each pays."""
