"""Wikispeedia: a corpus of school articles, and traces of the games that people played on it."""
