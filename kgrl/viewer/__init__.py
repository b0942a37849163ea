"""Viewer of runs: a local page that shows how curricula grow over their topic graphs.

It reads a run's folder and its corpus; it knows nothing of agents, learners or rewards.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
