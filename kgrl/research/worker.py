"""Workers: they take jobs from a research queue and do them, in threads, in processes or on other machines."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kgrl.errors import KgrlError, SettingError
from kgrl.research.board import STAGES, Board, Job, Messages
from kgrl.research.jobs import HopelessError, Jobs
from kgrl.research.page import PageSource
from kgrl.research.queue import ResearchQueue
from kgrl.research.store import QueueAwayError
from kgrl.retrieval.encoder import DEFAULT_ENCODER, Encoder
from kgrl.system.registry import Registry

__all__ = ["Worker", "encoder_of", "make_page_source", "page_sources", "run_workers", "worker_process"]

_IDLE_SECONDS, _IDLE_MOST = 0.02, 0.2
"""First and longest wait of a worker that finds no job."""
_AWAY_SECONDS, _AWAY_MOST = 0.1, 5.0
"""First and longest wait of a worker that cannot reach the queue."""
_TEND_SECONDS = 1.0
"""Time between two looks for jobs without message or worker."""
_NICE = 19
"""Niceness of a worker process: training has priority, and the worker gets the time in which training waits."""
_LOOK_SECONDS = 1.0
"""Time between two checks whether the process that started a worker process is alive."""

_log = logging.getLogger(__name__)

page_sources: Registry[PageSource] = Registry("page source", group="kgrl.page_sources")
"""Page sources by name. A factory takes the other entries of a source's description as keyword arguments; threads may
share the source. All come by entry points: `mediawiki`, which ships with kgrl, and those of other packages."""


def make_page_source(description: Mapping[str, Any]) -> PageSource:
    """Make the page source that a queue's settings describe.

    Args:
        description: Its name under `"source"`, and the arguments of its factory.

    Raises:
        UnknownNameError: If no source has that name.
        SettingError: If the factory does not take the arguments.
    """
    options = dict(description)
    try:
        return page_sources.make(str(options.pop("source", "")), **options)
    except TypeError as error:
        raise SettingError(f"the queue's page source {dict(description)} cannot be made: {error}") from error


class Worker:
    """A worker, which does jobs of a queue one after another.

    Args:
        queue: The queue.
        source: The source of pages.
        encoder: Embeds passages.
        name: Its name in claims and reasons; by default made of machine and process.

    Raises:
        SettingError: If the queue is for another encoder.
    """

    def __init__(self, queue: ResearchQueue, source: PageSource, encoder: Encoder, name: str | None = None) -> None:
        queue.check_encoder(encoder.fingerprint)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:4]}"
        self.messages = Messages(queue.store, self._handle)
        self._board, self._log = queue.board, queue.log
        self._jobs = Jobs(source, encoder, queue.log, queue.encoding)
        self._held: Job | None = None  # the job whose claim is to be renewed
        self._holding = threading.Lock()  # so that no claim is renewed after its release
        self._trouble: KgrlError | None = None
        self._tended = 0.0

    def __repr__(self) -> str:
        return f"Worker({self.name!r})"

    def run(self, stop: threading.Event) -> None:
        """Do jobs until an event is set; the job under way is finished first.

        While the queue is unreachable, the worker tries again and again.

        Args:
            stop: The event.

        Raises:
            KgrlError: If the queue is damaged or refuses.
        """
        ended = threading.Event()
        beat = threading.Thread(target=self._renew, args=(ended,), name=f"{self.name} renewing", daemon=True)
        beat.start()
        try:
            self._loop(stop)
        finally:
            ended.set()
            beat.join()

    def _loop(self, stop: threading.Event) -> None:
        idle, away = _IDLE_SECONDS, 0.0  # the latest waits, which are doubled each time; 0: the queue was reached
        while not stop.is_set():
            try:
                worked = self.step()
            except QueueAwayError as error:
                if not away:
                    _log.warning("%s; trying again until it is back", error)
                away = min(_AWAY_MOST, 2 * away or _AWAY_SECONDS)
                stop.wait(away)
                continue
            if away:
                _log.warning("the queue is back")
            away = 0.0
            idle = _IDLE_SECONDS if worked else min(_IDLE_MOST, 2 * idle)
            if not worked:
                stop.wait(idle)

    def step(self) -> bool:
        """Do the next job and return True; return False if there is none.

        Raises:
            QueueAwayError: If the queue cannot be reached now.
            KgrlError: If it is damaged or refuses.
        """
        if time.monotonic() >= self._tended + _TEND_SECONDS:
            self._board.tend(self.messages)
            self._tended = time.monotonic()
        worked = self.messages.step()
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        return worked

    def _handle(self, stage: str, title: str, attempt: int) -> None:
        """Do the job of a message. huey would only log an error of the queue, so it is kept for `step` to raise."""
        job = Job(title, stage, attempt)
        try:
            if self._board.claim(job, self.name):
                with self._claimed(job):
                    self._do(job)
        except KgrlError as error:
            self._trouble = error

    @contextmanager
    def _claimed(self, job: Job) -> Iterator[None]:
        self._held = job
        try:
            yield
        finally:
            with self._holding:
                self._held = None
            self._board.release(job)

    def _do(self, claimed: Job) -> None:
        board, job = self._board, self._board.job(claimed.title)
        if job is None or job.key != claimed.key:
            return  # done by another worker, or no longer wanted
        given = board.part(job) if job.stage != STAGES[0] else ""
        if given is None:
            board.again(job, "the result of the stage before was missing", stage=STAGES[0])
            return
        act = self._outcome(job, given)
        # Meanwhile the claim may have expired and another worker may have done the job; then the result is dropped.
        if board.job(job.title) == job:
            act(board)

    def _outcome(self, job: Job, given: str) -> Callable[[Board], object]:
        """Do the work of a job, and return the function that records its result on the board."""
        try:
            made = self._jobs.run(job.stage, job.title, given)
        except HopelessError as error:
            reason = str(error)
            return lambda board: board.fail(job, reason)
        except QueueAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - an error of a page or a source must not stop the other titles
            reason = str(error) if isinstance(error, KgrlError) else f"{type(error).__name__}: {error}"
            _log.warning("%s of %r went wrong: %s", job.stage, job.title, reason, exc_info=_mistake(error))
            return lambda board: board.again(job, reason)
        if job.stage == STAGES[-1]:
            return lambda board: board.finish(job, made, known=self._log.knows(job.title))
        return lambda board: self.messages.send(board.advance(job, made), board.worth().get(job.title, 0.0))

    def _renew(self, ended: threading.Event) -> None:
        """Renew the claim that is held until an event is set, three times in each lease."""
        while not ended.wait(self._board.lease / 3):
            with self._holding:
                if self._held is not None:
                    try:
                        self._board.renew(self._held, self.name)
                    except KgrlError:
                        _log.debug("a claim could not be renewed", exc_info=True)  # the job itself meets the same error


def _mistake(error: Exception) -> bool:
    """Return whether an error is a programming mistake, which is logged with a traceback."""
    return not isinstance(error, KgrlError | OSError)


@contextmanager
def run_workers(
    queue: ResearchQueue, make_source: Callable[[], PageSource], encoder: Encoder, threads: int = 2
) -> Iterator[threading.Event]:
    """Run workers in threads of this process until the body is left.

    Args:
        queue: The queue.
        make_source: Function that makes the page source of a thread.
        encoder: Embeds passages; its model is loaded first.
        threads: Number of threads; 0 if the jobs are done elsewhere.

    Yields:
        An event that is set once a worker has stopped with an error.

    Raises:
        KgrlError: The error that stopped a worker, once the body is left.
    """
    broken, stop, failures = threading.Event(), threading.Event(), list[Exception]()
    workers = [Worker(queue, make_source(), encoder) for _ in range(threads)]

    def work(worker: Worker) -> None:
        """Run a worker and keep its error."""
        try:
            worker.run(stop)
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits for the workers
            _log.error("a worker has stopped: %s", error, exc_info=_mistake(error))
            failures.append(error)
            broken.set()

    if workers:
        encoder.encode(["ready"])  # a missing model is one error now instead of one for every page
    running = [threading.Thread(target=work, args=(worker,), name=worker.name, daemon=True) for worker in workers]
    for thread in running:
        thread.start()
    try:
        yield broken
    finally:
        stop.set()
        for thread in running:
            thread.join()
    if failures:
        raise failures[0]


def encoder_of(queue: ResearchQueue) -> Encoder:
    """Return the encoder that a queue was configured for; the default one if it was not."""
    return Encoder(queue.settings.get("model", DEFAULT_ENCODER))


@contextmanager
def worker_process(where: str, threads: int = 4) -> Iterator[Callable[[], bool]]:
    """Run workers in another process until the body is left or this process ends.

    The same threads in the training process would slow it down, since they share its interpreter lock.

    Args:
        where: The queue: a folder or the URL of a Redis. Its settings name the source of pages.
        threads: Number of jobs done at a time; fetching is mostly waiting.

    Yields:
        A function that returns whether the process has ended early; its standard error has the reason.
    """
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(where, threads), daemon=True)
    process.start()
    try:
        yield lambda: not process.is_alive()
    finally:
        process.terminate()  # perhaps in the middle of a job, which the next worker of the queue does again
        process.join()


def _serve(where: str, threads: int) -> None:
    """Run workers until the process that started this one ends."""
    import torch

    os.nice(_NICE)
    torch.set_num_threads(1)
    queue, parent = ResearchQueue.open(where), multiprocessing.parent_process()
    source = make_page_source(queue.settings["source"])  # one for all threads, which share its rate limit
    with run_workers(queue, lambda: source, encoder_of(queue), threads) as broken:
        while not broken.wait(_LOOK_SECONDS) and parent is not None and parent.is_alive():
            pass
