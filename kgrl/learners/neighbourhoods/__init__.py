"""Neighbourhood adapters: one adapter for each part of the graph, and how they interfere."""
