"""A worker process beside training: its own interpreter, and the time that training leaves."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kgrl.research.queue import ResearchQueue
from kgrl.research.worker import make_page_source, run_workers

__all__ = ["worker_process"]

_NICE = 19
"""Training has the processor first. Where it waits for pages, it leaves it to them."""
_LOOK_SECONDS = 1.0


@contextmanager
def worker_process(where: str, threads: int = 4) -> Iterator[Callable[[], bool]]:
    """Have a process do the jobs of a queue, until the body is left or this process ends.

    In threads of the training process the same work costs more: they take turns with it in the interpreter.

    Args:
        where: The queue: a folder or the URL of a Redis. Its settings say where pages come from.
        threads: How many jobs are done at a time; fetching is mostly waiting.

    Yields:
        Whether the process cannot go on; it says why on standard error.
    """
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(where, threads), daemon=True)
    process.start()
    try:
        yield lambda: not process.is_alive()
    finally:
        process.terminate()  # in the middle of a job, perhaps: whoever serves the queue next does it again
        process.join()


def _serve(where: str, threads: int) -> None:
    """Work until the process that started this one ends."""
    import torch

    from kgrl.retrieval.encoder import Encoder

    os.nice(_NICE)
    torch.set_num_threads(1)
    queue, parent = ResearchQueue.open(where), multiprocessing.parent_process()
    source = make_page_source(queue.settings["source"])  # one for all threads: they share its rate
    with run_workers(queue, lambda: source, Encoder(), threads) as broken:
        while not broken.wait(_LOOK_SECONDS) and parent is not None and parent.is_alive():
            pass
