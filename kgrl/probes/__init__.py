"""Probing: which held-out passages are read to measure a learner, and what that costs.

`Prober` reads probe passages alone, for rewards and agents. Exam passages are read by `kgrl.exam`, for reports.
"""

from kgrl.probes.prober import Prober
from kgrl.probes.sampling import sample_topics

__all__ = ["Prober", "sample_topics"]
