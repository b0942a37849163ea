"""Adapters: PEFT folders with a model card, and the composition of several into one.

All names load when they are first used: they need torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
