"""Topic graphs: topics and links, the frontier, communities, and the choice of a nucleus.

`TopicGraph` is immutable; `Frontier` is the state of a curriculum on it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
