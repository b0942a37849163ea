"""Probing: which held-out passages are read to measure a learner, and what that costs.

`Prober` reads probe passages alone, for rewards and agents. `Recall` asks learners what they know, for reports, as
`kgrl.exam` reads exam passages for reports: no reward and no agent ever sees its answers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
