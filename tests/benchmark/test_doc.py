"""The page of the benchmark's results says what the committed cells say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from benchmark_archive import read_archive

from kgrl.benchmark.report.results import Results

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.mark.integration
def test_what_the_page_says_is_what_the_cells_say(tmp_path: Path) -> None:
    read_archive(RESULTS / "benchmark_cells.parquet", tmp_path)
    script = runpy.run_path(str(ROOT / "benchmarks" / "benchmark_tables.py"))
    page, results = (RESULTS / "benchmark.md").read_text(encoding="utf-8"), Results.read(tmp_path)
    for table in (script["asked"](results), script["measured"](results), *script["glance"](results)):
        assert table in page
