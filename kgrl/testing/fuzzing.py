"""Fuzzing of loaders: valid files are damaged in many ways, and each must give a right result or a named error.

    report = fuzz(target, count=200, folder=tmp_path)
    assert not report.faults

A fault is any exception that is not a `KgrlError`, an error that does not name the file, a result that the target's own
check refuses, and a reading that takes longer than a second.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kgrl.errors import KgrlError

__all__ = ["FuzzReport", "FuzzTarget", "fuzz", "mutated"]

_SLOW = 1.0
"""Seconds that reading may take."""
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, -0.0, 1e308, 10**30, 2**63, "", "x", "\u2028", "\ud800", "\0", [], {},
    [[]], {"": None}, ["a", 1, None], "../../etc", "x" * 5_000,
)  # fmt: skip
"""Values that are put in the place of others in JSON."""
_TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"null", b"true", b"\"\\ud800\"", b"[" * 2_000, b"{\"a\":" * 500,
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\0" * 64, b"\r\n", b"\xe2\x80\xa8", b"!!bool x", b"&a *a", b"# ", b"- ",
    b"\t", b"'", b'"', b": ", b"2020-99-99", b"No", b"1e-4", b"\x1f\x8b", b"PK\x03\x04",
)  # fmt: skip
"""Bytes that are put between others."""


@dataclass(frozen=True)
class FuzzTarget:
    """A loader, and how to make a file that it reads.

    Args:
        name: The loader's name.
        make: Writes valid files into a folder, and returns the one to damage.
        load: Reads them; gets the folder.
        check: Raises an `AssertionError` for a result that no valid file has, such as a loss that is NaN.
        named: Whether errors have to name the damaged file.
    """

    name: str
    make: Callable[[Path], Path]
    load: Callable[[Path], Any]
    check: Callable[[Any], None] = lambda result: None
    named: bool = True


@dataclass
class FuzzReport:
    """Outcomes of damaged inputs.

    Attributes:
        loaded: Number that gave a result.
        refused: Number that gave a named error.
        faults: What else happened, by the place in the code, and how often.
        slowest: Seconds of the slowest reading.
    """

    loaded: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def fuzz(target: FuzzTarget, count: int, folder: Path, seed: int = 0) -> FuzzReport:
    """Damage a valid file in `count` ways, and have each read.

    Args:
        target: The loader.
        count: The number of damaged inputs.
        folder: A folder to work in; made if it is missing.
        seed: Seeds the damage.

    Example:
        >>> import tempfile
        >>> from kgrl.system.schemas import read_json
        >>> def make(folder):
        ...     (folder / "a.json").write_text('{"seed": 1}')
        ...     return folder / "a.json"
        >>> target = FuzzTarget("seeds", make, lambda folder: read_json(folder / "a.json", dict[str, int]))
        >>> report = fuzz(target, 50, Path(tempfile.mkdtemp()))
        >>> report.loaded + report.refused, report.faults
        (50, Counter())
    """
    rng, report = np.random.default_rng([seed, *target.name.encode()]), FuzzReport()
    whole, place = folder / "whole", folder / "damaged"
    whole.mkdir(parents=True)
    at = target.make(whole).relative_to(whole)
    content = (whole / at).read_bytes()
    for number in range(count + 1):
        shutil.copytree(whole, place)
        if number:
            (place / at).write_bytes(mutated(content, rng))
            _read(target, place, place / at, report)
        else:  # the file as it is must be read; modules that are loaded on first use are then there
            target.check(target.load(place))
        shutil.rmtree(place)
    return report


def _read(target: FuzzTarget, place: Path, path: Path, report: FuzzReport) -> None:
    began = time.perf_counter()
    try:
        result = target.load(place)
        target.check(result)
        report.loaded += 1
    except KgrlError as error:
        report.refused += 1
        if target.named and path.name not in str(error):
            report.faults[f"does not name the file: {str(error)[:80]}"] += 1
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        report.faults[f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {str(error)[:80]}"] += 1
    took = time.perf_counter() - began
    report.slowest = max(report.slowest, took)
    if took > _SLOW:
        report.faults[f"slow: over {_SLOW:g} s"] += 1


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's content with one to three kinds of damage.

    Args:
        data: The content.
        rng: Draws the damage.
    """
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.random()
        changed = _other_value(data, rng) if kind < _OF_VALUES else None
        data = _other_bytes(data, rng) if changed is None else changed
    return data


_OF_VALUES = 0.5
"""Share of changes that keep JSON well-formed, where a line of the content is JSON."""


def _other_value(data: bytes, rng: np.random.Generator) -> bytes | None:
    """Return JSON or JSON Lines with another value, key or entry somewhere; None if the content is neither."""
    lines = [data] if data.startswith(b"{\n") else data.split(b"\n")
    at = int(rng.integers(len(lines)))
    try:
        value = json.loads(lines[at])
        lines[at] = json.dumps(_changed(value, rng)).encode()
    except (ValueError, RecursionError):
        return None
    return b"\n".join(lines)


def _changed(value: Any, rng: np.random.Generator) -> Any:
    """Return a JSON value with a change at a random place."""
    inner = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not inner or rng.random() < 1 / 8:
        return _ODD[int(rng.integers(len(_ODD)))]
    key, kind = inner[int(rng.integers(len(inner)))], rng.random()
    changed = value.copy()
    if kind < 1 / 8:
        del changed[key]
    elif kind < 1 / 4 and isinstance(value, dict):
        changed[f"{key}x"] = value[key]
    elif kind < 1 / 4:
        changed.append(value[key])
    else:
        changed[key] = _changed(value[key], rng)
    return changed


def _other_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Return content with bytes cut, doubled, zeroed, flipped, moved or put between."""
    start, end = sorted(rng.integers(len(data) + 1, size=2).tolist())
    end = min(end, start + int(rng.integers(1, 200)))
    middle, flipped = data[start:end], bytes(b ^ (1 << int(rng.integers(8))) for b in data[start : start + 2])
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: data[:start],
        lambda: data[:start] + data[end:],
        lambda: data[:end] + data[start:],
        lambda: data[:start] + b"\0" * len(middle) + data[end:],
        lambda: data[:start] + flipped + data[start + len(flipped) :],
        lambda: data[:start] + token + data[start:],
        lambda: data[:start] + token + data[end:],
        lambda: data[:start] + rng.bytes(len(middle)) + data[end:],
        lambda: b"",
    )
    return changes[int(rng.integers(len(changes)))]()
