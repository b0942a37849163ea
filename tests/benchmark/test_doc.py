"""The pages of results: their tables are those of the committed figures."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from benchmark_archive import read_archive

from kgrl.benchmark.report.results import Results

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.mark.integration
def test_the_page_of_the_benchmark_has_the_tables_of_its_cells(tmp_path: Path) -> None:
    read_archive(RESULTS / "benchmark_cells.parquet", tmp_path)
    script = runpy.run_path(str(ROOT / "benchmarks" / "benchmark_tables.py"))
    page, results = (RESULTS / "benchmark.md").read_text(encoding="utf-8"), Results.read(tmp_path)
    for table in (script["asked"](results), script["measured"](results), *script["glance"](results)):
        assert table in page


def test_the_page_of_the_hypothesis_has_the_tables_of_its_figures() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "hypothesis.py"))
    page = (RESULTS / "hypothesis.md").read_text(encoding="utf-8")
    for table in script["tables"](RESULTS).values():
        assert table in page
