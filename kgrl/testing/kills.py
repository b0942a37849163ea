"""Kills: work is done in child processes that are killed at random moments, until one of them finishes it.

    report = survive(work, folder, kills=5, seconds=2.0, rng=rng)

What the folder holds in the end has to be, to the last bit, what undisturbed work leaves there.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from kgrl.errors import KgrlError

__all__ = ["contents", "difference", "survive"]

_FORK = multiprocessing.get_context("fork")
"""Children are forked: they have all modules at once, so that kills hit the work and not its imports."""
_MOST_SECONDS = 300.0
_REPORTS = r"(^|/)(report\.(html|md)|events\..*|.*\.lock|.*\.log|figures/.*|tables/costs\..*)$"
"""Files that tell of times in words and pictures."""
_TIMES = re.compile(r"(^|_)(seconds|fetched|overhead)|time", re.IGNORECASE)
"""Keys of JSON under which times stand, which no two runs share."""


def survive(work: Callable[[], int], kills: int, seconds: float, rng: np.random.Generator) -> int:
    """Do work in a child process that is killed, then in another, and so on; leave the last one alone.

    Children are forked. If torch has computed on several threads in this process, they wait for threads that they do
    not have: call `torch.set_num_threads(1)` first, and in tests use a process of its own.

    Args:
        work: The work; it goes on where killed work ended, and returns 0 when it is done.
        kills: Number of children to kill, each together with its own children.
        seconds: Latest moment of a kill after a child's start.
        rng: Draws the moments.

    Returns:
        How many children were killed before they ended.

    Raises:
        KgrlError: If a child that nobody killed ends with an error, or does not end.
    """
    done = 0
    for _ in range(kills):
        child = _started(work)
        child.join(float(rng.uniform(0.0, seconds)))
        if child.exitcode is None:
            _kill(child)
            done += 1
        elif child.exitcode:
            raise KgrlError(f"work after {done} kills ended with {child.exitcode}")
    last = _started(work)
    last.join(_MOST_SECONDS)
    if last.exitcode != 0:
        _kill(last)
        raise KgrlError(f"work after {done} kills ended with {last.exitcode}")
    return done


def contents(folder: Path, leave_out: str = _REPORTS) -> dict[str, str]:
    """Return a hash of each file in a folder by its path; times in JSON are left out of it.

    Args:
        folder: The folder.
        leave_out: A pattern of paths that are not compared.
    """
    hidden = re.compile(leave_out)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: _digest(path) for name, path in found.items() if not hidden.search(name)}


def difference(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the paths that only one of two folders has, or that differ.

    Example:
        >>> difference({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
        ['b', 'c']
    """
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _started(work: Callable[[], int]) -> Any:
    child = _FORK.Process(target=_do, args=(work,))
    child.start()
    return child


def _do(work: Callable[[], int]) -> None:
    os.setsid()  # a group of its own, so that its workers are killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os._exit(work())


def _kill(child: Any) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:  # killed before it had a group of its own
        child.kill()
    child.join()
    time.sleep(0.01)  # its own children let go of locks


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        data = json.dumps(_timeless(rows), sort_keys=True, default=str).encode()
    if path.suffix in (".json", ".jsonl"):
        lines = [data] if path.suffix == ".json" else data.splitlines()
        data = b"\n".join(json.dumps(_timeless(json.loads(line)), sort_keys=True).encode() for line in lines)
    return hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    """Return a value of JSON without what stands under the name of a time, and without hashes of what holds times."""
    if isinstance(value, dict):
        kept = {key: entry for key, entry in value.items() if not _TIMES.search(key) and key != "sha256"}
        return {key: _timeless(entry) for key, entry in kept.items()}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value
