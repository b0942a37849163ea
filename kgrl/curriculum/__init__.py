"""Curricula: the loop in which a learner grows from a nucleus, one expansion at a time.

`Curriculum` is the loop, `CurriculumConfig` its settings, `View` the state that agents see. `Agent` and `PassageAgent`
are the protocols of agents.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
