"""Code of users' own, named by its place as `FILE.py:NAME`: what the file defines under the name.

A file is imported because its user names it. Files that somebody else names are the concern of `kgrl.cli.trust`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from kgrl.errors import KgrlError, MissingDataError, UnknownNameError

__all__ = ["absolute_place", "from_own_file", "own_place", "present"]

_PLACE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


def own_place(text: str) -> tuple[Path, str] | None:
    """Return the file and the name of a text `FILE.py:NAME`, whether or not the file is there; None for other texts.

    Example:
        >>> own_place("my agents/first.py:First")[1], own_place("closure")
        ('First', None)
    """
    match = _PLACE.fullmatch(text.strip())
    return (Path(match[1]), match[2]) if match else None


def absolute_place(text: str) -> str:
    """Return a text `FILE.py:NAME` with the whole path, so that it holds in every folder; others as they are.

    Example:
        >>> absolute_place("closure")
        'closure'
    """
    place = own_place(text)
    return text if place is None else f"{place[0].resolve()}:{place[1]}"


def present(path: Path) -> bool:
    """Return whether a path is that of a file."""
    try:
        return path.is_file()
    except OSError:  # too long for a path
        return False


def from_own_file(path: Path, name: str, kind: str) -> Any:
    """Return what a Python file defines under a name.

    The file is imported once in a process, like any Python module.

    Args:
        path: The file.
        name: The name.
        kind: The kind of thing that is looked for, for error messages: `"agent"`.

    Raises:
        MissingDataError: If the file is missing.
        KgrlError: If it cannot be imported.
        UnknownNameError: If it does not define the name; the message suggests the nearest.
    """
    if not present(path):
        raise MissingDataError(f"there is no file {path} to take the {kind} {name!r} from; looked in {Path.cwd()}")
    module = _imported(path.resolve())
    if not hasattr(module, name):
        own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
        raise UnknownNameError(f"name in {path}:", name, own)
    return getattr(module, name)


@cache
def _imported(file: Path) -> ModuleType:
    # Named by its path: two files may have the same name, and neither may hide an installed module.
    own_name = f"kgrl_file_{hashlib.sha256(bytes(file)).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(own_name, file)
    assert spec is not None and spec.loader is not None, "every file that ends in .py can be imported"
    module = sys.modules[own_name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[own_name]
        raise KgrlError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module
