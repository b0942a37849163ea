"""Agents: baselines, bandits and the curiosity policy, which pick the next topic.

All names load when they are first used: `PPOAgent` and `train_ppo` need torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
