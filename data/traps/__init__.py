"""Corpora with traps: planted noise, and a deceptive cluster beside the way to a goal."""
