"""Shorter starts of programs that are going to import torch."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["load_torch_ahead", "without_collection"]


def load_torch_ahead() -> None:
    """Begin to load the largest library of torch in another thread; importing torch then finds it loaded.

    It takes a quarter of a second in which Python's lock is free, so the thread that goes on is not held up. Nothing
    happens where the library is not to be found, as on other systems than Linux.
    """
    found = importlib.util.find_spec("torch")
    library = Path(found.origin).parent / "lib" / "libtorch_cpu.so" if found and found.origin else None
    if library and library.exists():
        # Not a daemon: the interpreter must not end while the library starts.
        threading.Thread(target=_load, args=(library,)).start()


def _load(library: Path) -> None:
    with suppress(OSError):  # it may need others that torch finds first, and then tells what is missing
        ctypes.CDLL(str(library))


@contextmanager
def without_collection() -> Iterator[None]:
    """Import something without Python's search for cycles of garbage, which is a tenth of the time for torch."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
