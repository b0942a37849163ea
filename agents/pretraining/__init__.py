"""Pretraining of the curiosity policy on recorded clicks, and its scores beside baselines."""
