"""Simulated learners: learning curves fitted to what real learners did."""
