"""Research: the neighbourhood of a topic and the passages that are relevant to it, fetched ahead of training.

`Researcher` says what one expansion trains on. A `ResearchQueue` and its `Worker`s turn pages of a `PageSource` into
`Arrival`s; a `Library` keeps these, and makes the growing corpus that `kgrl.research.growing` trains on.
"""

from kgrl.curriculum.researcher import Researcher
from kgrl.research.arrival import Arrival
from kgrl.research.library import Library
from kgrl.research.page import Page, PageSource
from kgrl.research.process import worker_process
from kgrl.research.queue import ResearchQueue, Status
from kgrl.research.supply import QueueSupply
from kgrl.research.worker import Worker, make_page_source, page_sources, run_workers

__all__ = [
    "Arrival",
    "Library",
    "Page",
    "PageSource",
    "QueueSupply",
    "ResearchQueue",
    "Researcher",
    "Status",
    "Worker",
    "make_page_source",
    "page_sources",
    "run_workers",
    "worker_process",
]
