"""Plug-ins for learners: less forgetting, fewer weights changed, restarts.

Any number of them goes into one learner: `LoraLearner(corpus, plugins=[Replay(share=0.1), TopK(share=0.05)])`.

All names load when they are first used: plug-ins need torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
