"""The place of compiled kernels where the package cannot be written to.

numba keeps them beside the modules, else in the user's home, and raises an error where it can write to neither.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["place_kernels"]

_VARIABLE = "NUMBA_CACHE_DIR"


def place_kernels(package: Path, version: Callable[[], str]) -> None:
    """Have kernels kept in kgrl's cache folder if the package cannot be written to, before any is imported.

    Where the cache folder cannot be written to either, the process has a temporary folder and compiles them anew.

    Args:
        package: The folder of the package.
        version: A function that returns its version, which has kernels of its own: numba compares a kernel's file, and
            not what it uses.
    """
    if os.environ.get(_VARIABLE) or os.access(package, os.W_OK):
        return
    from kgrl.system.files import cache_dir  # here, since it loads NumPy, and most installations can be written to

    folder = cache_dir() / "numba" / version()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        folder = _temporary()
    os.environ[_VARIABLE] = str(folder)  # for worker processes, too
    if "numba" in sys.modules:  # it has read the variable already
        sys.modules["numba"].config.CACHE_DIR = str(folder)


def _temporary() -> Path:
    """Return a new temporary folder, which is removed when the process ends.

    It is new, since kernels are programs, and another user may have put some in a folder of a known name.
    """
    import atexit
    import shutil

    folder = tempfile.mkdtemp(prefix="kgrl-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
