"""What a research queue brings to a library."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from kgrl.research.library import Library
from kgrl.research.queue import ResearchQueue

__all__ = ["QueueSupply"]


class QueueSupply:
    """Supply from a research queue, whose workers make arrivals of titles; see `kgrl.research.growing.Supply`.

    Args:
        queue: The queue; workers serve it somewhere.
        broken: Whether the workers cannot go on, so that nothing is to be waited for.
    """

    def __init__(self, queue: ResearchQueue, broken: Callable[[], bool] = lambda: False) -> None:
        self.queue, self._broken = queue, broken

    def want(self, titles: Sequence[str]) -> None:
        """Say which titles are wanted, best first."""
        self.queue.want(titles)

    def take(self, library: Library, index: int) -> int:
        """Put what has arrived into the library and return how many topics it holds."""
        library.add(self.queue.arrivals(len(library)))
        return len(library)

    def hopeless(self) -> Collection[str]:
        """Return titles that will not arrive."""
        return self.queue.failed()

    def busy(self) -> bool:
        """Return whether jobs are queued or running, and somebody does them."""
        return not self._broken() and self.queue.busy()
