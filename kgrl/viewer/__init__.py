"""The viewer of runs: a local page that shows how curricula grow over their topic graphs.

It reads a run's folder and its corpus; it knows nothing of agents, learners or rewards.
"""

from kgrl.viewer.server import ViewerServer
from kgrl.viewer.shown_run import ShownRun

__all__ = ["ShownRun", "ViewerServer"]
