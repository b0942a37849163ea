"""The page of the seed hypothesis says what the committed figures say."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


def test_what_the_page_says_is_what_the_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "hypothesis.py"))
    page = (RESULTS / "hypothesis.md").read_text(encoding="utf-8")
    for table in script["tables"](RESULTS).values():
        assert table in page
