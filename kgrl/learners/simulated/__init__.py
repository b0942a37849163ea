"""Simulated learners: learning curves fitted to records of real learners."""
