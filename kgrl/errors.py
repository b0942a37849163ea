"""Errors whose messages name the mistake, the place and a remedy.

Every error that kgrl raises on purpose derives from `KgrlError`. The command line prints their messages without a
traceback; programming mistakes keep theirs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "DataError",
    "DivergedError",
    "KgrlError",
    "MissingDataError",
    "SettingError",
    "UnknownNameError",
    "closest_name",
    "closest_names",
]

_MOST_LISTED = 20
"""Most known names that a message lists."""
_LONGEST_NAME = 300
"""Characters of a name that a message shows; longer ones have no similar names."""


class KgrlError(Exception):
    """Base class of kgrl's own errors."""


class UnknownNameError(KgrlError, ValueError):
    """A name that kgrl does not know; the message lists the known ones and suggests the nearest.

    Args:
        kind: The kind of thing that was looked up, for example `"agent"`.
        name: The name that is not known.
        known: The names that are known.

    Example:
        >>> print(UnknownNameError("agent", "clozure", ["closure", "random"]))
        unknown agent 'clozure'; did you mean 'closure'? Known: closure, random
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        close = closest_name(name, known)
        hint = f"; did you mean {close!r}?" if close else "."
        listed = ", ".join(known[:_MOST_LISTED])
        more = f", … ({len(known) - _MOST_LISTED} more)" if len(known) > _MOST_LISTED else ""
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        super().__init__(f"unknown {kind} {shown!r}{hint} Known: {listed}{more}")
        self.kind, self.name, self.known = kind, name, known


class DataError(KgrlError, ValueError):
    """A file or a record in it that cannot be used, named by file and line.

    Args:
        path: The file.
        line: The record's line, counted from 1, or None for the whole file.
        reason: The mistake, as a continuation of `path:line: `.

    Example:
        >>> print(DataError("links.tsv", 7, "'Mars' is not a topic"))
        links.tsv:7: 'Mars' is not a topic
    """

    def __init__(self, path: str | Path, line: int | None, reason: str) -> None:
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {reason}")
        self.path, self.line, self.reason = Path(path), line, reason


class MissingDataError(KgrlError, FileNotFoundError):
    """A data set or model that is not installed; the message says how to get it."""

    def __str__(self) -> str:
        # FileNotFoundError formats its arguments as errno and file name.
        return str(self.args[0]) if self.args else ""


class SettingError(KgrlError, ValueError):
    """A setting that is out of range or does not fit the data."""


class DivergedError(KgrlError, ArithmeticError):
    """A loss became NaN or infinite; the message says at which expansion."""


def closest_names(name: str, known: Iterable[str], most: int) -> list[str]:
    """Return the known names that are most similar to `name`, ignoring case, the most similar one first.

    Args:
        name: The name.
        known: The known names.
        most: Most names to return; there are fewer, or none, if fewer are close.

    Example:
        >>> closest_names("Mathmatics", ["Mathematics", "Physics", "Schematics"], 2)
        ['Mathematics', 'Schematics']
    """
    if len(name) > _LONGEST_NAME:  # comparing takes time by the square of its length
        return []
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=0.5)
    return [by_folded[folded] for folded in close]


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, ignoring case, or None if none is close.

    Example:
        >>> closest_name("Mathmatics", ["Mathematics", "Physics"])
        'Mathematics'
    """
    return next(iter(closest_names(name, known, 1)), None)
