"""A benchmark's cells in one Parquet file: to commit them, and to continue with them on another machine.

The file has one row per cell: its key and main figures as columns, for people who open the file, and its whole row as
JSON, from which the cell is restored as it was. `about.json` is in the file's metadata. Curricula are not in the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.benchmark.folder import ABOUT, agree
from kgrl.benchmark.runner import cell_file, read_rows
from kgrl.errors import DataError
from kgrl.system.files import replacing, write_json

__all__ = ["read_archive", "write_archive"]

_KEY = b"kgrl.benchmark"
_COLUMNS = ("task", "corpus", "learner", "agent", "seed", "status", "aulc", "tokens", "flops", "noise_share")


def write_archive(out: Path, file: Path) -> int:
    """Write all cells of a folder to a file, and return their number.

    Args:
        out: The folder of a benchmark.
        file: The Parquet file; replaced if it exists.

    Raises:
        KgrlError: If the folder holds no results.
    """
    rows = read_rows(out)
    # Columns for people and for filters; the JSON beside them is what cells are restored from, to the last digit.
    columns = {name: [row.get(name) for row in rows] for name in _COLUMNS}
    table = pa.table({**columns, "row": [json.dumps(row, ensure_ascii=False) for row in rows]})
    about = (out / ABOUT).read_bytes()
    with replacing(file) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: about}), temporary, compression="zstd")
    return len(rows)


def read_archive(file: Path, out: Path) -> int:
    """Put the cells of a file that a folder lacks into it, and return their number.

    Args:
        file: A file that `write_archive` wrote.
        out: The folder; made if it is missing.

    Raises:
        DataError: If the file is not such an archive, or the folder has results of another version, place or agent.
    """
    try:
        table = pq.read_table(file)
        about: dict[str, Any] = json.loads(table.schema.metadata[_KEY])
        rows = [json.loads(row) for row in table["row"].to_pylist()]
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataError(file, None, f"is no archive of a benchmark: {error!r}") from error
    # Before any cell is written: a folder whose results differ in their making is refused as a whole.
    write_json(out / ABOUT, agree(out / ABOUT, about))
    absent = [(path, row) for row in rows if not (path := cell_file(out, row)).exists()]
    for path, row in absent:
        write_json(path, row)
    return len(absent)
