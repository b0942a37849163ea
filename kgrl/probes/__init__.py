"""Probes: measuring a learner on held-out passages, on forks, and by questions.

`Prober` reads probe passages alone, for rewards and agents. `Recall` asks a learner multiple-choice questions for
reports, as `kgrl.exam` reads exam passages for reports: rewards and agents never see its answers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
