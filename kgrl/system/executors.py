"""Executors: independent tasks carried out in this process, in processes of this machine, or on Ray.

Executors are registered under `serial`, `process` and `ray`. They know functions and named tasks, and nothing about
the work that these do. Worker processes compute with one thread each, so that a task gives the same bits in
any of them.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from kgrl.errors import KgrlError, MissingDataError, SettingError
from kgrl.system.registry import Registry

__all__ = ["Executor", "NamedTask", "ProcessExecutor", "RayExecutor", "SerialExecutor", "executors"]

_RETRIES = 3
"""Times that Ray begins a task again whose worker was killed."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables from which numeric libraries read their number of threads."""


class NamedTask(Protocol):
    """A task that can be sent to another process and has a name for error messages."""

    @property
    def name(self) -> str:
        """The task's name in messages."""
        ...


S = TypeVar("S")
T = TypeVar("T", bound=NamedTask)
R = TypeVar("R")
Lost = Callable[[S, T, KgrlError], R]
"""Function of `shared`, a task whose worker died and the error, whose result replaces the task's."""


class Executor(Protocol):
    """Carries out tasks, several at a time where it can."""

    def map(
        self, function: Callable[[S, T], R], shared: S, tasks: Sequence[T], lost: Lost[S, T, R] | None = None
    ) -> Iterator[R]:
        """Call `function(shared, task)` for every task.

        Args:
            function: A function of a module, so that other processes can import it.
            shared: Data that all tasks need; sent once to each worker, not with each task.
            tasks: The tasks; begun in this order.
            lost: Called in this process with `shared`, a task whose worker died, and the error; its result replaces
                the task's, and the other tasks continue. If None, the error is raised.

        Yields:
            The results, as tasks are finished.

        Raises:
            KgrlError: If a task raises one, or its worker dies; the message begins with the task's name. Running
                tasks are finished first.
        """
        ...


executors: Registry[Executor] = Registry("executor")
"""Executors by name. Their factories take `workers`, the number of tasks carried out at a time."""


@executors.register("serial")
class SerialExecutor:
    """Carries out tasks one after the other in this process, with as many threads as it is set to use.

    Args:
        workers: Ignored, since one task is carried out at a time; executors of all kinds take it.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Double:
        ...     name: str
        ...     number: int
        >>> list(SerialExecutor().map(lambda factor, task: factor * task.number, 2, [Double("a", 3), Double("b", 4)]))
        [6, 8]
    """

    def __init__(self, workers: int = 1) -> None:
        _check_workers(workers)

    def __repr__(self) -> str:
        return "SerialExecutor()"

    def map(
        self, function: Callable[[S, T], R], shared: S, tasks: Sequence[T], lost: Lost[S, T, R] | None = None
    ) -> Iterator[R]:
        """Carry out the tasks in order; see `Executor`. `lost` is never called: no worker can die but this process."""
        for task in tasks:
            yield _attempt(function, shared, task)


@executors.register("process")
class ProcessExecutor:
    """Carries out tasks in processes of this machine.

    The processes are started afresh, not forked, so a script that uses them needs the usual
    `if __name__ == "__main__":`.

    Args:
        workers: Number of processes.

    Example:
        >>> ProcessExecutor(workers=4)
        ProcessExecutor(workers=4)
    """

    def __init__(self, workers: int = 2) -> None:
        _check_workers(workers)
        self.workers = workers

    def __repr__(self) -> str:
        return f"ProcessExecutor(workers={self.workers})"

    def map(
        self, function: Callable[[S, T], R], shared: S, tasks: Sequence[T], lost: Lost[S, T, R] | None = None
    ) -> Iterator[R]:
        """Carry out the tasks; see `Executor`."""
        waiting = deque(tasks)
        running: dict[Future[R], tuple[ProcessPoolExecutor, T]] = {}
        with ExitStack() as stack:
            # A pool for each worker: a pool of several breaks as a whole and does not tell which task's worker died.
            idle = [stack.enter_context(_worker(shared)) for _ in range(min(self.workers, len(tasks)))]
            while waiting or running:
                while idle and waiting:
                    pool, task = idle.pop(), waiting.popleft()
                    with _one_thread_for_children():
                        running[pool.submit(_attempt_shared, function, task)] = pool, task
                done = wait(running, return_when=FIRST_COMPLETED).done.pop()
                pool, task = running.pop(done)
                # A broken pool stays broken: its place is taken by a new one.
                dead = isinstance(done.exception(), BrokenProcessPool)
                idle.append(stack.enter_context(_worker(shared)) if dead else pool)
                try:
                    yield _result(done, task)
                except _LostError as error:
                    if lost is None:
                        raise
                    yield lost(shared, task, error)


@executors.register("ray")
class RayExecutor:
    """Carries out tasks on Ray; a task whose worker is killed is begun again elsewhere.

    Tasks go to the cluster that this process is connected to by `ray.init(address=...)`; every machine of it needs kgrl
    and the folders that tasks name. Without a connection, a cluster of this machine alone is started and shut down
    again. It sends no usage statistics, and accepts connections from this machine alone unless the program imported Ray
    before.

    Args:
        workers: Number of processes, if a cluster is started.

    Raises:
        MissingDataError: If Ray is not installed.
    """

    def __init__(self, workers: int = 2) -> None:
        _check_workers(workers)
        self.workers, self._ray = workers, _import_ray()

    def __repr__(self) -> str:
        return f"RayExecutor(workers={self.workers})"

    def map(
        self, function: Callable[[S, T], R], shared: S, tasks: Sequence[T], lost: Lost[S, T, R] | None = None
    ) -> Iterator[R]:
        """Carry out the tasks; see `Executor`."""
        remote = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_attempt_on_ray)
        with self._cluster():
            # In Ray's object store, from which workers of a machine share one copy.
            stored = self._ray.put(shared)
            task_of = {remote.options(name=task.name).remote(function, stored, task): task for task in tasks}
            waiting = list(task_of)
            while waiting:
                (done,), waiting = self._ray.wait(waiting)
                try:
                    yield self._result(done, task_of[done])
                except _LostError as error:
                    if lost is None:
                        raise
                    yield lost(shared, task_of[done], error)

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Start a cluster of our own for a `with` block, unless this process is connected to one."""
        if self._ray.is_initialized():
            yield
            return
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        # By default Ray's workers have the lowest priority; on a busy machine they hardly run.
        self._ray.init("local", num_cpus=self.workers, _system_config={"worker_niceness": 0}, **quiet)
        try:
            yield
        finally:
            self._ray.shutdown()

    def _result(self, done: Any, task: NamedTask) -> Any:
        """The result of a finished task; raises the task's own error."""
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the task's error; Ray's own adds pages of traces
        except self._ray.exceptions.RayError as error:
            raise _LostError(f"{task.name}: its worker was lost {_RETRIES + 1} times: {error}") from error


class _LostError(KgrlError):
    """The worker of a task died."""


def _check_workers(workers: int) -> None:
    """Refuse numbers of workers below 1."""
    if workers < 1:
        raise SettingError(f"an executor needs at least 1 worker, not {workers}")


def _attempt(function: Callable[[S, T], R], shared: S, task: T) -> R:
    """Carry out a task; the messages of kgrl's errors get its name."""
    try:
        return function(shared, task)
    except KgrlError as error:
        # As the base class, since subclasses take other arguments and may not survive pickling between processes.
        raise KgrlError(f"{task.name}: {error}") from error


def _worker(shared: object) -> ProcessPoolExecutor:
    """A worker process that holds `shared`; started with its first task."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin_worker, initargs=(shared,))


_shared: Any = None
"""The data that all tasks need, in a worker process."""


def _begin_worker(shared: object) -> None:
    """Prepare a worker process: keep the shared data, watch the parent, compute with one thread."""
    global _shared
    _shared = shared
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _use_one_thread()


def _end_with_parent() -> None:
    """End this process when the process that started it has ended, which sends no message when it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # without cleaning up: the main thread may be in the middle of a computation


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Let processes started within a `with` block compute with one thread each.

    The variables are set here, since libraries read them while they are imported, before any function of ours runs.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _attempt_shared(function: Callable[[Any, T], R], task: T) -> R:
    """Carry out a task with the data that this worker process holds."""
    return _attempt(function, _shared, task)


def _attempt_on_ray(function: Callable[[S, T], R], shared: S, task: T) -> R:
    """Carry out a task in a worker of Ray, which may have served other programs before."""
    _use_one_thread()
    return _attempt(function, shared, task)


def _use_one_thread() -> None:
    """Let torch compute with one thread."""
    import torch  # here, since only workers need it, and it takes seconds

    torch.set_num_threads(1)


def _result(done: Future[R], task: NamedTask) -> R:
    """The result of a finished task; raises the task's own error."""
    try:
        return done.result()
    except BrokenProcessPool as error:
        raise _LostError(
            f"{task.name}: its worker process died, killed from outside or out of memory; "
            "use fewer workers, or the executor 'ray', which begins such tasks again"
        ) from error


def _import_ray() -> Any:
    """Import Ray, set up to listen on this machine alone.

    Raises:
        MissingDataError: If it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Parts of Ray read these as they are imported, others later: they are set before, or not at all.
    if "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # despite its name: listen on 127.0.0.1 alone
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # its default, given explicitly since Ray warns otherwise
    try:
        import ray
    except ImportError as error:
        raise MissingDataError('Ray is not installed; `pip install "kgrl[ray]"` brings it along') from error
    return ray
