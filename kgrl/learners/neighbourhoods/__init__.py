"""Neighbourhood adapters: one adapter for each part of the graph, and the interference between them."""
