"""Corpora with traps: planted noise and deceptive topics."""
