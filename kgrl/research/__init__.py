"""Research: the neighbourhood of a topic and the passages that are relevant to it, fetched ahead of training.

`Researcher` says what one expansion trains on. A `ResearchQueue` and its `Worker`s turn pages of a `PageSource` into
`Arrival`s; a `Library` keeps these, and makes the growing corpus that `kgrl.research.growing` trains on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
