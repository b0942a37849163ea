"""Reports: self-contained HTML pages about runs and about traces, and pictures of interference."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
