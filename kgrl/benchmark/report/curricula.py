"""Every curriculum of a benchmark: as lists on the page, and as rows of a Parquet file.

On the page a curriculum is three lists of numbers, and titles are numbers too, into one list of the page: a benchmark
of 500 curricula of 250 expansions takes two megabytes. A list is made of them when the reader opens it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.benchmark.report.results import PlaceKey, Results
from kgrl.benchmark.runner import Cell
from kgrl.system.files import replacing

__all__ = ["as_json", "cell_name", "shown_curricula", "write_curricula"]

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
    the nucleus, `topic`, `title`, `tokens`, `tokens_total`, `train_loss`, `reward`). Cells whose file is gone have no
    rows.
    """
    with replacing(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
        for place in results.places:
            tables = [_table(results, place, agent, seed) for agent, seed in _finished(results, place)]
            found = [table for table in tables if table is not None]
            if found:
                writer.write_table(pa.concat_tables(found).unify_dictionaries())


def shown_curricula(results: Results) -> dict[str, Any]:
    """Return the curricula of all finished cells as the page has them.

    Returns:
        `titles`, and `cells` by name, each with lists of equal length: numbers of titles, tokens, and rewards; a cell
        whose file is gone has the word missing in place of them.
    """
    titles: dict[str, int] = {}
    cells: dict[str, Any] = {}
    for place in results.places:
        for agent, seed in _finished(results, place):
            columns = _read(results, place, agent, seed, ("title", "tokens", "reward"))
            cells[cell_name(place, agent, seed)] = columns and {
                "t": [titles.setdefault(title, len(titles)) for title in columns["title"]],
                "k": columns["tokens"],
                "r": [None if reward is None else float(f"{reward:.3g}") for reward in columns["reward"]],
            }
    return {"titles": list(titles), "cells": cells}


def cell_name(place: PlaceKey, agent: str, seed: int) -> str:
    """Return a cell's name, which is where its files are in the benchmark's folder."""
    return Cell(place.task, place.corpus, place.learner, agent, seed).name


def as_json(value: Any) -> str:
    r"""Return JSON that can stand in a script element: no character of it ends the element, or a line of a script.

    Example:
        >>> as_json(["</script>"])
        '["\\u003c/script>"]'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finished(results: Results, place: PlaceKey) -> Iterator[tuple[str, int]]:
    for agent in sorted(results.cells[place]):
        yield from ((agent, seed) for seed in results.finished(place, agent))


def _read(results: Results, place: PlaceKey, agent: str, seed: int, names: tuple[str, ...]) -> dict[str, Any] | None:
    path = results.folder / f"{cell_name(place, agent, seed)}.parquet"
    if not path.exists():
        return None
    with pq.ParquetFile(path) as file:
        there = file.schema_arrow.names
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
