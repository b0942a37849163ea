"""Topic graphs: topics and links, the frontier, and the choice of a nucleus."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
