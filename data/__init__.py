"""Data: where topic graphs, text and traces come from.

`load_corpus` and `load_traces` take names, files and folders; `save_folder` writes a corpus folder. All names load when
they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
