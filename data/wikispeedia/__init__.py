"""Wikispeedia: a corpus of school articles and the games that people played on it."""
