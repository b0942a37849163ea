"""An agent chooses the problems of an RL trainer; a made-up model takes the trainer's place.

    python examples/rl_sampler.py

The model learns to add, the longer the sums the slower, and never learns to multiply. The agent finds what it learns
from. A real trainer calls `sample` where it takes a batch, `observe` where it has the rewards, and keeps `state_dict()`
in its checkpoints.
"""

from __future__ import annotations

import numpy as np

from kgrl.integrations import Exercise, TopicSampler


def train(steps: int = 150, agent: str = "exp3s") -> TopicSampler:
    """Train a made-up model and return the sampler."""
    digits = {"sums of 2 digits": 2, "sums of 4 digits": 4, "products of 9 digits": 9}
    exercises = [Exercise(f"{kind}, number {i}", kind, n / 10) for kind, n in digits.items() for i in range(100)]
    sampler, rng, skill = TopicSampler(exercises, agent, seed=0), np.random.default_rng(0), dict.fromkeys(digits, 0.0)
    for step in range(steps):
        batch = sampler.sample(16)
        passed = {one.name: rng.binomial(8, skill[one.category]) / 8 for one in batch}
        sampler.observe(passed)
        for one in batch:
            faster = {2: 0.004, 4: 0.002, 9: 0.0}[digits[one.category]]
            skill[one.category] = min(1.0, skill[one.category] + faster)
        if step % 30 == 29:
            print(step + 1, {kind: f"{chance:.2f}" for kind, chance in sampler.chances().items()})
    return sampler


if __name__ == "__main__":
    train()
