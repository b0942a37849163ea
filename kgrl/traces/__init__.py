"""Traces: recorded rabbit holes, the paths of topics that a human, a model or a walker followed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
