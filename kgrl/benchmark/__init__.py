"""Benchmarks: tasks that curricula are compared on."""
