"""Data: sources of topic graphs, text and traces.

`load_corpus` and `load_traces` take names, files and folders; `save_folder` writes a corpus folder, and
`build_folder` makes one of raw text. Names are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
