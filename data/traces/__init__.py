"""Traces: files of traces, traces of runs, generated walks, export, and the clicks that policies are trained on."""
