"""Curricula of a benchmark: as data of the page, and as rows of a Parquet file.

On the page a curriculum is three lists of numbers. Titles are numbers too, positions in one list of the page: 500
curricula of 250 expansions take two megabytes. The page's script makes a readable list of a curriculum when the reader
opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.benchmark.report.results import PlaceKey, Results
from kgrl.benchmark.runner import Cell
from kgrl.system.files import replacing

__all__ = ["cell_name", "shown_curricula", "write_curricula"]

_SCHEMA = pa.schema(
    [
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in ("task", "corpus", "learner", "agent")),
        *((name, pa.int64()) for name in ("seed", "index", "topic")),
        ("title", pa.dictionary(pa.int32(), pa.string())),
        *((name, pa.int64()) for name in ("tokens", "tokens_total")),
        *((name, pa.float64()) for name in ("train_loss", "reward")),
    ]
)
_OF_CELL = ("task", "corpus", "learner", "agent", "seed")


def write_curricula(results: Results, path: Path) -> None:
    """Write the expansions of all finished cells as one Parquet file, atomically.

    Its columns are the cell's (`task`, `corpus`, `learner`, `agent`, `seed`) and the expansion's (`index`, from 0 for
    the nucleus, `topic`, `title`, `tokens`, `tokens_total`, `train_loss`, `reward`). Cells whose file is missing have
    no rows.
    """
    with replacing(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
        for place in results.places:
            tables = [_table(results, place, agent, seed) for agent, seed in _finished(results, place)]
            found = [table for table in tables if table is not None]
            # Cells' tables have different dictionaries, which are unified so that they can be one row group.
            if found:
                writer.write_table(pa.concat_tables(found).unify_dictionaries())


def shown_curricula(results: Results) -> dict[str, Any]:
    """Return the curricula of all finished cells as data of the page.

    Returns:
        `titles`, and `cells` by name. A cell has three lists of equal length: positions in `titles` (`t`), tokens
        (`k`) and rewards (`r`). A cell whose file is missing is None.
    """
    titles: dict[str, int] = {}
    cells: dict[str, Any] = {}
    for place in results.places:
        for agent, seed in _finished(results, place):
            columns = _read(results, place, agent, seed, ("title", "tokens", "reward"))
            cells[cell_name(place, agent, seed)] = columns and {
                "t": [titles.setdefault(title, len(titles)) for title in columns["title"]],
                "k": columns["tokens"],
                # Three digits are enough to read, and keep the page small.
                "r": [None if reward is None else float(f"{reward:.3g}") for reward in columns["reward"]],
            }
    return {"titles": list(titles), "cells": cells}


def cell_name(place: PlaceKey, agent: str, seed: int) -> str:
    """Return a cell's name: the path of its files in the benchmark's folder, without their ending."""
    return Cell(place.task, place.corpus, place.learner, agent, seed).name


def _finished(results: Results, place: PlaceKey) -> Iterator[tuple[str, int]]:
    for agent in sorted(results.cells[place]):
        yield from ((agent, seed) for seed in results.finished(place, agent))


def _read(results: Results, place: PlaceKey, agent: str, seed: int, names: tuple[str, ...]) -> dict[str, Any] | None:
    path = results.folder / f"{cell_name(place, agent, seed)}.parquet"
    if not path.exists():
        return None
    with pq.ParquetFile(path) as file:
        there = file.schema_arrow.names  # older cells may lack a column
        table = file.read([name for name in names if name in there])
    return {name: table[name].to_pylist() if name in there else [None] * len(table) for name in names}


def _table(results: Results, place: PlaceKey, agent: str, seed: int) -> pa.Table | None:
    names = tuple(name for name in _SCHEMA.names if name not in _OF_CELL)
    columns = _read(results, place, agent, seed, names)
    if columns is None:
        return None
    cell = dict(zip(_OF_CELL, (place.task, place.corpus, place.learner, agent, seed), strict=True))
    constant = {name: [value] * len(columns["index"]) for name, value in cell.items()}
    return pa.table({**constant, **columns}, schema=_SCHEMA)
