"""Reading a file that another process appends to."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Tail"]


class Tail:
    """Gives the lines of a file as they come; a line that is not whole yet is left for later.

    Args:
        path: The file; it may not be there yet.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "steps"
        >>> tail = Tail(path)
        >>> _ = path.write_text("one" + chr(10) + "tw")
        >>> tail.read(), tail.read()
        ((['one'], True), ([], False))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file, self._offset = -1, 0

    def read(self) -> tuple[list[str], bool]:
        """Return the lines that are new, and whether they are the file's first: it is new, or was written anew."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                anew = stat.st_ino != self._file or stat.st_size < self._offset
                if anew:
                    self._file, self._offset = stat.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return [], False
        end = data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].decode(errors="replace").split("\n")[:-1], anew
