"""Benchmarks: tasks, the runner, statistics and reports that compare agents; suites on rewards and the hypothesis."""
