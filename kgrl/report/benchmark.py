"""The report of a benchmark: a page that asks nothing of the network, Markdown for an appendix, pictures and tables.

    OUT/report.html        the page
    OUT/report.md          the verdicts, the aggregates and the protocol
    OUT/figures/*.png      the main pictures
    OUT/tables/*.csv       every table, numbers in full
    OUT/curricula.parquet  every curriculum, one row an expansion

The page is made for readers in a hurry: the verdicts come first, and what is missing is named in place of its number.
"""

from __future__ import annotations

from pathlib import Path

from kgrl.benchmark.report.computed import Computed, csv_tables
from kgrl.benchmark.report.curricula import write_curricula
from kgrl.benchmark.report.markdown import as_markdown
from kgrl.benchmark.report.page import as_page
from kgrl.benchmark.report.pictures import draw_pictures
from kgrl.benchmark.report.results import Results
from kgrl.system.files import write_text

__all__ = ["write_benchmark_report"]


def write_benchmark_report(folder: Path) -> Path:
    """Write the report of a benchmark into the folder that holds its results; each file is replaced atomically.

    Args:
        folder: What `kgrl bench` was given as `--out`.

    Returns:
        The page.

    Raises:
        KgrlError: If the folder holds no results.
    """
    computed = Computed.of(Results.read(folder))
    for name, table in csv_tables(computed).items():
        write_text(folder / "tables" / f"{name}.csv", table.csv())
    write_curricula(computed.results, folder / "curricula.parquet")
    draw_pictures(computed, folder / "figures")
    write_text(folder / "report.md", as_markdown(computed))
    write_text(folder / "report.html", as_page(computed))
    return folder / "report.html"
