"""What a run of the suite measured, one JSON file a measurement, so that a kill loses one at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kgrl.errors import DataError
from kgrl.system.files import write_json

__all__ = ["MeasurementFolder"]

Row = dict[str, Any]


class MeasurementFolder:
    """A folder of measurements by name.

    Args:
        folder: Where; made when something is written.

    Example:
        >>> import tempfile
        >>> store = MeasurementFolder(Path(tempfile.mkdtemp()))
        >>> store.once("vital/a", lambda: {"loss": 3.0}), store.once("vital/a", lambda: {"loss": 4.0})
        ({'loss': 3.0}, {'loss': 3.0})
        >>> store.rows("vital")
        [{'loss': 3.0}]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, name: str, measure: Callable[[], Row]) -> Row:
        """Return a measurement that is there, or take it and keep it."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_json(path, measure())
        row: Row = json.loads(path.read_text(encoding="utf-8"))
        return row

    def rows(self, under: str) -> list[Row]:
        """Return the measurements right under a name, in the order of their names; none if there are none."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((self.folder / under).glob("*.json"))]

    def check(self, corpus: str, fingerprint: str) -> None:
        """See that the folder is of this version of kgrl and of this corpus, and note that it is.

        Raises:
            DataError: If it holds measurements of another version, or of a corpus that has changed since.
        """
        path, now = self.folder / "about.json", version("kgrl")
        about: Row = json.loads(path.read_text("utf-8")) if path.exists() else {"version": now, "corpora": {}}
        if about["version"] != now:
            raise DataError(path, None, f"the folder has results of kgrl {about['version']}, not {now}; choose another")
        if about["corpora"].setdefault(corpus, fingerprint) != fingerprint:
            raise DataError(path, None, f"the folder has results on another {corpus!r}; choose another")
        write_json(path, about)
