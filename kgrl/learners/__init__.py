"""Learners: models that are taught passages and measured on passages.

All names load when they are first used: learners need torch or numba, which take seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
