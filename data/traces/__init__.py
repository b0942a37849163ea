"""Traces: storage, the clicks recorded in runs, generated walks and export."""
