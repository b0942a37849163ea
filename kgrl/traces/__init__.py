"""Traces: recorded rabbit holes, the paths that a human, a model or a walker followed from topic to topic."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
