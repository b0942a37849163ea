"""Agents, which pick the next topic: baselines, bandits and the curiosity policy.

`make_agent` makes one by name, with its tuned options; `list(agents)` names all. To write one, inherit `BaseAgent` and
define `choose`, or inherit `ScoringAgent` (the candidate of the largest score) or `ArmBandit` (a bandit over
categories). `train_ppo` trains the curiosity policy.

All names load when they are first used: `PPOAgent` and `train_ppo` need torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
