"""Research: pages of a live site, fetched ahead of training and added to the corpus while training goes on.

A `ResearchQueue` and its `Worker`s turn pages of a `PageSource` into `Arrival`s. A `Library` keeps these, and makes the
growing corpus that `kgrl.research.growing` trains on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
