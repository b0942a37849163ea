"""The checkpoint of a run: the learner, the random state, and everything by which a resumed run is known as the same.

    checkpoint/latest.json     the state, with the SHA-256 of itself and of every file of the learner
    checkpoint/step-NNNNNN/    the learner

All of it is on the disk before `latest.json` points to it, and only then the former one is deleted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from kgrl.errors import DataError
from kgrl.system.files import file_digest, flush_to_disk, write_json
from kgrl.system.schemas import Index, checked, read_json

__all__ = ["PLACES", "Checkpoint"]

PLACES = ("corpus", "corpus_fingerprint", "root", "device")
"""Entries of a run's configuration that say where its corpus is and what computes. They may change while it goes on:
its corpus is compared by its fingerprint, and devices differ by rounding alone."""

_ANEW = "start the run anew with another --out"
_DAMAGED = f"bring the checkpoint back from a copy, or {_ANEW}"
_FORMAT = 2
"""Format of checkpoints and of the records beside them; 2 since records hold the losses of passages and tests."""


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after an expansion.

    Args:
        learner: Name of the learner's folder, beside `latest.json`.
        index: Number of the expansion.
        seconds: Wall-clock of the run until then.
        rng: State of the curriculum's generator.
        about: Plain values that a resumed run has to agree with: version, configuration, corpus and so on.
        records: The mark of each record, by the name of its file; see `RecordFile.mark`.
        parts: SHA-256 of the learner's files, by their paths inside its folder.
    """

    learner: str
    index: Index
    seconds: float
    rng: Mapping[str, Any]
    about: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    parts: Mapping[str, str]

    @staticmethod
    def file_in(run: Path) -> Path:
        """Return the file that points to the latest checkpoint in a run's folder; it need not exist."""
        return run / "checkpoint" / "latest.json"

    @classmethod
    def save(cls, run: Path, index: int, learner: Callable[[Path], None], **state: Any) -> Self:
        """Write a checkpoint beside the former one, point to it, and delete the former one.

        Args:
            run: The run's folder.
            index: Number of the expansion.
            learner: Saves the learner in a folder.
            state: The other fields: seconds, rng, about and records.
        """
        # In this order, an interruption at any moment leaves a checkpoint that is complete.
        folder, name = cls.file_in(run).parent, f"step-{index:06d}"
        cls.remove_left_over(run)
        try:
            learner(folder / name)
            parts = _written_parts(folder / name)
        except OSError:
            shutil.rmtree(folder / name, ignore_errors=True)  # frees a full disk; the old checkpoint stays
            raise
        made = cls(name, index, parts=parts, **state)
        made.write(run)
        cls.remove_left_over(run)
        return made

    @classmethod
    def remove_left_over(cls, run: Path) -> None:
        """Remove the learners that the latest checkpoint in a run's folder does not point to.

        Only a process that holds the folder may do so.
        """
        path = cls.file_in(run)
        kept = ""
        if path.exists():
            with suppress(ValueError, RecursionError, KeyError, TypeError):
                kept = str(json.loads(path.read_text(encoding="utf-8"))["learner"])
            if not kept:  # a damaged file, which resuming tells
                return
        for old in path.parent.glob("step-*"):
            if old.name != kept:
                shutil.rmtree(old)

    def write(self, run: Path) -> None:
        """Write `latest.json`, so that it points to this checkpoint, and bring it to the disk."""
        state = asdict(self)
        state["format"] = _FORMAT
        write_json(self.file_in(run), {**state, "sha256": _digest(state)}, durable=True)

    @classmethod
    def read(cls, run: Path) -> Self | None:
        """Return the latest checkpoint in a run's folder, None if the run has none yet.

        Raises:
            DataError: If a file of it is missing, or is not as it was written, or is of another format.
        """
        path = cls.file_in(run)
        if not path.exists():
            return None
        state = read_json(path, dict[str, Any], _DAMAGED)
        known = state.pop("sha256", None)
        if known is None:
            raise DataError(path, None, f"the checkpoint has no SHA-256, so it is of an earlier kgrl; {_ANEW}")
        if known != (found := _digest(state)):
            why = f"the file is damaged or was changed: its SHA-256 is {found}, and {known} was written"
            raise DataError(path, None, f"{why}; {_DAMAGED}")
        if (found := state.pop("format", 1)) != _FORMAT:
            raise DataError(path, None, _other_format(found))
        checkpoint = checked(state, cls, path)
        checkpoint._check_parts(path.parent / checkpoint.learner)
        return checkpoint

    def _check_parts(self, folder: Path) -> None:
        for name, known in self.parts.items():
            if not (folder / name).is_file():
                raise DataError(folder / name, None, f"this file of the checkpoint is missing; {_DAMAGED}")
            if (found := file_digest(folder / name)) != known:
                why = f"the file is damaged: its SHA-256 is {found}, and {known} was written"
                raise DataError(folder / name, None, f"{why}; {_DAMAGED}")

    def check_about(self, run: Path, now: Mapping[str, Any]) -> None:
        """Refuse to continue the run as another one. Its places (`PLACES`) may be others.

        Args:
            run: The run's folder.
            now: Those of the values of `about` that are known by now.

        Raises:
            DataError: If one of them differs; the message names each with what it was and what it is.
        """
        # Through JSON once, so that tuples compare equal to the lists that were read.
        here = _flat(json.loads(json.dumps(now)))
        there = _flat({name: value for name, value in self.about.items() if name in now})
        places = {f"config {name}" for name in PLACES}
        changed = [name for name in {**there, **here} if _shown(there, name) != _shown(here, name)]
        changed = [name for name in changed if name not in places]
        if changed:
            told = ", ".join(f"{name} is {_shown(here, name)} and was {_shown(there, name)}" for name in changed)
            why = f"the run would not be continued as it began: {told}; change that back, or {_ANEW}"
            raise DataError(run / "config.yaml" if "config" in now else run, None, why)


def _other_format(found: object) -> str:
    """Return why a checkpoint of another format cannot be continued, and what can be done."""
    lacking = ", whose records do not tell how well topics are known" if found == 1 else ""
    why = f"the run has format {found!r}, of another kgrl{lacking}, and this one continues format {_FORMAT}"
    return f"{why}; continue it with the kgrl that began it, or {_ANEW}"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values by name, those of inner mappings by both names with a blank between them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name} {key}": v for key, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "missing"


def _written_parts(folder: Path) -> dict[str, str]:
    """Bring a folder's files to the disk, and return their SHA-256 by path."""
    parts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        flush_to_disk(path)
        parts[path.relative_to(folder).as_posix()] = file_digest(path)
    flush_to_disk(folder)
    flush_to_disk(folder.parent)
    return parts


def _digest(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
